"""What a PromQL expression reads: enough of its grammar to name the metrics and labels in it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"(?<![\w.$:])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\()(?![\w:])")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
KEYWORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan"}


class Selector(NamedTuple):
    metric: str
    labels: frozenset[str]


def selectors(expression: str) -> Iterator[Selector]:
    """Each `metric{labels}`; a metric without braces has no labels."""
    bare = GROUPING.sub(" ", re.sub(r"\[[^\]]*\]", " ", STRING.sub('""', expression)))
    for metric, braces in SELECTOR.findall(bare):
        if metric not in KEYWORDS:
            yield Selector(metric, frozenset(LABEL.findall(braces)))


def grouped_by(expression: str) -> set[str]:
    """The labels that the expression groups or matches by."""
    lists = GROUPING.findall(STRING.sub('""', expression))
    return {name.strip() for names in lists for name in names.split(",") if name.strip()}
