"""With USE_HTTPS plain requests are sent on."""

import pytest

from middleware.https_redirect import HttpsRedirect
from tests.middleware.asgi import Seen, ask, scope_of

FORWARDED = [("X-Forwarded-Proto", "https")]


async def test_a_plain_request_is_sent_to_the_same_place_over_https() -> None:
    answer = await ask(HttpsRedirect(Seen()), scope_of("/ask", query="a=b%20c", method="POST"))
    assert (answer.status, answer.headers["location"]) == (307, "https://service.test/ask?a=b%20c")


async def test_a_request_over_https_passes() -> None:
    assert (await ask(HttpsRedirect(Seen()), scope_of(scheme="https"))).status == 200


async def test_a_trusted_proxy_is_believed_that_it_was_https() -> None:
    answer = await ask(HttpsRedirect(Seen()), scope_of(headers=FORWARDED, via_proxy=True))
    assert answer.status == 200
    answer = await ask(HttpsRedirect(Seen()), scope_of(headers=[("X-Forwarded-Proto", "http")], via_proxy=True))
    assert answer.status == 307


async def test_a_stranger_is_not() -> None:
    assert (await ask(HttpsRedirect(Seen()), scope_of(headers=FORWARDED, via_proxy=False))).status == 307


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics"])
async def test_health_checks_stay_plain(path: str) -> None:
    assert (await ask(HttpsRedirect(Seen()), scope_of(path))).status == 200


@pytest.mark.parametrize("host", ["[", "a b", "evil.test\\@x", ""])
async def test_a_host_that_is_none_breaks_nothing(host: str) -> None:
    scope = scope_of("/ask")
    scope["headers"] = [(b"host", host.encode())]
    assert (await ask(HttpsRedirect(Seen()), scope)).status in (307, 400)


async def test_websockets_pass() -> None:
    app = Seen()
    await ask(HttpsRedirect(app), scope_of(kind="websocket"))
    assert len(app.scopes) == 1
