"""The words that a model is given. Sources, tool results and summaries are fenced and declared to be data; what an
agent's maker wants is fenced too, below the rules."""

import re
from collections.abc import Sequence
from functools import lru_cache

from agents.prompts.templates import PROMPT_VERSIONS, PROMPTS, render
from infrastructure.passages import Passage
from infrastructure.providers.types import Message

__all__ = [
    "BUDGET_NOTES", "FENCE", "LAST_CALL", "NO_SOURCES", "PROMPTS", "PROMPT_VERSIONS", "render", "render_messages",
    "render_question", "render_source", "summary_messages", "system_text",
]  # fmt: skip

FENCE = re.compile(r"<(?=\s*/?\s*(?:source|instructions|wishes|summary))", re.IGNORECASE)
"""What a model may take for the beginning or the end of a part that is fenced."""
NO_SOURCES = "(No passage of the knowledge base matches this question.)"
BUDGET_NOTES = {
    "steps": "The limit of tool steps for one answer was reached; this is what was found.",
    "repeats": "The same tool call was repeated without anything new; this is what was found.",
    "tokens": "The token budget of this answer was used up; this is what was found.",
    "seconds": "The time for this answer was used up; this is what was found.",
}
LAST_CALL = "No more tools can be used. Answer now with what was found."
SUMMARY_TAKEN = "Noted."  # some models' templates want user and assistant in turns


def render_question(question: str, passages: Sequence[Passage]) -> str:
    """The user's turn: the numbered sources, then the question."""
    sources = "\n".join(render_source(number, passage) for number, passage in enumerate(passages, 1))
    return f"{sources or NO_SOURCES}\n\nQuestion: {question}"


def render_source(number: int, passage: Passage) -> str:
    """One fenced source. The fence's own words inside the text are escaped, so that text cannot end its fence."""
    place = f"{passage.title} > {passage.section}" if passage.section else passage.title
    text = FENCE.sub("&lt;", passage.text)
    names = f'document="{_attribute(passage.document)}" section="{_attribute(place)}"'
    return f'<source number="{number}" {names}>\n{text}\n</source>'


@lru_cache(256)
def system_text(instructions: str = "") -> str:
    """The rules, and below them the operator's instructions, if there are any."""
    if not instructions.strip():
        return render("system")
    fenced = FENCE.sub("&lt;", instructions)
    return f"{render('system')}\n\n{render('persona', instructions=fenced)}"


def summary_messages(summary: str) -> tuple[Message, ...]:
    """What was said before the history that is shown; nothing where there is no summary."""
    if not summary:
        return ()
    text = render("summarised", summary=FENCE.sub("&lt;", summary))
    return Message("user", text), Message("assistant", SUMMARY_TAKEN)


def render_messages(
    question: str, passages: Sequence[Passage], history: Sequence[Message], exchange: Sequence[Message],
    *, instructions: str = "", wishes: str = "", summary: str = "",
) -> tuple[Message, ...]:  # fmt: skip
    """All that a chat model sees: the rules with the operator's `instructions` and the asker's `wishes` below them, the
    conversation (what was left out of it as a `summary`), the question with its sources, the tools' results."""
    asked = Message("user", render_question(question, passages))
    rules = system_text(instructions)
    if wishes.strip():
        rules = f"{rules}\n\n{render('wishes', wishes=FENCE.sub('&lt;', wishes))}"
    return (Message("system", rules), *summary_messages(summary), *history, asked, *exchange)


@lru_cache(1024)
def _attribute(text: str) -> str:
    return text.replace('"', "'").replace("<", "(").replace(">", ")").replace("\n", " ")
