"""The data lines of a server-sent event stream, out of bytes that arrive in any pieces."""

from infrastructure.errors import ProviderProtocolError

MAX_LINE = 1 << 20  # bytes


class DataLines:
    """Splits reads into the payloads of their `data` lines.

    An OpenAI-compatible endpoint sends each event as one data line, so a line is an event. Comments, `event`, `id` and
    blank lines are skipped, `data:` needs no space behind it, and lines end in `\\n` or `\\r\\n`. Bytes are split
    before they are decoded, so a character cut in two by the network is whole again here.
    """

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held: list[bytes] = []  # an unfinished line, in pieces: joining at every read would be quadratic
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes, without white space around them, empty ones left out.

        Raises:
            ProviderProtocolError: a line is longer than the limit.
        """
        if b"\n" not in data:
            self._hold(data)
            return []
        if self._held:
            data = b"".join((*self._held, data))
            self._held.clear()
            self._size = 0
        lines = data.split(b"\n")
        rest = lines.pop()
        if rest:
            self._hold(rest)
        if len(data) > self._limit and max(map(len, lines)) > self._limit:
            raise _too_long()
        return [payload for line in lines if line.startswith(b"data:") and (payload := line[5:].strip())]

    def end(self) -> list[bytes]:
        """What an unfinished last line holds, once the stream has ended."""
        return self.feed(b"\n")

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise _too_long()
        self._held.append(piece)


def _too_long() -> ProviderProtocolError:
    return ProviderProtocolError("The model sent a line that is too long.")
