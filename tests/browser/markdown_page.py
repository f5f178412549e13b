"""Answers on the service's own page, shown by its own renderer, and what they look like as a plain tree."""

from typing import Any
from urllib.parse import unquote, urljoin

from lxml import html
from playwright.async_api import Page

BASE = "http://host"
FILLING = {"div", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr"}
BLANK = "/static/chat/answer.css"
OPEN = """async () => {
    const { AnswerView } = await import("/static/chat/markdown/answer_view.js");
    history.replaceState(null, "", "/");
    const home = document.body;
    home.replaceChildren();
    for (const sheet of ["theme", "chat/answer"]) {
        const link = document.createElement("link");
        Object.assign(link, { rel: "stylesheet", href: `/static/${sheet}.css` });
        const loaded = new Promise((done) => link.addEventListener("load", done));
        document.head.append(link);
        await loaded;
    }
    window.made = (options) => {
        const element = document.createElement("div");
        element.className = "answer";
        home.append(element);
        return [element, new AnswerView(element, options)];
    };
    window.shown = (source, citations = []) => {
        const [element, view] = made();
        view.set(source);
        view.finish(citations);
        const html = element.outerHTML;
        element.remove();
        return html;
    };
    window.streamed = (pieces, citations = []) => {
        const [element, view] = made();
        for (const piece of pieces) {
            view.add(piece);
            view.render();
        }
        view.finish(citations);
        const html = element.outerHTML;
        element.remove();
        return html;
    };
}"""


async def open_view(page: Page, url: str) -> None:
    """Go to a page of the service with nothing on it, under the service's content policy, and give it `made`, `shown`
    and `streamed`.
    """
    await page.goto(url + BLANK)
    await page.evaluate(OPEN)


async def shown(page: Page, source: str, citations: list[dict[str, Any]] | None = None) -> Any:
    """The element of an answer, from the markup that the renderer made of it."""
    return html.fragment_fromstring(await page.evaluate("([s, c]) => shown(s, c)", [source, citations or []]))


def tree(element: Any) -> list[Any]:
    """An element's content as nested lists, without what only our page or only the reference puts around it."""
    kids: list[Any] = []
    _add(kids, element.text, element.tag)
    for child in element:
        kids += _node(child)
        after = child.tail or ""
        _add(kids, after.removeprefix("\n") if child.tag == "br" else after, element.tag)
    return kids


def _node(element: Any) -> list[Any]:
    name = element.get("class") or ""
    if name == "code-block":
        return [["pre", element.find(".//code").text_content().removesuffix("\n")]]
    if element.tag == "pre":
        return [["pre", element.text_content().removesuffix("\n")]]
    if name == "table-frame":
        return tree(element)
    tag = {"s": "del", "img": "a"}.get(element.tag, element.tag)
    return [[tag, *_marks(element, name), *(tree(element) or [element.get("alt", "")])]]


def _marks(element: Any, name: str) -> list[str]:
    if element.tag in ("a", "img"):
        address = unquote(urljoin(BASE, element.get("href") or element.get("src") or "/"))
        return [address.removesuffix("/"), element.get("title") or ""]
    if element.tag in ("th", "td"):
        return [(element.get("style") or name).removeprefix("text-align:").removeprefix("to-")]
    return [element.get("start")] if element.get("start") else []


def _add(kids: list[Any], text: str | None, around: str) -> None:
    text = (text or "").strip("\n") if around in FILLING else text or ""
    if text:
        kids.append(text)
