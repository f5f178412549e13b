"""The errors of the service: a small tree in which every leaf carries a kind.

    AskGraphError
    ├── InvalidInput          what the caller sent cannot be used
    ├── Unauthorized          who is calling is not known, and must be
    │   └── OperatorUnknown      the same on the operations pages
    ├── Forbidden             known, and not allowed
    ├── NotFound              no such thing, or not the caller's
    ├── Conflict              the state of things forbids it now
    ├── RateLimited           too many, too fast
    ├── TooSlow               what was being sent does not come
    ├── PayloadTooLarge       more bytes than allowed
    ├── UnsupportedMediaType  bytes of a kind that is not read
    ├── ShuttingDown          the process is about to end
    ├── Interrupted           the process that answered has died, and nobody is to begin anew
    ├── StorageUnavailable    the database does not answer
    ├── ToolFailed            a tool could not do what the model asked for; the model is told
    ├── KnowledgeError        a document cannot be read; it is named and skipped
    ├── ReadingInterrupted    reading a document ended for no fault of the document's
    └── ProviderError         the model's side failed
        ├── ProviderUnavailable    refused, timed out, 429 or 5xx after every retry
        ├── ProviderRejected       401, 403, 400, quota: trying again is of no use
        └── ProviderProtocolError  what it sent is not what it should have sent

A kind is a stable snake_case word that clients may rely on. What turns a kind into an HTTP status or a frame is
`infrastructure.error_handlers` and `agents.events`; nothing here knows of either.
Messages are written for the caller: never a path, a key, a stack trace or the caller's own input.
"""


class AskGraphError(Exception):
    """An error with a message that may be shown to whoever asked."""

    kind = "internal_error"
    retryable = False

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class InvalidInput(AskGraphError):
    kind = "validation_error"


class Unauthorized(AskGraphError):
    kind = "unauthorized"
    challenge = "Bearer"  # what WWW-Authenticate says


class OperatorUnknown(Unauthorized):
    """Asks a browser to ask for a password, too."""

    challenge = 'Basic realm="AskGraph operations", charset="UTF-8"'


class Forbidden(AskGraphError):
    kind = "forbidden"


class NotFound(AskGraphError):
    kind = "not_found"


class Conflict(AskGraphError):
    kind = "conflict"


class RateLimited(AskGraphError):
    kind = "rate_limited"
    retryable = True


class TooSlow(AskGraphError):
    kind = "request_timeout"


class PayloadTooLarge(AskGraphError):
    kind = "payload_too_large"


class UnsupportedMediaType(AskGraphError):
    kind = "unsupported_media_type"


class ShuttingDown(AskGraphError):
    kind = "shutting_down"
    retryable = True


class Interrupted(AskGraphError):
    kind = "interrupted"
    retryable = True


class StorageUnavailable(AskGraphError):
    kind = "storage_unavailable"
    retryable = True


class ToolFailed(AskGraphError):
    kind = "tool_failed"


class KnowledgeError(AskGraphError):
    kind = "knowledge_error"


class ReadingInterrupted(AskGraphError):
    kind = "reading_interrupted"
    retryable = True


class ProviderError(AskGraphError):
    kind = "provider_unavailable"
    said = False  # whether a part of the answer had been given out before


class ProviderUnavailable(ProviderError):
    retryable = True


class ProviderRejected(ProviderError):
    """Not retryable, and else the same to the one who asked: the model is not to be had."""


class ProviderProtocolError(ProviderError):
    kind = "provider_protocol_error"
    retryable = True
