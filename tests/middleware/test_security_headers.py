"""What a browser is told that a page does not need."""

from starlette.responses import PlainTextResponse

from middleware.security_headers import HEADERS, SecurityHeaders
from tests.middleware.asgi import Seen, ask, plain, scope_of


async def test_every_answer_has_them() -> None:
    answer = await ask(SecurityHeaders(plain))
    assert answer.headers == {name.lower(): value for name, value in HEADERS.items()}
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


async def test_what_an_answer_says_itself_stays() -> None:
    answer = await ask(SecurityHeaders(PlainTextResponse("x", headers={"Referrer-Policy": "origin"})))
    assert answer.headers["referrer-policy"] == "origin"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_over_https_the_browser_is_told_to_stay_there() -> None:
    assert "max-age=" in (await ask(SecurityHeaders(plain, https=True))).headers["strict-transport-security"]


async def test_websockets_pass() -> None:
    app = Seen()
    await ask(SecurityHeaders(app), scope_of(kind="websocket"))
    assert len(app.scopes) == 1
