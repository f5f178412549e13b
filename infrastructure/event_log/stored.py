"""A run's log as Redis has it.

A hash `{prefix}run:{id}`: `owner` (missing: nobody's), `fence` and `writer` (who may write it), `since` (behind which
frame this writer began), `round` (how often it made the log anew), `seq` (the newest frame), `ended`, and `base` and
`text` (the newest frame that is no longer there, and the answer up to it).
A stream `{prefix}run:{id}:log`: an entry for each batch that a writer sent, its id `<seq of the last frame>-0`, so that
Redis itself refuses to have a number twice. `f` holds the frames, one a line, `m` is JSON: the writer's fence, the
frames' texts, the places of those that begin the answer anew, and whether the last one is terminal.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from infrastructure.event_log.entry import Entry

NAME = re.compile(r"[0-9A-Za-z-]{1,64}")  # so that no run's id is the name of another run's key


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """What one call of a writer added."""

    fence: int
    entries: list[Entry]
    size: int  # in bytes

    @property
    def last(self) -> int:
        return self.entries[-1].seq


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run with all that is there of it."""

    owner: str | None
    fence: int
    since: int
    seq: int
    base: int
    text: str
    batches: list[StoredBatch]

    @property
    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch.entries]


def keys(prefix: str, run_id: str) -> tuple[str, str]:
    """The names of a run's hash and of its stream."""
    run = f"{prefix}run:{run_id}"
    return run, f"{run}:log"


def encode_batch(entries: Sequence[Entry], fence: int) -> tuple[bytes, bytes]:
    """The fields `f` and `m` of a batch."""
    restarts = [place for place, entry in enumerate(entries) if entry.restart]
    meta = (fence, [entry.text for entry in entries], restarts, entries[-1].terminal)
    return b"\n".join([entry.data for entry in entries]), orjson.dumps(meta)


def decode_batch(item: Sequence[Any]) -> StoredBatch:
    """A batch from an entry of the stream."""
    name, (_, frames, _, meta) = item
    fence, texts, restarts, terminal = orjson.loads(meta)
    first = int(name.partition(b"-")[0]) - len(texts) + 1
    entries = [
        Entry(seq, data, text) for seq, (data, text) in enumerate(zip(frames.split(b"\n"), texts, strict=True), first)
    ]
    for place in restarts:
        entries[place] = entries[place]._replace(restart=True)
    if terminal:
        entries[-1] = entries[-1]._replace(terminal=True)
    return StoredBatch(fence, entries, len(frames) + len(meta))


def decode_run(reply: Sequence[Any]) -> StoredRun:
    """A run from what the scripts `FETCH` and `TAKE` return."""
    (owner, fence, since, seq, base, text), items = reply
    return StoredRun(
        None if owner is None else owner.decode(), int(fence), int(since), int(seq), int(base), text.decode(),
        [decode_batch(item) for item in items],
    )  # fmt: skip
