"""Whether two questions are one question asked twice. A wrong yes gives somebody the answer to another question, a
wrong no costs one call of a model: so every word counts, but for those that are known to change nothing.

Cosines cannot tell it. Of what the default model embeds, "Who sequenced the first plastome?" and "When was the first
plastome sequenced?" are at 0.93, the two ways in which one lends to the other at 1.0, and many a paraphrase below 0.9.
They are the second lock behind the words.
"""

import re
import unicodedata
from dataclasses import dataclass

from infrastructure.lexical.analysis import fold_spelling

LEAST_COSINE = 0.75
"""Of the vectors of the `plain` words of two questions that are worded alike. Paraphrases have 0.776 and more; below it
are a few plurals that are another word ("a good" and "goods": 0.51)."""

MAX_CHARS = 500  # a longer question is told by its letters alone
_FEW = 3  # words besides those of grammar, from which on a "the" more or less means nothing
_LETTERS_COUNT = re.compile(r"[\n\r`]")  # what has lines or code is told by its letters alone
_QUOTES = '"“”„«»'
_ENDS = "?.,;:…" + _QUOTES
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
_APOSTROPHES = dict.fromkeys((0x2018, 0x2019, 0x02BC), "'")
_POLITE = re.compile(
    r"(?:(?:hi|hello|hey)(?: there)?[,!.] )?(?:please,? )?(?P<asked>.*?)(?:,? please[?.! ]*)?\Z", re.IGNORECASE
)
_WH = "what|which|who|whom|whose|where|when|why|how"
_GRAMMAR = """
    what which who whom whose where when why how
    a an the i me my we us our you your he him his she her it its they them their this that these those there
    is are was were be been being am do does did done has have had will would can could may might must shall should
    of in on at by for from to into onto with without within about above below over under after before during between
    among against through until since and or not no nor but if than then as so such any all some each every both
    either neither most more less least few many much only same other another own very too also just still ever never
    again once up down out off whether while because
"""
_FUNCTION = frozenset(_GRAMMAR.split())
"""Words of grammar: they count as others do, but are nobody's subject."""
_ASKING = frozenset(["what", "who", "where", "when", "how"])
_IDLE = frozenset(["exactly", "actually", "basically"])  # behind one of these
_CONTRACTED = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not"}
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ll", " will"), ("'ve", " have"), ("'m", " am"))
_BEFORE_NOUN = frozenset(["a", "an", "the", "my", "your", "our", "their", "his", "her", "its", "this", "that"])
_FRAME = re.compile(
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell me|explain(?: to me)?)|do you know|tell me|let me know"
    r"|explain(?: to me)?|i (?:want|need|would like) to (?:know|understand)|i am wondering|i wonder) "
    rf"(?=(?:{_WH}) )"
)
_TURNED = re.compile(r"(?P<asks>what|who|where|when) (?P<rest>.+) (?P<verb>is|are|was|were)\Z")
"""The order of words in "tell me where the office is"."""


def _patterns(*patterns: str) -> tuple[re.Pattern[str], ...]:
    name = r"(?P<name>(?:an? )?[^ ]+(?: [^ ]+){0,3})"
    return tuple(re.compile(pattern.replace("NAME", name) + r"\Z") for pattern in patterns)


_DEFINING = _patterns("what (?P<verb>is|are) NAME", "define NAME", "what is the definition of NAME")
_MEANING = _patterns(
    "what (?P<verb>does|do) NAME mean",
    "what NAME (?P<verb>means?)",
    "what is the meaning of NAME",
    "what is meant by NAME",
)  # what a city is, and what its name means, are two things
_WORKING = _patterns("how (?P<verb>does|do) NAME work", "how NAME (?P<verb>works?)")
_IN_GENERAL = {"define": _DEFINING, "mean": _MEANING, "work": _WORKING}
_MANY = frozenset(["are", "do", "mean", "work"])  # verbs of a plural
_PLURALS = """
    arms authorities customs damages forces funds glasses goods letters manners means minutes quarters scales spirits
    terms works
"""
_ONLY_PLURAL = frozenset(_PLURALS.split())
"""Plurals that may be another word than their singular."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as it is compared.

    `text` is what was asked; `plain` its words without case, spacing and the marks at its end; `shape` what must be
    the same in the same order for two questions to be one. `cased`: those of its words that have capitals, where these
    say something; None of a text that is all small or all capital.
    """

    text: str
    plain: str
    shape: tuple[str, ...]
    cased: tuple[str, ...] | None


