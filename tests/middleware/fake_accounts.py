"""Accounts in memory: they know the tokens that a test gives out, and forget those that it ends."""

from collections.abc import Callable, Sequence

from infrastructure.errors import Unauthorized
from services.principals import Principal


class FakeAccounts:
    """Fits `Authenticator`. `asked` has what was shown; with `failure` set the database does not answer."""

    def __init__(self, **principals: Principal) -> None:
        self.principals = principals
        self.asked: list[str] = []
        self.checks: list[set[str]] = []
        self.failure: Exception | None = None
        self._listeners: list[Callable[[str], None]] = []

    async def authenticate(self, presented: str) -> Principal:
        self.asked.append(presented)
        if self.failure is not None:
            raise self.failure
        if presented not in self.principals:
            raise Unauthorized("This token is not valid.")
        return self.principals[presented]

    async def still_valid(self, credentials: Sequence[str]) -> set[str]:
        self.checks.append(set(credentials))
        if self.failure is not None:
            raise self.failure
        return {principal.credential for principal in self.principals.values() if principal.credential in credentials}

    def listen(self, revoked: Callable[[str], None]) -> None:
        self._listeners.append(revoked)

    def end(self, presented: str, *, here: bool = True) -> None:
        """What was shown is valid no more; `here` False: another process ended it."""
        credential = self.principals.pop(presented).credential
        assert credential is not None
        for revoked in self._listeners if here else ():
            revoked(credential)
