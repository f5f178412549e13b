"""The reading process: `python -m services.knowledge.reading_worker`, started by `ReadingProcess` and no one else.

It reads and cuts one file after another, in limits that the kernel keeps: memory, CPU time, open files, no core dumps,
no large files written. It opens no socket and starts no process, whatever a file makes a library do. Requests come on
stdin; answers go to what was stdout; what a library prints goes to stderr.
"""

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from infrastructure.errors import KnowledgeError
from services.knowledge.chunk import chunk
from services.knowledge.extract import extract_file
from services.knowledge.readers.limits import TOO_LONG, TOO_MUCH_MEMORY, ReadingLimits
from services.knowledge.reading_wire import EXIT_NO_MEMORY, HEADER, Kind, encode, frame

_COULD_NOT = "it could not be read"
_FILES_A_PROCESS = 50
_GROWTH_A_PROCESS = 0.25  # of the memory that a file may take: with more kept from earlier files, the next has less
_LOOKS_EVERY = 0.02  # seconds
_ROOM = 64 * 1024**2  # for libraries that are loaded, and for what is taken between two looks
_OPEN_FILES = 64
_WRITTEN_BYTES = 16 * 1024**2
_PR_SET_PDEATHSIG = 1
_FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system")


def main(arguments: list[str]) -> None:
    told = orjson.loads(arguments[0])
    limits = ReadingLimits(**told["limits"])
    requests, answers = _streams()
    _confine(limits)
    begun_with = _resident_bytes()
    answers.write(frame(Kind.READY, b""))
    for count in range(1, _FILES_A_PROCESS + 1):
        request = _request(requests)
        if request is None:
            return
        _limit_cpu(limits)
        enough_memory = _answer(answers, request, limits, told["chunk_size"], told["chunk_overlap"])
        gc.collect()
        grown = _resident_bytes() - begun_with > _GROWTH_A_PROCESS * limits.memory_bytes
        rests = count == _FILES_A_PROCESS or grown or not enough_memory
        answers.write(frame(Kind.END, orjson.dumps({"rests": rests})))
        if rests:
            return


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Requests and answers; stdout becomes stderr, so that nothing printed gets between the answers."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return sys.stdin.buffer, answers


def _request(requests: BinaryIO) -> dict[str, str] | None:
    header = requests.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    _, length = HEADER.unpack(header)
    told: dict[str, str] = orjson.loads(requests.read(length))
    return told


def _answer(answers: BinaryIO, request: dict[str, str], limits: ReadingLimits, size: int, overlap: int) -> bool:
    """Read a file and send what it holds, or why that is not known. False if the memory was not enough."""
    try:
        signal.setitimer(signal.ITIMER_REAL, _LOOKS_EVERY, _LOOKS_EVERY)
        answers.write(frame(Kind.PROGRESS, b"reading"))
        document = extract_file(Path(request["path"]), request["name"], request["media_type"], limits)
        answers.write(frame(Kind.PROGRESS, b"chunking"))
        chunks = chunk(document, size, overlap)
        if len(chunks) > limits.chunks:
            raise KnowledgeError(TOO_LONG)
        for piece in encode(document, chunks):
            _write(answers, piece)
    except KnowledgeError as error:
        _fail(answers, error.message)
    except MemoryError:
        _fail(answers, TOO_MUCH_MEMORY)
        return False
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 -- the edge of a file's own work; the parent logs the fault
        _fail(answers, _COULD_NOT, _fault(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _write(answers: BinaryIO, data: bytes) -> None:
    """A pipe may take less than all of it at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[answers.write(rest) or 0 :]


def _fail(answers: BinaryIO, reason: str, fault: str | None = None) -> None:
    _write(answers, frame(Kind.FAILURE, orjson.dumps({"reason": reason, "fault": fault})))


def _fault(error: Exception) -> str:
    """The kind of an error and the line it came from: no message, which could hold the document's text."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__name__} at {place}"


def _confine(limits: ReadingLimits) -> None:
    import resource

    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would import it, for half a second, for nothing
    sys.addaudithook(_refuse)
    os.nice(10)
    _die_with_parent()
    virtual, resident, _, _, _, data, _ = _pages_of_memory()
    _look_at_memory(resident + limits.memory_bytes)
    most = limits.memory_bytes + limits.memory_bytes // 4 + _ROOM
    _limit(resource.RLIMIT_AS, virtual + most)
    _limit(resource.RLIMIT_DATA, data + most)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, _WRITTEN_BYTES)


def _look_at_memory(most: int) -> None:
    """End this process once it has more memory than it may. What the kernel refuses beyond that is not always told as
    want of memory: code in C may crash for it."""

    def look(*_: object) -> None:
        if _resident_bytes() > most:
            os._exit(EXIT_NO_MEMORY)

    signal.signal(signal.SIGALRM, look)


def _limit(what: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _limit_cpu(limits: ReadingLimits) -> None:
    """Time on the clock is the parent's to keep; this ends a process whose parent is gone or stuck."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + limits.seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _refuse(event: str, _arguments: Any) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError(f"{event} is not for readers")


def _die_with_parent() -> None:
    """A busy process would not see that its parent, and so its stdin, is gone. And if the machine's memory ends, this
    process shall go first."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return  # some containers do not allow it


def _pages_of_memory() -> list[int]:
    """Of this process in bytes: virtual, resident, shared, text, library, data and stack, dirty."""
    try:
        return [int(pages) * os.sysconf("SC_PAGE_SIZE") for pages in Path("/proc/self/statm").read_text().split()]
    except OSError:  # no Linux
        return [0] * 7


def _resident_bytes() -> int:
    return _pages_of_memory()[1]


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:
        os._exit(0)  # the parent is gone; closing what could not be written would only raise again
    except MemoryError:
        os._exit(EXIT_NO_MEMORY)
