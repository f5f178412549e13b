"""The cache manager: bytes that were dear to make, kept until they are old, too many, or no longer what was stored."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from infrastructure.cache_store import CacheEntry, CacheFileCorrupt, CacheStore, CacheUnavailable

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

OnOperation = Callable[[str, str], None]
"""Told of each entry asked for or stored: operation (`get`, `put`) and result (`hit`, `miss`, `expired`, `corrupt`,
`stored`, `error`). Both are bounded, fit for a metric's labels."""

_T = TypeVar("_T")
_DAY = 86_400.0
_TOUCH_AFTER = 60.0  # seconds between two notes of an entry's use: a read is seldom a write
_TRIM_TO = 0.9  # of the maximum, so that trimming is not done for each new entry
_LOOK_AFTER = 0.02  # of the maximum stored by this process, it looks what all have: that reads an index from end to end


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counts since the start. `available` is False when nothing can be kept (switched off, or no right to write)."""

    available: bool
    hits: int
    misses: int
    corrupt: int
    expired: int
    stored: int
    size_bytes: int

    @property
    def hit_rate(self) -> float:
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


def cache_key(*parts: str) -> bytes:
    """SHA-256 over `parts`, each behind its length, so that no two lists of parts look alike."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


class CacheManager:
    """Namespaces of entries over a store that may fail: a cache that cannot work is an empty one, never an error."""

    def __init__(
        self,
        store: CacheStore,
        *,
        max_bytes: int,
        expiry_days: float,
        enabled: bool = True,
        clock: Callable[[], float] = time.time,
        on_operation: OnOperation | None = None,
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._expiry = expiry_days * _DAY
        self._enabled = enabled
        self._clock = clock
        self._on_operation = on_operation
        self._counts: Counter[str] = Counter()
        self._available = False
        self._warned = False
        self._size = 0
        self._stored_since = 0

    async def open(self) -> None:
        """Open the store; a corrupt file is begun anew, and without a writable folder there is no cache."""
        if not self._enabled:
            return
        self._available = True
        await self._attempt(self._store.open(), None)
        self._size = await self._attempt(self._store.size(), 0)

    async def close(self) -> None:
        self._available = False
        await self._store.close()

    def stats(self) -> CacheStats:
        c = self._counts
        misses = c["miss"] + c["expired"] + c["corrupt"]
        return CacheStats(self._available, c["hit"], misses, c["corrupt"], c["expired"], c["stored"], self._size)

    async def get_many(self, namespace: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order; None for one that is missing, too old, or not what was stored."""
        if not self._available or not keys:
            return [None] * len(keys)
        now = self._clock()
        nothing: list[CacheEntry] = []
        results = {
            e.key: (self._judge(namespace, e, now), e) for e in await self._attempt_get(namespace, keys, nothing)
        }
        await self._drop(namespace, [key for key, (result, _) in results.items() if result != "hit"])
        old = [k for k, (result, e) in results.items() if result == "hit" and now - e.used_at >= _TOUCH_AFTER]
        await self._attempt(self._store.touch(namespace, old, now), None)
        return [self._take(results.get(key)) for key in keys]

    async def put_many(self, namespace: str, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep `(key, value)` pairs, then remove the least recently used ones if there are too many bytes."""
        if not self._available:
            return
        now = self._clock()
        entries = [CacheEntry(key, value, _checksum(namespace, key, value), now, now) for key, value in items]
        stored = await self._attempt(self._put(namespace, entries), False)
        for _ in entries:
            self._note("put", "stored" if stored else "error")
        if self._available and self._stored_since > self._max_bytes * _LOOK_AFTER:
            await self._keep_within()

    async def _keep_within(self) -> None:
        """Look how much there is by now, from all processes, and trim it if it is too much."""
        self._stored_since = 0
        self._size = await self._attempt(self._store.size(), self._size)
        if self._size > self._max_bytes:
            await self._attempt(self._store.trim(int(self._max_bytes * _TRIM_TO)), None)
            self._size = await self._attempt(self._store.size(), 0)

    async def remove_many(self, namespace: str, keys: Sequence[bytes]) -> None:
        """Remove the entries of `keys`, as far as there are any."""
        if self._available and keys:
            await self._drop(namespace, keys)
            self._size = await self._attempt(self._store.size(), self._size)

    async def _put(self, namespace: str, entries: Sequence[CacheEntry]) -> bool:
        await self._store.put(namespace, entries)
        added = sum(len(entry.value) for entry in entries)
        self._size += added  # more than it is when one was replaced, and less than others stored: until the next look
        self._stored_since += added
        return True

    async def _attempt_get(self, namespace: str, keys: Sequence[bytes], nothing: list[CacheEntry]) -> list[CacheEntry]:
        return await self._attempt(self._store.get(namespace, keys), nothing)

    def _judge(self, namespace: str, entry: CacheEntry, now: float) -> str:
        if entry.checksum != _checksum(namespace, entry.key, entry.value):
            return "corrupt"
        return "expired" if now - entry.created_at > self._expiry else "hit"

    def _take(self, found: tuple[str, CacheEntry] | None) -> bytes | None:
        result, entry = found if found else ("miss", None)
        self._note("get", result)
        return entry.value if entry and result == "hit" else None

    async def _drop(self, namespace: str, keys: Sequence[bytes]) -> None:
        if keys:
            await self._attempt(self._store.delete(namespace, keys), None)

    def _note(self, operation: str, result: str) -> None:
        self._counts[result] += 1
        if self._on_operation:
            self._on_operation(operation, result)

    async def _attempt(self, work: Coroutine[Any, Any, _T], otherwise: _T) -> _T:
        """`work`'s result, or `otherwise` when the store could not do it."""
        if not self._available:
            work.close()
            return otherwise
        try:
            return await work
        except CacheFileCorrupt as error:
            await self._begin_anew(error)
        except CacheUnavailable as error:
            self._give_up(error)
        return otherwise

    async def _begin_anew(self, error: CacheFileCorrupt) -> None:
        _logger.warning("cache_file_corrupt", error=str(error), action="removed and begun anew")
        self._counts["corrupt_files"] += 1
        self._size = 0
        try:
            await self._store.begin_anew(error.file)
        except (CacheFileCorrupt, CacheUnavailable) as again:
            self._available = False
            self._give_up(again)

    def _give_up(self, error: Exception) -> None:
        """Without an open file there is no cache; with one, the next try may do better (a lock, a full disk)."""
        self._available = self._available and self._store.is_open
        if not self._warned:
            self._warned = True
            _logger.warning("cache_unavailable", error=str(error), action="going on without it")


def _checksum(namespace: str, key: bytes, value: bytes) -> bytes:
    digest = hashlib.blake2b(value, digest_size=16, key=key[:64])
    digest.update(namespace.encode())
    return digest.digest()
