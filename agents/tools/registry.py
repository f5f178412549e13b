"""The tools that there are, by name, and which of them an agent may use."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from agents.tools.base import Tool

log = structlog.get_logger()
Source = Callable[[], Sequence[Tool]]
"""Tools that come and go, as those of a server elsewhere. The same sequence again means that nothing has changed."""


class Registry:
    """Tools by name. Where a name is taken twice the first one has it: the built-in tools, then sources in order."""

    def __init__(self, tools: Iterable[Tool] = (), sources: Iterable[Source] = ()) -> None:
        self._built_in = tuple(tools)
        self._sources = tuple(sources)
        self._seen: tuple[Sequence[Tool], ...] | None = None
        self._tools: Mapping[str, Tool] = {}

    @property
    def may_ask(self) -> bool:
        """Whether there is, or may come to be, a tool that asks a person before it runs."""
        return bool(self._sources) or any(tool.side_effects for tool in self._built_in)

    def offered(self, names: frozenset[str] | None = None) -> Mapping[str, Tool]:
        """The tools that are there now; those of `names` where an agent may not use them all."""
        tools = self._current()
        return tools if names is None else {name: tool for name, tool in tools.items() if name in names}

    def _current(self) -> Mapping[str, Tool]:
        seen = (self._built_in, *(source() for source in self._sources))
        if self._seen is None or any(now is not before for now, before in zip(seen, self._seen, strict=True)):
            self._seen, self._tools = seen, _by_name(seen)
        return self._tools


def _by_name(groups: Iterable[Sequence[Tool]]) -> dict[str, Tool]:
    tools: dict[str, Tool] = {}
    for tool in (tool for group in groups for tool in group):
        if tools.setdefault(tool.spec.name, tool) is not tool:
            log.warning("a tool's name is taken", tool=tool.spec.name)
    return tools
