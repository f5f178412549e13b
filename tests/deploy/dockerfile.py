"""What a Dockerfile says: its stages and their instructions, with ARG and ENV put in. Enough of the grammar for ours.

Written for the standard library alone: the replay runs it with whatever Python there is.
"""

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

VARIABLE = re.compile(r"(?<!\\)\$(?:\{(\w+)\}|(\w+))")
ASSIGNMENT = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')
OPTION = re.compile(r"--([a-z]+)=(\S+)\s+")


@dataclass
class Instruction:
    word: str
    rest: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def array(self) -> list[str]:
        """The form in brackets, of CMD, ENTRYPOINT and SHELL. Raises ValueError where it is the other form."""
        found = json.loads(self.rest)
        if not isinstance(found, list):
            raise ValueError(self.rest)
        return [str(one) for one in found]

    @property
    def assignments(self) -> dict[str, str]:
        return {name: value.strip('"') for name, value in ASSIGNMENT.findall(self.rest)}


@dataclass
class Stage:
    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [one for one in self.instructions if one.word == word]

    def last(self, word: str) -> Instruction:
        return self.all(word)[-1]


def parse(text: str) -> list[Stage]:
    """The stages in their order.

    Raises:
        ValueError: an instruction stands before the first FROM that is not ARG, or FROM is of a form not known here.
    """
    stages: list[Stage] = []
    arguments: dict[str, str] = {}
    for one in _instructions(text):
        if one.word == "FROM":
            match = re.fullmatch(r"([^-\s]\S*)(?:\s+[Aa][Ss]\s+(\S+))?", put_in(one.rest, arguments))
            if not match:
                raise ValueError(one.rest)
            stages.append(Stage(match[1], match[2] or str(len(stages))))
        elif stages:
            stages[-1].instructions.append(one)
        elif one.word == "ARG":
            arguments |= one.assignments
        else:
            raise ValueError(one.word)
    return stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not re.match(r"\s*#", line)]
    whole = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in whole.splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        options: dict[str, str] = {}
        while match := OPTION.match(rest.lstrip()):
            options[match[1]] = match[2]
            rest = rest.lstrip()[match.end() :]
        found.append(Instruction(word.upper(), rest.strip(), options))
    return found


def put_in(text: str, values: dict[str, str]) -> str:
    """`text` with $NAME and ${NAME} replaced; what has no value becomes nothing."""
    return VARIABLE.sub(lambda match: values.get(match[1] or match[2], ""), text)


class Ignored:
    """What a .dockerignore leaves out: the last pattern that fits a path, or a folder it is in, decides."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        self._rules = [line for line in lines if line and not line.startswith("#")]

    def __contains__(self, path: str) -> bool:
        out = False
        for rule in self._rules:
            keep, pattern = rule.startswith("!"), rule.lstrip("!").strip("/")
            if any(_fits(place, pattern) for place in _places(path)):
                out = not keep
        return out


def _places(path: str) -> list[str]:
    pure = PurePosixPath(path)
    return [str(pure), *(str(parent) for parent in pure.parents if str(parent) != ".")]


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return any(_fits("/".join(path.split("/")[start:]), pattern[3:]) for start in range(path.count("/") + 1))
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch, parts, wanted))


def context(root: Path, ignored: Ignored, source: str) -> list[Path]:
    """The files below `root` that COPY `source` takes, without those left out."""
    start = root / source
    files = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
    return [path for path in files if path.relative_to(root).as_posix() not in ignored]
