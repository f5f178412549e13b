"""Answers' Markdown: as CommonMark has it with tables and strikethrough, and the same however it is cut in pieces."""

import random
from typing import Literal

import pytest
from lxml import html
from markdown_it import MarkdownIt
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.code_examples import CODE
from tests.browser.conftest import Watch
from tests.browser.markdown_examples import EXAMPLES, PIECES
from tests.browser.markdown_page import open_view, shown, tree
from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
REFERENCE = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@pytest.fixture(autouse=True)
def _no_icon(watch: Watch) -> None:
    watch.allowed.append("/favicon.ico")  # which a browser asks for where there is no page


def expected(source: str) -> object:
    return tree(html.fragment_fromstring(REFERENCE.render(source), create_parent="div"))


async def test_every_example_reads_as_in_the_reference(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    made = await page.evaluate("examples => examples.map((one) => shown(one))", EXAMPLES)
    ours = {source: tree(html.fragment_fromstring(one)) for source, one in zip(EXAMPLES, made, strict=True)}
    differ = {source: (tree_, expected(source)) for source, tree_ in ours.items() if tree_ != expected(source)}
    assert differ == {}


async def test_an_answer_that_came_letter_by_letter_is_the_same_as_one_set_at_once(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    chance = random.Random(7)
    texts = ["".join(chance.choices(PIECES, k=chance.randint(3, 22))) for _ in range(300)]
    differ = await page.evaluate(
        "texts => texts.filter((one) => shown(one) !== streamed([...one]))",
        [*EXAMPLES, "\n\n".join(EXAMPLES), *texts],
    )
    assert differ == []


async def test_a_task_list_has_its_boxes(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    element = await shown(page, "- [x] done\n- [ ] to do\n- [y] text\n\n1. [X] loose")
    boxes = element.xpath(".//input")
    assert [(box.get("type"), "disabled" in box.attrib, box.get("aria-label")) for box in boxes] == [
        ("checkbox", True, "done"), ("checkbox", True, "to do"), ("checkbox", True, "done"),
    ]  # fmt: skip
    assert [item.text_content().strip() for item in element.xpath(".//li")] == ["done", "to do", "[y] text", "loose"]


async def test_a_bare_address_is_a_link_without_the_sentence_around_it(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    source = "See (https://a.b/c_(d)), http://e.f/?g=h. Not xhttp://i.j or `http://k.l` or [http://m.n](http://o.p)."
    element = await shown(page, source)
    assert [(link.get("href"), link.text_content()) for link in element.xpath(".//a")] == [
        ("https://a.b/c_(d)", "https://a.b/c_(d)"), ("http://e.f/?g=h", "http://e.f/?g=h"), ("http://o.p/", "http://m.n"),
    ]  # fmt: skip


async def test_an_image_is_its_text_with_its_address_and_is_never_fetched(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    source = (
        "![a *b*](http://far.example/p.png) [![c](http://far.example/q.png)](/v) ![](http://far.example/r.png)\n\n"
        "![d][e]\n\n[e]: http://far.example/s.png"
    )
    element = await shown(page, source)
    assert not element.xpath(".//img | .//picture | .//object | .//iframe | .//svg")
    assert [(link.get("href"), link.text_content()) for link in element.xpath(".//a")] == [
        ("http://far.example/p.png", "a b"), ("/v", "c"), ("http://far.example/r.png", "image"),
        ("http://far.example/s.png", "d"),
    ]  # fmt: skip


async def test_a_marker_is_a_chip_when_its_source_is_there_and_text_when_it_is_not(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    source = "One [1]. Both [1, 2]; none [7], a list [3, 4], `[1]`, [1](/u), [x [2]](/v), [0]."
    citations = [{"id": 1, "document": "a.md"}, {"id": 2, "document": "<b>.md"}]
    element = await shown(page, source, citations)
    chips = [(chip.text, chip.get("aria-label")) for chip in element.xpath(".//button[@class='citation']")]
    assert chips == [("1", "Source 1: a.md"), ("1", "Source 1: a.md"), ("2", "Source 2: <b>.md")]
    text = "One 1. Both 12; none [7], a list [3, 4], [1], 1, x [2], [0]."
    assert element.text_content() == text


async def test_a_chip_waits_for_its_source_while_the_answer_comes(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    await page.evaluate("""() => {
        window.opened = [];
        [window.element, window.view] = made({ onCitation: (id, chip) => opened.push([id, chip.textContent]) });
        view.add("It is so [1] and so [2]");
        view.render();
        view.add(".");
    }""")
    chip = page.locator("button.citation").first
    await expect(chip).to_be_disabled()
    await page.evaluate("view.finish([{ id: 1, document: 'a.md' }])")
    await expect(chip).to_be_enabled()
    await chip.click()
    assert await page.evaluate("opened") == [[1, "1"]]
    assert await page.evaluate("element.textContent") == "It is so 1 and so [2]."
    assert await page.evaluate("view.text") == "It is so [1] and so [2]."


async def test_what_is_begun_at_the_end_shows_as_if_it_were_complete(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    ends = {
        "a **bold": "a <strong>bold</strong>",
        "a **bold*": "a <strong>bold</strong>",
        "a **": "a ",
        "a `code": "a <code>code</code>",
        "a *b **c": "a <em>b <strong>c</strong></em>",
        "a [text](https://exam": "a text",
        "a [1": "a ",
        "2 * 3": "2 * 3",
        "a\n-": "a",
        "a\n==": "a",
        "a_b": "a_b",
    }
    made = await page.evaluate("""sources => sources.map((source) => {
        const [element, view] = made();
        view.add(source);
        return element.querySelector("p").innerHTML;
    })""", list(ends))  # fmt: skip
    assert dict(zip(ends, made, strict=True)) == ends


async def test_a_link_that_is_defined_below_a_finished_block_is_one_in_the_end(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    pieces = ["See [the paper][p]", " and *more*.\n\n", "More text.\n\n", "[p]: https://a.b/ 'T'\n"]
    element = html.fragment_fromstring(await page.evaluate("pieces => streamed(pieces)", pieces))
    assert [(link.get("href"), link.get("title")) for link in element.xpath(".//a")] == [("https://a.b/", "T")]


@pytest.mark.parametrize("secure", [True, False])
async def test_code_is_copied_also_where_the_page_has_no_clipboard(page: Page, shared: Service, secure: bool) -> None:
    await open_view(page, shared.url)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.evaluate("""() => made()[1].set("```python\\nx = 1\\n\\n  y = 2\\n```")""")
    if not secure:
        await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new DOMException('no')); }")
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "x = 1\n\n  y = 2"


async def test_code_is_coloured(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    for language, (source, wanted) in CODE.items():
        code = (await shown(page, f"```{language}\n{source}\n```")).find(".//code")
        assert code.text_content() == f"{source}\n"
        found = {kind: [span.text for span in code.xpath(f".//span[@class='syntax-{kind}']")] for kind in wanted}
        assert found == wanted, language


async def test_an_unknown_language_is_plain_and_keeps_its_name(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    block = await shown(page, "```Brainstorm\nif x: return\n```")
    assert block.xpath("string(.//div[@class='code-head']/span)") == "Brainstorm"
    assert not block.xpath(".//*[starts-with(@class, 'syntax')]")
    for name in ("constructor", "__proto__", ""):
        assert (await shown(page, f"```{name}\nx\n```")).find(".//code").text_content() == "x\n"


async def test_a_line_that_nobody_reads_is_plain(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    lines = (await shown(page, "```json\n" + "1," * 2000 + "\n1\n```")).xpath(".//span[@class='line']")
    assert [len(line) for line in lines] == [0, 1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_answer_has_no_barriers(page: Page, shared: Service, scheme: Literal["light", "dark"]) -> None:
    await page.emulate_media(color_scheme=scheme)
    await open_view(page, shared.url)
    code = "\n\n".join(f"```{language}\n{source}\n```" for language, (source, _) in CODE.items())
    await page.evaluate(
        "([source]) => { const [, view] = made(); view.set(source); view.finish([{ id: 1, document: 'a.md' }]); }",
        [f"# A [1] [2]\n\n- [x] [b](/c)\n\n> `d`\n\n| e |\n|---|\n| f |\n\n{code}"],
    )
    assert await violations(page, ".answer") == []


async def test_plain_is_what_a_reader_reads(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    plain = "() => { const [, view] = made(); view.set('**a** [1]\\n```py\\nb\\n```'); return view.plain; }"
    assert await page.evaluate(plain) == "a 1b"
