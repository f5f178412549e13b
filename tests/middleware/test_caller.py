"""Who is calling: nobody can say that he is somebody else."""

import pytest

from middleware.caller import UNKNOWN, Caller
from tests.middleware.asgi import Seen, ask, scope_of

PROXIES = ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")


async def caller(
    client: str | None, *forwarded: str, trusted: tuple[str, ...] = PROXIES, kind: str = "http"
) -> tuple[str, bool]:
    app = Seen()
    headers = [("X-Forwarded-For", value) for value in forwarded]
    await ask(Caller(app, trusted), scope_of(client=client, headers=headers, kind=kind))
    state = app.scopes[0]["state"]
    return state["caller"], state["via_proxy"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_stranger_is_who_the_connection_says(kind: str) -> None:
    assert await caller("203.0.113.7", "198.51.100.1", kind=kind) == ("203.0.113.7", False)


async def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert await caller("10.0.0.1", "198.51.100.1", trusted=()) == ("10.0.0.1", False)


async def test_a_trusted_proxy_is_believed() -> None:
    assert await caller("10.0.0.1", "198.51.100.1") == ("198.51.100.1", True)
    assert await caller("2001:db8::5", "2001:dead::1") == ("2001:dead::1", True)


@pytest.mark.parametrize(
    "forwarded",
    [
        ("1.2.3.4, 198.51.100.1",),
        ("1.2.3.4,198.51.100.1, 10.9.9.9",),
        ("1.2.3.4", "198.51.100.1"),
        ("1.2.3.4", "5.6.7.8", "198.51.100.1, 192.0.2.1"),
    ],
    ids=["in one line", "past two proxies", "in a line of its own", "many lines"],
)
async def test_what_the_client_made_up_left_of_it_does_not_count(forwarded: tuple[str, ...]) -> None:
    assert await caller("10.0.0.1", *forwarded) == ("198.51.100.1", True)


@pytest.mark.parametrize("forwarded", ["", "nonsense", "1.2.3.4:80", "_hidden", "<script>", ",,,", "1.2.3.4, unknown"])
async def test_behind_what_is_no_address_the_proxy_itself_is_the_caller(forwarded: str) -> None:
    assert await caller("10.0.0.1", forwarded) == ("10.0.0.1", True)


async def test_where_all_are_trusted_the_first_one_is_the_caller() -> None:
    assert await caller("10.0.0.1", "10.0.0.3, 10.0.0.2") == ("10.0.0.3", True)


async def test_a_peer_without_an_address_is_unknown() -> None:
    assert await caller(None, "198.51.100.1") == (UNKNOWN, False)
    assert await caller("unix-socket", "198.51.100.1") == ("unix-socket", False)


async def test_other_scopes_pass() -> None:
    app = Seen()
    await ask(Caller(app, ()), {"type": "lifespan"})
    assert "state" not in app.scopes[0]
