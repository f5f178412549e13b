"""What is known of a run when it has ended: its spans, in the order in which they began."""

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["run", "node", "tool", "generation"]


@dataclass(slots=True)
class Span:
    """A piece of work. `parent` is its place in `Trace.spans`; times are Unix nanoseconds, `end` 0 while it goes on.

    `error` is an error's kind, never its message. What `facts` may hold stands in `attributes`.
    """

    kind: Kind
    name: str
    parent: int | None
    start: int
    end: int = 0
    error: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Trace:
    """A run's spans; the first one is the run. `session` and `user` are ids as they are: only their hashes leave."""

    id: bytes  # 16
    name: str
    session: str | None
    user: str | None
    spans: list[Span] = field(default_factory=list)
