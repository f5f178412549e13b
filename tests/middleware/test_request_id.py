"""Every request has an id: the client's where it is sound, else a new one."""

import asyncio
from uuid import UUID

import pytest
from starlette.types import Receive, Scope, Send

from infrastructure.log_ids import current_ids
from middleware.request_id import RequestId
from tests.middleware.asgi import Seen, ask, scope_of


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128])
async def test_a_sound_id_is_kept_and_returned(given: str) -> None:
    app = Seen()
    answer = await ask(RequestId(app), scope_of(headers=[("X-Request-ID", given)]))
    assert answer.headers["x-request-id"] == given
    assert app.scopes[0]["state"]["request_id"] == given
    assert current_ids()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a/b", "a\n", "<b>", "%0d%0aX: y", "\u00e9", "a:b", "{id}"])
async def test_an_unsound_id_gets_a_new_one_in_its_place(given: str) -> None:
    answer = await ask(RequestId(Seen()), scope_of(headers=[("X-Request-ID", given)]))
    assert UUID(answer.headers["x-request-id"])


async def test_without_an_id_each_request_gets_its_own() -> None:
    app = RequestId(Seen())
    ids = {(await ask(app)).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_websocket_has_one_too_though_its_acceptance_has_no_headers() -> None:
    answer = await ask(RequestId(Seen()), scope_of(kind="websocket"))
    assert UUID(answer.headers["x-request-id"])


async def test_other_scopes_pass() -> None:
    app = Seen()
    await ask(RequestId(app), {"type": "lifespan"})
    assert app.scopes == [{"type": "lifespan"}]


async def test_lines_have_the_id_until_the_request_is_over_and_the_server_has_said_what_broke() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask(RequestId(breaks), scope_of(headers=[("X-Request-ID", "r1")]))
    assert current_ids() == {"request_id": "r1"}
    await asyncio.sleep(0)
    assert current_ids() == {}
