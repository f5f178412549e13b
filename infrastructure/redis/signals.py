"""Short news from one worker to all, over a stream: what somebody changed, or wants done where a run is written.

Each worker hears what is sent from its start on, its own included, in one order and once, also over a connection that
broke meanwhile. Whoever was away for more than the newest `KEPT` has missed some: a signal is to hasten what is found
out in the end without it.
"""

from collections.abc import Callable, Mapping, Sequence

import orjson
import structlog
from redis.typing import EncodableT, FieldT

from infrastructure.redis.link import RedisLink
from infrastructure.redis.streams import Item, Streams

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
KEPT = 10_000
KIND, DATA = b"k", b"d"

Handler = Callable[[Mapping[str, str]], None]


class Signals:
    """Signals of all workers under one prefix."""

    def __init__(self, link: RedisLink, streams: Streams) -> None:
        self._link = link
        self._key = f"{link.prefix}signals"
        self._handlers: dict[str, list[Handler]] = {}
        streams.follow(self._key, self._take)

    def on(self, kind: str, handler: Handler) -> None:
        """Have `handler` called with the data of each signal of this kind. It must not wait."""
        self._handlers.setdefault(kind, []).append(handler)

    async def send(self, kind: str, data: Mapping[str, str]) -> None:
        """Tell all workers, this one included.

        Raises:
            RedisAway: it may have been sent all the same.
        """
        fields: dict[FieldT, EncodableT] = {KIND: kind.encode(), DATA: orjson.dumps(data)}
        await self._link.ask(lambda client: client.xadd(self._key, fields, maxlen=KEPT, approximate=True))

    def _take(self, items: Sequence[Item]) -> None:
        for _, (_, kind, _, data) in items:
            for handler in self._handlers.get(kind.decode(), ()):
                try:
                    handler(orjson.loads(data))
                except Exception as error:  # the edge of the reader's task: the next signal is to be heard
                    log.exception("a signal could not be followed", kind=kind.decode(), error=type(error).__name__)