def read_question(text: str) -> Question:
    """How a question is compared: 40 µs."""
    text = unicodedata.normalize("NFC", text.strip())
    polite = _POLITE.match(" ".join(text.split()))
    if polite is None or len(text) > MAX_CHARS or _LETTERS_COUNT.search(text):
        return Question(text, text, (text,), ())
    words = _words(polite["asked"])
    plain = " ".join(word.casefold() for word in words)
    if text.islower() or text.isupper():
        return Question(text, plain, _shape(_spoken(words, capitals=False)), None)
    cased = [word for place, word in enumerate(words) if _has_capitals(word, first=place == 0)]
    return Question(text, plain, _shape(_spoken(words, capitals=True)), tuple(cased))


def worded_alike(asked: Question, kept: Question) -> bool:
    """Whether an answer to `kept` may be one to `asked`, as far as their words tell.

    Who types without capitals means what stands there with them ("defi", "DeFi"); who types with them means these
    ("What is Turkey?" is not asked by "what is turkey?", though it may answer it).
    """
    return asked.shape == kept.shape and (asked.cased is None or asked.cased == kept.cased)


def said_alike(asked: Question, kept: Question) -> bool:
    """Whether they are the same words: then there is no need to look at vectors."""
    return asked.plain == kept.plain


def _words(text: str) -> list[str]:
    """The words as they are typed. Signs that may mean something stay: C++, -5, .NET, the comma in "No, …"."""
    typed = _HYPHEN.sub(" ", text.translate(_APOSTROPHES)).split()
    if typed:
        bare = typed[-1].rstrip(_ENDS + "!")
        typed[-1] = bare if bare.isalpha() else typed[-1].rstrip(_ENDS)  # 5! is a number
    return [word for word in map(_unquoted, typed) if word]


def _unquoted(word: str) -> str:
    word = word.strip(_QUOTES)
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] == "'" else word


def _has_capitals(word: str, *, first: bool) -> bool:
    """Whether a word's capitals are its own (DeFi, WHO), and not those of the beginning of a sentence, or of "I'm"."""
    return any(char.isupper() for char in (word[1:] if first else word)) and word != "I" and word[:2] != "I'"


def _spoken(words: list[str], *, capitals: bool) -> list[str]:
    """Folded words without contractions and idle ones. A word of grammar in capitals is a name: WHO."""
    if len(words) == 2 and words[0].casefold() == "what's" and not words[1].endswith("ed"):
        words = ["what", "is", words[1]]
    said: list[str] = []
    for place, typed in enumerate(words):
        word = typed.casefold()
        if capitals and len(word) > 1 and typed.isupper() and word in _FUNCTION:
            said.append(typed)
        elif word not in _IDLE or not said or said[-1] not in _ASKING:
            said += _expanded(word, words[place + 1].casefold() if place + 1 < len(words) else "").split()
    return [fold_spelling(word) for word in said]


def _expanded(word: str, following: str) -> str:
    if word in _CONTRACTED:
        return _CONTRACTED[word]
    for ending, whole in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending):
            return word.removesuffix(ending) + whole
    if word.endswith("'s") and word[:-2] in _ASKING and following in _BEFORE_NOUN:
        return f"{word[:-2]} is"  # else it may be a "has"
    return word


def _shape(spoken: list[str]) -> tuple[str, ...]:
    said = " ".join(spoken)
    if framed := _FRAME.match(said):
        said = _TURNED.sub(r"\g<asks> \g<verb> \g<rest>", said[framed.end() :])
    if said.startswith("how can i "):
        said = said.replace("can", "do", 1)
    for asked, patterns in _IN_GENERAL.items():
        if found := _about_a_thing(said, patterns, asked):
            return found
    return _plain_shape(said)


def _about_a_thing(said: str, patterns: tuple[re.Pattern[str], ...], asked: str) -> tuple[str, ...] | None:
    """What is asked about a thing in general; None where it is asked about one in particular ("the bank", "it")."""
    for pattern in patterns:
        if found := pattern.match(said):
            words = found["name"].split()
            one = words[0] in ("a", "an")
            words = words[1:] if one else words
            if not words or any(word.casefold() in _FUNCTION for word in words):
                return None
            many = found.groupdict().get("verb") in _MANY
            last = _singular(words[-1]) if many else words[-1]
            generic = one or many or len(words) > 1  # "a good" and "goods", but not "good"
            return (f"{asked} a" if generic else asked, *words[:-1], last)
    return None


def _singular(word: str) -> str:
    if word in _ONLY_PLURAL or len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "xes", "sses")) else word[:-1]


def _plain_shape(said: str) -> tuple[str, ...]:
    words = said.split()
    subjects = sum(word not in _FUNCTION for word in words)
    return tuple("a" if word == "an" else word for word in words if word != "the" or subjects < _FEW)
