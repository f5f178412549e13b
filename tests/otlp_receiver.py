"""A far end for traces: speaks OTLP over real HTTP on a real port, and does as it is told."""

import asyncio
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Told:
    """A span as it arrived. `parent` and ids are hexadecimal; `parent` is empty for the first span of a trace."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    error: bool
    seconds: float
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Posted:
    """A request: its headers' names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> ExportTraceServiceRequest:
        packed = self.headers.get("content-encoding") == "gzip"
        return ExportTraceServiceRequest.FromString(zlib.decompress(self.body, 31) if packed else self.body)

    @property
    def resource(self) -> dict[str, Any]:
        return _facts(self.message.resource_spans[0].resource.attributes)

    @property
    def spans(self) -> list[Told]:
        return [
            Told(
                span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, span.kind,
                span.status.code == 2, (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                _facts(span.attributes),
            )
            for sent in self.message.resource_spans for scope in sent.scope_spans for span in scope.spans
        ]  # fmt: skip


class OtlpReceiver:
    """`answer` is what it answers with; None: it says nothing, and keeps the connection open."""

    def __init__(self) -> None:
        self.url = ""
        self.posted: list[Posted] = []
        self.answer: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        self._arrived = asyncio.Condition()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def status(self, code: int, headers: str = "") -> None:
        self.answer = f"HTTP/1.1 {code} Canary\r\n{headers}Content-Length: 0\r\n\r\n".encode()

    async def spans(self, name: str, count: int = 1) -> list[Told]:
        """All spans that have arrived, as soon as there are so many of that name."""

        def enough() -> bool:
            return sum(span.name == name for span in self.all) >= count

        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(enough), 20)
        return self.all

    async def requests(self, count: int = 1) -> list[Posted]:
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: len(self.posted) >= count), 20)
        return self.posted

    @property
    def all(self) -> list[Told]:
        return [span for request in self.posted for span in request.spans]

    @property
    def raw(self) -> bytes:
        """Everything that has arrived, unpacked."""
        return b"".join(request.message.SerializeToString() for request in self.posted)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    """One after the other."""
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        async with self._arrived:
            self.posted.append(Posted(first.split()[1], headers, body))
            self._arrived.notify_all()
        if self.answer is None:
            await reader.read()
            return False
        writer.write(self.answer)
        await writer.drain()
        return True


def _facts(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(one) for one in value.array_value.values)
    return getattr(value, kind)
