"""What the agents need of the world below them, in their own words."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from infrastructure.event_log.entry import Batch, Entry, Tail
from infrastructure.providers.types import Emit, ModelReply, ModelRequest


class Model(Protocol):
    """A model, or whatever answers like one."""

    @property
    def name(self) -> str:
        """The provider's name (`openai`, `langchain`, `extractive`): bounded, fit for a metric's label."""

    @property
    def model(self) -> str:
        """The model's name as shown to the one who asked."""

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer `request`, giving text to `emit` as it arrives.

        When the task is cancelled the upstream connection is closed before `CancelledError` leaves this method.

        Raises:
            ProviderUnavailable: refused, too slow, 429 or 5xx after the retries. Text may have been emitted before.
            ProviderRejected: the endpoint refuses this request or this key.
            ProviderProtocolError: the endpoint sent what it must not send.
        """

    async def aclose(self) -> None:
        """Give back connections."""


class EventLog(Protocol):
    """The frames of runs, in order. One writer a run, any number of readers, none of which holds up another."""

    fenced: Callable[[str], None]
    """Told of a run that another process has taken from this one: what is still written of it here goes nowhere."""

    def open(self, run_id: str, owner: str | None, seq: int = 0, answer: str = "", fence: int = 1) -> None:
        """Begin the log of a run, which only `owner` may read (with None, and for a run that was never opened: whoever
        knows its id). One that began in another process goes on behind its frame `seq`, with the answer up to there;
        `fence` is higher than that process's then.
        """

    async def find(self, run_id: str) -> str | None:
        """Have a run here that may be written elsewhere, and follow it from now on; its owner.

        Raises:
            NotFound: no such run, or it left.
            StorageUnavailable: it is not here, and nobody can tell whether it is elsewhere.
        """

    async def take_over(self, run_id: str, fence: int) -> int:
        """Write a run from now on that another process began, with all its frames; the last one's number.

        Raises:
            NotFound: there are none.
            Conflict: it has ended, or another process has taken it with a fence as high.
            StorageUnavailable: nobody can tell.
        """

    def release(self, run_id: str) -> None:
        """Write a run no more that has not ended: another process does, or will. Who reads it here goes on reading."""

    async def settle(self, run_id: str) -> None:
        """Return when all that was appended here is shown to its readers."""

    def expire(self) -> None:
        """Let go of what has had its time, and of the oldest where there is too much."""

    def leave_followed(self) -> None:
        """End the reading of runs that are written elsewhere: it goes on there."""

    @property
    def followed(self) -> list[str]:
        """Runs under way that are read here and written elsewhere."""

    @property
    def held_runs(self) -> int: ...

    @property
    def held_bytes(self) -> int: ...

    def restore(self, run_id: str, owner: str | None, answer: str, terminal: Entry) -> None:
        """Have an ended run here again whose frames are gone: its answer's text and its last frame."""

    def append(self, run_id: str, entry: Entry) -> None:
        """Add the next frame (`entry.seq` is one more than the last) and wake the run's readers.

        Raises:
            ValueError: `seq` leaves a hole, or the run has had its terminal frame.
        """

    def read(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch, None]:
        """The frames after `after`, then live ones, in batches; ends behind the terminal frame.

        A batch that begins behind frames which are no longer held carries `gap` and the answer's text up to there.

        Raises:
            NotFound: no such run, or it left.
        """

    def tail(self, run_id: str, after: int, take: Tail) -> Callable[[], None] | None:
        """Have `take` called with each frame behind `after`, for a reader that has all up to there.

        A number that does not follow the one before says that what is between is to be had as a gap only, by reading.
        Returns what ends it, or None when there are other frames already (they are read first) or the run has ended.

        Raises:
            NotFound: no such run, or it left.
        """

    async def terminal(self, run_id: str) -> Entry:
        """The run's last frame, as soon as there is one.

        Raises:
            NotFound: no such run, or it left.
        """

    def last_seq(self, run_id: str) -> int:
        """The newest frame's number; 0 for a run without frames."""

    def answer(self, run_id: str) -> str:
        """The answer's text so far.

        Raises:
            NotFound: no such run, or it left.
        """

    def owner(self, run_id: str) -> str | None:
        """Whose the run is.

        Raises:
            NotFound: no such run, or it left.
        """


Clock = Callable[[], float]
"""Unix seconds."""
