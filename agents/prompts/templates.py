"""Prompts as files, `<name>.v<version>.md`: which version of each is used, what it leaves open, how it is filled in.

A change of a prompt is a new file, so that what an older answer was made with can be read again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A version of a prompt, and the names of what is filled in where the file has `{{name}}`."""

    name: str
    version: int
    placeholders: frozenset[str] = frozenset()

    @property
    def file(self) -> str:
        return f"{self.name}.v{self.version}.md"


PROMPTS: Mapping[str, Prompt] = MappingProxyType(
    {
        prompt.name: prompt
        for prompt in (
            Prompt("system", 1),
            Prompt("persona", 1, frozenset({"instructions"})),
            Prompt("wishes", 1, frozenset({"wishes"})),
            Prompt("summary", 1),
            Prompt("summarised", 1, frozenset({"summary"})),
            Prompt("title", 1),
        )
    }
)
PROMPT_VERSIONS = " ".join(f"{name}.v{PROMPTS[name].version}" for name in ("system", "persona", "wishes", "summarised"))
"""What an answer is made with, as the log says it."""


def render(name: str, **values: str) -> str:
    """The prompt of that name. Values are put in as they are: what looks like a placeholder in one stays.

    Raises:
        KeyError: there is no such prompt.
        ValueError: other values than the prompt declares.
    """
    prompt = PROMPTS[name]
    if values.keys() != prompt.placeholders:
        raise ValueError(f"the prompt {name} takes {sorted(prompt.placeholders)}")
    text = read(prompt.file)
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text) if values else text


def placeholders_in(text: str) -> frozenset[str]:
    return frozenset(_PLACEHOLDER.findall(text))


@cache  # the files are few, and belong to the code
def read(file: str) -> str:
    """A prompt's file, without the line break at its end."""
    return files(__package__).joinpath(file).read_text("utf-8").removesuffix("\n")
