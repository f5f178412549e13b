"""An answer as it comes: what is finished is left alone, and no piece of work holds the page up."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import Watch
from tests.browser.markdown_page import open_view
from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASK_MS = 50
SECONDS = 0.8
WORDS = "lorem ipsum **dolor** sit amet [1] with `elit` sed do *eiusmod* https://a.b/c tempor"
PARAGRAPH = [f"{word} " for word in (WORDS.split(" ") * 400)[:5000]]
STREAMS = {
    "an essay": [word + ("\n\n## Next\n\n- item " if n % 60 == 59 else "") for n, word in enumerate(PARAGRAPH)],
    "one paragraph": PARAGRAPH,
    "one list": [f"- {word}" if n % 6 == 0 else word + "\n" * (n % 6 == 5) for n, word in enumerate(PARAGRAPH)],
    "code": ["```python\n", *(f"    value_{n} = call({n}, 'text')  # why\n" for n in range(2000)), "```\n"],
    "a table": ["| a | b | c |\n|---|--:|---|\n", *(f"| row {n} | **{n}** | `x{n}` [1] |\n" for n in range(300))],
}
PLAY = """async ([pieces, seconds]) => {
    const [element, view] = made();
    const each = Math.ceil(pieces.length / (seconds * 250));
    for (let at = 0; at < pieces.length; await new Promise((done) => setTimeout(done, 4))) {
        for (const end = at + each; at < end && at < pieces.length; at++) view.add(pieces[at]);
    }
    view.finish([{ id: 1, document: "a.md" }]);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return [view.text.length, element.textContent.length];
}"""


@pytest.fixture(autouse=True)
def _no_icon(watch: Watch) -> None:
    watch.allowed.append("/favicon.ico")  # which a browser asks for where there is no page


def longest_task(trace: bytes) -> float:
    """The most processor time, in ms, that a task of the page's main thread took.

    That is what a task costs on a machine with nothing else to do; its length by the clock has the others' in it.
    """
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    named = [event for event in events if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"]
    threads = {(event["pid"], event["tid"]) for event in named}
    tasks = [event for event in events if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in threads]
    assert len(tasks) > 50, "the trace has no tasks"
    return max(float(event.get("tdur", 0)) for event in tasks) / 1000


@pytest.mark.parametrize("kind", STREAMS)
async def test_a_long_answer_never_holds_the_page_up(page: Page, browser: Browser, shared: Service, kind: str) -> None:
    await open_view(page, shared.url)
    pieces = STREAMS[kind]
    await browser.start_tracing(page=page, categories=["toplevel"])
    length, visible = await page.evaluate(PLAY, [pieces, SECONDS])
    trace = await browser.stop_tracing()
    assert length == sum(map(len, pieces))
    assert visible > length / 3
    assert longest_task(trace) < TASK_MS


async def test_the_first_word_is_there_when_add_returns(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    text = "() => { const [element, view] = made(); view.add('First'); return element.textContent; }"
    assert await page.evaluate(text) == "First"
    held_back = (
        "() => { const [element, view] = made(); view.add('- '); view.add('First'); return element.textContent; }"
    )
    assert await page.evaluate(held_back) == "First"


async def test_work_is_done_once_a_frame(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    renders = await page.evaluate("""async () => {
        const [element, view] = made();
        let renders = 0;
        const render = view.render.bind(view);
        view.render = (...options) => { renders += 1; render(...options); };
        for (let n = 0; n < 1000; n++) view.add(`word ${n} `);
        const now = renders;
        while (!element.textContent.includes("word 999")) await new Promise(requestAnimationFrame);
        return [now, renders];
    }""")
    assert renders == [1, 2]


async def test_finished_blocks_and_a_selection_in_them_are_left_alone(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    kept = await page.evaluate("""async () => {
        const [element, view] = made();
        view.add("One **two** three [1].\\n\\n```python\\nx = 1\\n```\\n\\nOpen");
        view.render();
        const touched = [];
        const done = [...element.children].slice(0, 2);
        const observer = new MutationObserver((records) => touched.push(...records.map((one) => one.type)));
        for (const block of done) observer.observe(block, { childList: true, subtree: true, characterData: true });
        getSelection().selectAllChildren(element.querySelector("strong"));
        const rest = "more words\\n\\n- and\\n- a list\\n\\n> quote\\n\\n| a |\\n|---|\\n| b |\\n\\nEnd";
        for (const word of rest.split(/(?= )/)) {
            view.add(word);
            view.render();
        }
        await new Promise(requestAnimationFrame);
        return [touched, String(getSelection()), done.every((block, at) => element.children[at] === block)];
    }""")
    assert kept == [[], "two", True]


async def test_a_selection_in_the_open_block_outlives_what_comes_after_it(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    selected = await page.evaluate("""() => {
        const [element, view] = made();
        view.add("One **two** three");
        view.render();
        getSelection().selectAllChildren(element.querySelector("strong"));
        for (const word of [" four", " *five*", " six.", " [1]"]) { view.add(word); view.render(); }
        return String(getSelection());
    }""")
    assert selected == "two"


async def test_a_finished_line_of_code_is_made_once(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    same = await page.evaluate("""() => {
        const [element, view] = made();
        view.add("```python\\n'''a\\n");
        view.render();
        const first = element.querySelector(".line");
        for (let n = 0; n < 50; n++) { view.add(`b${n}\\n`); view.render(); }
        view.add("'''\\nif x");
        view.render();
        const lines = [...element.querySelectorAll(".line")];
        return [lines[0] === first, lines[30].firstChild.className, lines[52].firstChild.className, lines.length];
    }""")
    assert same == [True, "syntax-string", "syntax-keyword", 53]


async def test_text_may_be_set_again_and_go_on(page: Page, shared: Service) -> None:
    await open_view(page, shared.url)
    text = await page.evaluate("""() => {
        const [element, view] = made();
        view.add("old **text**");
        view.set("# New");
        view.finish();
        view.add("\\n\\nmore");
        view.finish();
        return [view.text, element.innerHTML];
    }""")
    assert text == ["# New\n\nmore", "<h1>New</h1><p>more</p>"]
