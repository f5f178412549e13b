"""All of tracing that a run meets: whether it is traced, under which id, and where its trace goes."""

import asyncio
from collections.abc import Sequence

from infrastructure.tracing.export import Export
from infrastructure.tracing.hashes import Hashes
from infrastructure.tracing.record import Trace

FLUSH_SECONDS = 2.0


class Tracing:
    """Fits the agents' port. `share` of all runs is traced; `content` says whether their texts are told too."""

    def __init__(self, exports: Sequence[Export], hashes: Hashes, *, content: bool, share: float = 1.0) -> None:
        self.content = content
        self._exports = tuple(exports)
        self._hashes = hashes
        self._bound = round(share * (1 << 64))  # as OpenTelemetry's TraceIdRatioBased has it

    def trace_id(self, run_id: str) -> bytes | None:
        """None: it is not traced."""
        trace_id = self._hashes.trace_id(run_id)
        return trace_id if int.from_bytes(trace_id[8:]) < self._bound else None

    def take(self, trace: Trace) -> None:
        """Send it on its way."""
        for export in self._exports:
            export.take(trace)

    async def aclose(self) -> None:
        """Send what waits, for two seconds at most."""
        await asyncio.gather(*(export.aclose(FLUSH_SECONDS) for export in self._exports))
