"""What kind of answer a question asks for, and whether a sentence has something of that kind. English only: elsewhere
no kind is found, and nothing is lost.
"""

import re
from enum import Enum


class AnswerType(Enum):
    NUMBER = "number"
    DATE = "date"
    NAME = "name"
    DEFINITION = "definition"


_ASKS = {
    AnswerType.NUMBER: re.compile(
        r"\bhow (?:many|much|old|long|far|tall|large|big|often|fast|high|wide|deep)\b"
        r"|\bwhat (?:percentage|percent|number|amount|share|rate)\b",
        re.IGNORECASE,
    ),
    AnswerType.DATE: re.compile(
        r"\bwhen\b|\b(?:what|which) (?:year|date|century|decade|month|day|time)\b", re.IGNORECASE
    ),
    AnswerType.NAME: re.compile(
        r"\b(?:who|whom|whose|where)\b|\bwhat (?:city|country|company|person|name|(?:is|was) the name)\b", re.IGNORECASE
    ),
    AnswerType.DEFINITION: re.compile(  # "What is a flash loan?": what it is about, and no more
        r"^\s*(?:what(?:'s| is| are| was| were)|define|explain)(?: an?| the)?(?: (?!of\b)[\w&.'-]+){1,4}\s*\??\s*$",
        re.IGNORECASE,
    ),
}
_HAS = {
    AnswerType.NUMBER: re.compile(
        r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion"
        r"|half|third|quarter|once|twice|both)\b",
        re.IGNORECASE,
    ),
    AnswerType.DATE: re.compile(
        r"\d|\b(?:January|February|March|April|May|June|July|August|September|October|November|December|century)\b"
    ),
    AnswerType.NAME: re.compile(r"(?<=[a-z,;:)] )[A-Z][a-z]"),  # a capital that does not begin the sentence
    AnswerType.DEFINITION: re.compile(  # it begins with what it defines
        r"^[^.;:]{1,100} (?:is|are|was|were) (?:an?|the|one)\b|\b(?:means|refers to)\b"
    ),
}


def answer_type(question: str) -> AnswerType | None:
    return next((kind for kind, pattern in _ASKS.items() if pattern.search(question)), None)


def has_answer_of(kind: AnswerType | None, sentence: str) -> bool:
    return kind is not None and bool(_HAS[kind].search(sentence))
