"""Every request has an id: the client's where it is sound, else a new one."""

from uuid import UUID

import pytest
from structlog.contextvars import get_contextvars

from middleware.request_id import RequestId
from tests.middleware.asgi import Seen, ask, scope_of


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128])
async def test_a_sound_id_is_kept_and_returned(given: str) -> None:
    app = Seen()
    answer = await ask(RequestId(app), scope_of(headers=[("X-Request-ID", given)]))
    assert answer.headers["x-request-id"] == given
    assert app.scopes[0]["state"]["request_id"] == given
    assert get_contextvars()["request_id"] == given


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
