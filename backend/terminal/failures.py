"""What can go wrong for a client.

Failure
├── BadAddress      the URL cannot be used
├── Unreachable     nothing answers there
├── SignInNeeded    the service wants to know who asks, or does not know any more
└── Refused         the service said no, and why
"""


class Failure(Exception):
    """Has a message of one line for the person at the terminal."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadAddress(Failure):
    pass


class Unreachable(Failure):
    pass


class SignInNeeded(Failure):
    def __init__(self, message: str = "The service wants you to sign in.") -> None:
        super().__init__(message)


class Refused(Failure):
    """`status` is the HTTP status, 0 over a socket; `kind` the error's stable word, where there was one."""

    def __init__(self, message: str, status: int = 0, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
