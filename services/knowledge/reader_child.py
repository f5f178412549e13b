"""One child that reads files: started without anything secret in its environment, asked, and killed as a group."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from infrastructure.errors import KnowledgeError
from services.knowledge.readers.limits import TOO_LONG, ReadingLimits
from services.knowledge.reading_wire import HEADER, MAX_FRAME_BYTES, BadFrames, Kind, frame

_ROOT = Path(__file__).parents[2]
_PASSED_ON = {"PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "LANG", "TZ", "SYSTEMROOT"}
_PASSED_ON_PREFIXES = ("LC_", "COVERAGE_")  # the second measures tests
_SET = {
    "PYTHONIOENCODING": "utf-8",
    "OPENPYXL_DEFUSEDXML": "False",  # which parses in Python, a third slower; what it keeps out, `archive` refuses
}
_SECONDS_TO_START = 60.0
_SECONDS_TO_END = 2.0
_BYTES_A_CHAR = 4
_BYTES_A_CHUNK = 8_000  # six headings of 300 characters, and numbers
_BYTES_A_PAGE = 64
_BUFFER = 1024**2


class ChildDied(Exception):
    """Its process ended by itself, with `status`: an exit status, or a signal's number with a minus."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class Answer:
    """The payloads of what a child said of a file, not decoded yet; or the `reason` for which there are none."""

    about: bytes = b""
    texts: list[bytes] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    reason: str | None = None
    fault: str | None = None
    goes_on: bool = False  # whether the child takes another file


class ReaderChild:
    def __init__(self, process: asyncio.subprocess.Process, limits: ReadingLimits) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("its streams must be pipes")
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._limits = limits
        self._drain = asyncio.create_task(_drain(process.stderr))
        self.is_fresh = True
        self.has_begun = False  # with the file that it was asked for last

    @classmethod
    async def start(cls, limits: ReadingLimits, chunk_size: int, chunk_overlap: int) -> "ReaderChild":
        """
        Raises:
            ChildDied: it did not come up.
        """
        told = {"limits": asdict(limits), "chunk_size": chunk_size, "chunk_overlap": chunk_overlap}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "services.knowledge.reading_worker", orjson.dumps(told).decode()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
            limit=_BUFFER,
        )
        child = cls(process, limits)
        ready = False
        try:
            async with asyncio.timeout(_SECONDS_TO_START):
                kind, _ = await child._frame()
            ready = kind is Kind.READY
        except (TimeoutError, BadFrames):
            pass
        finally:
            if not ready:
                await child.end()
        if not ready:
            raise ChildDied(-signal.SIGKILL)
        return child

    async def ask(self, path: Path, name: str, media_type: str, on_progress: Callable[[str], None]) -> Answer:
        """Have a file read.

        Raises:
            KnowledgeError: it says more than the limits allow.
            ChildDied, BadFrames
        """
        self.has_begun = False
        request = {"path": str(path), "name": name, "media_type": media_type}
        with suppress(ConnectionError):  # it is gone: reading tells how
            self._stdin.write(frame(Kind.REQUEST, orjson.dumps(request)))
            await self._stdin.drain()
        answer = Answer()
        budget = _Budget(self._limits)
        while True:
            kind, payload = await self._frame()
            budget.take(kind, len(payload))
            self.has_begun = True
            if kind is Kind.PROGRESS:
                on_progress(payload.decode("ascii", "replace"))
            elif kind is Kind.END:
                answer.goes_on = not _told(payload)["rests"]
                self.is_fresh = False
                return answer
            else:
                _take(answer, kind, payload)

    async def finish(self) -> None:
        """Let it end by itself, which it does once nothing more is asked."""
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS_TO_END):
                await self.ended()
        await self.end()

    async def end(self) -> None:
        """End it at once, whatever it is doing. Only for whom nobody else is asking it."""
        self.kill()
        await _drain(self._stdout)  # what it had still to say would keep its pipe open
        await self.ended()

    def kill(self) -> None:
        """End it and whatever it may have started, at once."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for its end; its status."""
        status = await self._process.wait()
        await self._drain
        return status

    async def _frame(self) -> tuple[Kind, bytes]:
        stdout = self._stdout
        try:
            number, length = HEADER.unpack(await stdout.readexactly(HEADER.size))
            if length > MAX_FRAME_BYTES:
                raise BadFrames("a frame is too long")
            return Kind(number), await stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise ChildDied(await self.ended()) from None
        except ValueError as error:
            raise BadFrames("not a frame") from error


class _Budget:
    """Counts what a child says of one file, before any of it is decoded."""

    def __init__(self, limits: ReadingLimits) -> None:
        about = _BYTES_A_CHAR * 10_000 + _BYTES_A_PAGE * limits.pages
        self._left = {
            Kind.PROGRESS: 1_000,
            Kind.DOCUMENT: about,
            Kind.TEXT: _BYTES_A_CHAR * limits.text_chars,
            Kind.CHUNKS: _BYTES_A_CHUNK * limits.chunks,
            Kind.FAILURE: 10_000,
            Kind.END: 1_000,
        }

    def take(self, kind: Kind, length: int) -> None:
        if kind not in self._left:
            raise BadFrames("not an answer")
        self._left[kind] -= length + 1
        if self._left[kind] < 0:
            raise KnowledgeError(TOO_LONG)


def _take(answer: Answer, kind: Kind, payload: bytes) -> None:
    if kind is Kind.DOCUMENT:
        answer.about = payload
    elif kind is Kind.TEXT:
        answer.texts.append(payload)
    elif kind is Kind.CHUNKS:
        answer.chunks.append(payload)
    else:
        told = _told(payload)
        answer.reason = str(told["reason"])[:200]
        answer.fault = None if told["fault"] is None else str(told["fault"])[:200]


def _told(payload: bytes) -> dict[str, object]:
    try:
        told = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise BadFrames("not JSON") from error
    if not isinstance(told, dict) or not {"rests", "reason"} & told.keys():
        raise BadFrames("not an answer")
    return {"fault": None, **told}


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read and forget what a library prints: it may hold the document's text, and a full pipe would stop the child."""
    while await stream.read(_BUFFER):
        pass


def _environment() -> dict[str, str]:
    """What the child needs to find Python and the code. No key, address or secret of the service is in it."""
    passed = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    paths = [str(_ROOT), *filter(None, [passed.get("PYTHONPATH")])]
    return {**passed, **_SET, "PYTHONPATH": os.pathsep.join(paths)}
