"""How text becomes search terms: one analysis for the index, for questions and for comparing passages."""

import re

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer

FORMAT = 2
"""Raise it when the analysis or the schema changes: an index on disk of another format is built anew."""

STOP_WORDS = (
    "a about all also am an and any are as at be been being but by can could did do does doing else "
    "etc for from get give given gives had has have having he her here hers him his how i if in into is it its "
    "itself just let like many may me might much must my of off on once onto or our ours out over please "
    "she should so some such tell than that the their theirs them then there these they this those though through "
    "to too under until up upon very was we were what when where whether which while who whom whose "
    "why will with within without would yes you your yours "
    "after again against among because before between both during each ever further more most only other own per "
    "same still via yet "
    "don doesn didn isn aren wasn weren wouldn couldn shouldn hasn haven hadn ll ve re s t"
)
"""English function words, the words of asking among them, and what an apostrophe leaves over."""

_LONGEST_TERM = 64  # longer runs are base64 or hashes: nobody asks for them by word
_BRITISH = re.compile(r"(?<=[a-z]{3})is(?=(?:e[drs]?|ers|ing|ations?|able)\b)")
_PLURAL = re.compile(r"\b([A-Z]{2,6}|[A-Z]{0,2}\d{1,2})s\b")  # of an acronym, which the stemmer takes for a word
_HYPHENED = re.compile(r"\b(\w{1,5})-(\w{1,20})\b")
_GLUED = re.compile(r"[A-Za-z]\d")
_NUMBERED = re.compile(r"\b([A-Za-z]{2,12})(\d{1,6})\b")


def fold_spelling(text: str) -> str:
    """British -ise, -ised, -isation … as the American -ize: both sides of a comparison go through it, so that a word
    like `otherwize` does no harm. And acronyms without their plural's s.
    """
    return _BRITISH.sub("iz", _PLURAL.sub(r"\1", text))


def widen_spelling(text: str) -> str:
    """`fold_spelling` for a text to be found, with the other spellings of its compounds added: `re-entrancy` is found
    as `reentrancy` too, `ERC20` as `ERC-20`.
    """
    folded = fold_spelling(text)
    if "-" in folded:  # a look costs a twentieth of the substitution
        folded = _HYPHENED.sub(r"\1-\2 \1\2", folded)
    return _NUMBERED.sub(r"\1\2 \1 \2", folded) if _GLUED.search(folded) else folded


class Analyzer:
    """Words to stemmed English terms: lower case, ASCII where a letter folds to it, no stop words.

    Safe to share between threads: a call keeps the interpreter's lock. 4 µs a sentence.
    """

    def __init__(self) -> None:
        self._analyzer = build_analyzer()

    def terms(self, text: str) -> list[str]:
        """The terms of a question, in order."""
        return self._analyzer.analyze(fold_spelling(text))

    def widened_terms(self, text: str) -> list[str]:
        """The terms of a text to be found, as the index has them: with the other spellings of compounds."""
        return self._analyzer.analyze(widen_spelling(text))


def build_analyzer() -> TextAnalyzer:
    """The part that tantivy does; stop words go before stemming."""
    return (
        TextAnalyzerBuilder(Tokenizer.simple())
        .filter(Filter.remove_long(_LONGEST_TERM))
        .filter(Filter.lowercase())
        .filter(Filter.ascii_fold())
        .filter(Filter.custom_stopword(STOP_WORDS.split()))
        .filter(Filter.stemmer("english"))
        .build()
    )
