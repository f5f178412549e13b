"""Ids as strangers may see them."""

import hmac

_ID_CHARS = 16


class Hashes:
    """HMAC-SHA256 of ids, keyed by the service's secret: nobody who knows an id can tell its hash, or the other way.

    That goes for runs too: whoever knows the id of an anonymous run may read it.
    """

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"askgraph traces", "sha256")  # tokens are signed with the secret

    def trace_id(self, run_id: str) -> bytes:
        """16 bytes."""
        return hmac.digest(self._key, f"run {run_id}".encode(), "sha256")[:16]

    def session(self, session_id: str) -> str:
        return self._short(f"session {session_id}")

    def user(self, user_id: str) -> str:
        return self._short(f"user {user_id}")

    def _short(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:_ID_CHARS]
