"""Who wants to know when a credential ends in this process: a login (`login:<family id>`) or a key (`key:<id>`)."""

from collections.abc import Callable, Iterable

OnRevoked = Callable[[str], None]


class Revocations:
    def __init__(self) -> None:
        self._listeners: list[OnRevoked] = []

    def listen(self, revoked: OnRevoked) -> None:
        """Have `revoked` called with the name of each credential that ends, after the commit. It must be quick."""
        self._listeners.append(revoked)

    def tell(self, credentials: Iterable[str]) -> None:
        for credential in credentials:
            for revoked in self._listeners:
                revoked(credential)


def login_name(family_id: str) -> str:
    """A login as `Principal.credential` names it."""
    return f"login:{family_id}"


def key_name(key_id: str) -> str:
    """An API key as `Principal.credential` names it."""
    return f"key:{key_id}"
