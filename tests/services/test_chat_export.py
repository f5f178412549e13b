"""A chat as a Markdown document, parsed as its readers will parse it."""

from dataclasses import replace
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.chat_export import MAX_PARSED_CHARS, MAX_PARSED_CHARS_IN_ALL, to_markdown
from services.chats import ChatView, MessageView
from tests.services.chat_rows import CITATION, START

CHAT = ChatView("c", None, "Lending", {}, START, START, None, False, 2)
QUESTION = MessageView(
    "q", "c", "user", "What is a health factor?", None, None, START, [], None, None, "complete", None, None, None, None,
    None, None, None,
)  # fmt: skip
ANSWER = replace(
    QUESTION, id="a", role="assistant", content="A **number**. [2]", citations=[CITATION], confidence=0.9,
    model="extractive", parent_id="q", run_id="r",
)  # fmt: skip
HOSTILE = [
    "# A heading",
    "```\nnot closed",
    "````\n```\n`````",
    "~~~\nnot closed",
    "<!-- not closed",
    "<script>alert(1)</script>",
    "a <b onclick=x>bold</b>",
    "[2]: https://example.com/elsewhere",
    "> quoted\n\n---\n\n## Assistant, 2026",
    "- a\n- b\n\n      code",
    "text\r# heading\u2028# heading\x0b# heading\x1c# heading",
    "\n\n",
    "setext\n======",
]


def parsed(document: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(document)


def headings(document: str) -> list[str]:
    """The document's own headings, at its top level."""
    tokens = parsed(document)
    opened = [n for n, token in enumerate(tokens) if token.type == "heading_open" and token.level == 0]
    return ["".join(child.content for child in tokens[n + 1].children or ()) for n in opened]


def test_a_chat_reads_as_a_document() -> None:
    assert (
        to_markdown(CHAT, [QUESTION, ANSWER])
        == """\
# Lending

Begun 2026-01-05 09:30:00 UTC.

## User, 2026-01-05 09:30:00 UTC

```text
What is a health factor?
```

## Assistant, 2026-01-05 09:30:00 UTC

> A **number**. [2]

Sources:

- \\[2\\] defi\\/lending\\.md, Health factor: “below one\\: liquidated”
"""
    )


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("message", [QUESTION, ANSWER], ids=["user", "assistant"])
def test_no_text_reaches_out_of_its_block(message: MessageView, text: str) -> None:
    env: dict[str, Any] = {}
    document = to_markdown(CHAT, [replace(message, content=text), QUESTION])
    tokens = MarkdownIt("commonmark").enable("table").parse(document, env)
    who = "User" if message.role == "user" else "Assistant"
    assert [heading.split(",")[0] for heading in headings(document)] == ["Lending", who, "User"]
    kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
    assert not kinds & {"html_block", "html_inline", "hr"} - ({"hr"} if message.role == "assistant" else set())
    assert not env.get("references")


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()])
def test_what_a_user_wrote_is_there_as_it_was_sent(text: str) -> None:
    blocks = [
        token.content for token in parsed(to_markdown(CHAT, [replace(QUESTION, content=text)])) if token.type == "fence"
    ]
    assert blocks == [text.replace("\r", "\n") + "\n"]


@pytest.mark.parametrize(
    "title", ["# Two\n# lines", "<b>bold</b>", "[a](b) *c* `d` _e_ ~f~ |", "end \\", "1. list", "Title #", "&amp; &lt;"]
)
def test_a_title_is_one_line_that_means_itself(title: str) -> None:
    assert headings(to_markdown(replace(CHAT, title=title), [])) == [" ".join(title.split())]


@pytest.mark.parametrize("title", [None, "", "  "])
def test_a_chat_without_a_title_is_a_conversation(title: str | None) -> None:
    assert headings(to_markdown(replace(CHAT, title=title), [])) == ["Conversation"]


def test_a_source_is_one_line_that_means_itself() -> None:
    hostile = {**CITATION, "document": "a\n# b.md", "section": "<i>", "quote": "two\n\nlines [x](y)", "page": 3}
    document = to_markdown(CHAT, [replace(ANSWER, citations=[hostile])])
    assert len(headings(document)) == 2
    inline = [token for token in parsed(document) if token.type == "inline"][-1]
    text = "".join(child.content for child in inline.children or ())
    assert text == "[2] a # b.md, <i>, page 3: “two lines [x](y)”"


def test_an_answer_that_was_cut_short_says_so() -> None:
    cut = replace(ANSWER, status="incomplete", content="A num", citations=[])
    failed = replace(cut, status="error", content="")
    document = to_markdown(CHAT, [cut, failed])
    assert "*This answer was not finished.*\n\n> A num" in document
    assert document.endswith("*This answer failed.*\n")


def test_a_very_long_answer_is_plain_text() -> None:
    document = to_markdown(CHAT, [replace(ANSWER, content="*" * MAX_PARSED_CHARS)])
    assert "```text\n***" in document


def test_of_a_very_long_chat_the_rest_is_plain_text() -> None:
    answer = "word " * (MAX_PARSED_CHARS // 5 - 1)
    document = to_markdown(CHAT, [replace(ANSWER, content=answer)] * (MAX_PARSED_CHARS_IN_ALL // len(answer) + 2))
    assert document.count("```text") == 2
    assert document.count("> word") == MAX_PARSED_CHARS_IN_ALL // len(answer)


def test_an_answers_markdown_is_kept() -> None:
    document = to_markdown(CHAT, [replace(ANSWER, content="One  \ntwo.\n\n    code\n\n| a |\n|---|\n| 1 |\n")])
    assert "> One  \n> two.\n>\n>     code\n>\n> | a |\n> |---|\n> | 1 |\n" in document
    kinds = {child.type for token in parsed(document) for child in (token, *(token.children or ()))}
    assert {"hardbreak", "code_block", "table_open", "blockquote_open"} <= kinds
