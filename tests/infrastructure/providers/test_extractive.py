from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from infrastructure.passages import Passage
from infrastructure.providers.extractive import NO_ANSWER, ExtractiveProvider, plain_sentence
from infrastructure.providers.types import ModelReply, ModelRequest
from tests.infrastructure.providers.asking import Heard


@dataclass(frozen=True)
class Found:
    source: int
    start: int
    text: str


def passage(text: str) -> Passage:
    return Passage("pools.md", "d", "c", "Pools", text, 0, len(text), 0.9)


async def answer(*found: Found) -> tuple[ModelReply, Heard]:
    asked: list[tuple[str, int]] = []

    def select(question: str, passages: Sequence[Passage]) -> Sequence[Found]:
        asked.append((question, len(passages)))
        return found

    heard = Heard()
    provider = ExtractiveProvider(select)
    request = ModelRequest(messages=(), question="What is a pool?", passages=(passage("a"), passage("b")))
    reply = await provider.stream(request, heard)
    await provider.aclose()
    assert asked == [("What is a pool?", 2)]
    assert (provider.name, provider.model) == ("extractive", "extractive")
    return reply, heard


async def test_sentences_come_in_reading_order_with_their_sources() -> None:
    reply, heard = await answer(Found(2, 5, "It pays fees."), Found(1, 90, "Then this."), Found(1, 7, "A pool holds."))
    assert heard == ["A pool holds. [1]", " Then this. [1]", " It pays fees. [2]"]
    assert reply.text == heard.text == "A pool holds. [1] Then this. [1] It pays fees. [2]"
    assert (reply.finish_reason, reply.model, reply.usage.completion_tokens) == ("stop", "extractive", 0)


@pytest.mark.parametrize("found", [[], [Found(1, 0, "  \n ")]])
async def test_where_nothing_answers_it_says_so(found: list[Found]) -> None:
    reply, heard = await answer(*found)
    assert reply.text == heard.text == NO_ANSWER
    assert reply.finish_reason == "stop"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A pool\n  holds\tfunds.", "A pool holds funds."),
        ("## Pools", "Pools"),
        ("- a pool", "a pool"),
        ("3. > *Pools* hold.", "Pools hold."),
        ("**Pool**: a fund.", "Pool: a fund."),
        ("**Pool holds.", "Pool holds."),
        ("__init__ is a name", "init is a name"),
        ("#hash -5 degrees", "#hash -5 degrees"),
        ("2026 was a year.", "2026 was a year."),
        ("5 * 3 * 2", "5 * 3 * 2"),
        ("As in [3] and a[12].", "As in [ 3 ] and a[ 12 ]."),
    ],
)
def test_marks_at_the_start_of_a_sentence_go(text: str, line: str) -> None:
    assert plain_sentence(text) == line
