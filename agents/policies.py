"""The graph's decisions: pure functions of what is known, tested without a graph."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from infrastructure.database.models import SHARED
from infrastructure.providers.types import Message, ToolCall, Usage
from services.knowledge.scope import Scope
from services.knowledge.search import Retrieval
from services.personas import AgentScope, Answers
from services.sessions import Turn

NO_USAGE = Usage()
CHARS_PER_TOKEN = 4  # the usual rule of thumb for English text in byte-pair vocabularies
_WORDS = re.compile(r"\w+")
_POINTING = re.compile(
    r"\b(?:its?|itself|they|them|theirs?|this|that|these|those|he|him|his|she|hers?|there|former|latter|same|one)\b"
)
_GOING_ON = re.compile(r"(?:and|or|but|so|also|then|what about|how about|why|more|else|ok|okay)\b")
MAX_REPEATS = 2  # how often one tool may be called with the same arguments in a run


def after_retrieve(retrieval: Retrieval, curated_threshold: float) -> Literal["curated", "generate"]:
    """A close curated question is answered as it stands; everything else is for the model."""
    match = retrieval.curated
    return "curated" if match is not None and match.similarity >= curated_threshold else "generate"


def after_generate(tool_calls: Sequence[ToolCall]) -> Literal["use_tools", "ground"]:
    """Calls are always answered, if only by saying that the budget is used up; without calls the answer is there."""
    return "use_tools" if tool_calls else "ground"


def declines(answers: Answers, supported: bool) -> bool:
    """Whether to say that nothing was found, and not ask a model: it could only make something up."""
    return answers == "knowledge_only" and not supported


def answers_from_whole(retrieval: Retrieval, *, rag_mode: str, chosen: bool, model: str) -> bool:
    """Whether a model answers from whole files, however little the question's words have to do with them: to sum a file
    up names nothing of it. Whoever asks has `chosen` them, or has asked for whole files; what an agent is kept to says
    nothing of the question. `extractive`, the `model` that is none, has only those words to go by.
    """
    return retrieval.whole and (chosen or rag_mode == "full_file") and model != "extractive"


def narrowed(asked: Scope, agent: AgentScope | None) -> Scope:
    """Where a question of scope `asked` looks: where the agent does, and into what the asker brought to this chat.

    Files chosen for just this question are looked into as they were chosen.
    """
    if agent is None or asked.only is not None:
        return asked
    if not asked.first:
        return agent.scope
    brought = (partition for partition in asked.partitions if partition != SHARED)
    return Scope(tuple(dict.fromkeys((*agent.partitions, *brought))), only=agent.only | asked.first, first=asked.first)


def chosen_documents(scope: Scope) -> frozenset[str]:
    """The documents that a question is kept to, where that is files alone: they may be read whole."""
    return frozenset() if scope.only is None or SHARED in scope.partitions else scope.only


def is_first_said(turns: Sequence[Turn], summary: str, wishes: str) -> bool:
    """Whether an answer depends on nothing that was said before, nor on wishes of the one who asks."""
    return not (turns or summary or wishes.strip())


def worth_repeating(*, supported: bool, grounded: bool, finish_reason: str, rejected: int) -> bool:
    """Whether an answer may be given to others too: one that came to its end, and that the knowledge bears out."""
    return supported and grounded and finish_reason == "stop" and not rejected


def budget_spent(
    *, steps_used: int, max_steps: int, tokens_used: int, max_tokens: int, repeats: int, seconds_left: float
) -> str | None:
    """Which budget is used up, if one is: `seconds`, `tokens`, `repeats` or `steps`."""
    if seconds_left <= 0:
        return "seconds"
    if tokens_used >= max_tokens:
        return "tokens"
    if repeats > MAX_REPEATS:
        return "repeats"
    if steps_used >= max_steps:
        return "steps"
    return None


def estimate_tokens(text: str) -> int:
    return len(text) // CHARS_PER_TOKEN + 1


def trim_history(turns: Iterable[Turn], max_tokens: int) -> tuple[Message, ...]:
    """The newest turns that fit into `max_tokens`, oldest first. A turn is kept whole or not at all."""
    said = tuple(turns)
    return tuple([message for turn in said[left_out(said, max_tokens) :] for message in turn.messages])


def left_out(turns: Sequence[Turn], max_tokens: int) -> int:
    """How many turns, the oldest, do not fit into `max_tokens` with those after them."""
    left, first = max_tokens, len(turns)
    while first:
        turn = turns[first - 1]
        left -= len(turn.question) // CHARS_PER_TOKEN + len(turn.answer) // CHARS_PER_TOKEN + 2  # as `estimate_tokens`
        if left < 0:
            break
        first -= 1
    return first


def summed_up(covered: Sequence[int], turns: Sequence[int]) -> int:
    """How many of the oldest turns a summary stands for; 0: it is of another conversation, an older branch say.

    Both are marks of turns, oldest first; `covered` begins with turns that a long conversation holds no more.
    """
    for count in range(min(len(covered), len(turns)), 0, -1):
        if turns[count - 1] == covered[-1] and list(turns[:count]) == list(covered[-count:]):
            return count
    return 0


def standalone_question(question: str, turns: Sequence[Turn]) -> str | None:
    """A follow-up together with the question that it follows, to be searched by; None for one that stands by itself.

    A follow-up speaks of something by a pronoun, begins as one goes on talking, or is too short to say what it is
    about.
    """
    if not turns or not _is_follow_up(question):
        return None
    earlier = next((turn.question for turn in reversed(turns) if not _is_follow_up(turn.question)), turns[-1].question)
    return f"{earlier} {question}"


def _is_follow_up(question: str) -> bool:
    asked = question.casefold().strip()
    says_what = sum(len(word) > 3 for word in _WORDS.findall(asked)) >= 2
    return bool(_POINTING.search(asked) or _GOING_ON.match(asked) or not says_what)


def final_confidence(retrieved: float, grounded: bool) -> float:
    """How sure the whole answer is: what retrieval says, at most half of it when a sentence lacks support.

    Half is a convention, not a measurement: it keeps an unsupported answer below any sensible threshold.
    """
    return round(retrieved if grounded else retrieved / 2, 4)
