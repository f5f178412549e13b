"""Access tokens: signed, short-lived, and bound to a login that can be ended (`sid`)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import jwt

from infrastructure.errors import Unauthorized

ISSUER = "askgraph"
AUDIENCE = "askgraph-api"
ALGORITHMS = ("HS256", "HS384", "HS512")
MAX_TOKEN_CHARS = 4096
NOT_VALID = "This token is not valid."
_REQUIRED = ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "use"]


def not_valid() -> Unauthorized:
    """The one answer to every token that will not do, whatever is wrong with it."""
    return Unauthorized(NOT_VALID)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What a valid token says; `expires_at` in Unix seconds."""

    user_id: str
    family_id: str
    expires_at: float


class TokenSigner:
    """Signs access tokens and reads them back. One algorithm is used; the token's own word for it counts for nothing.

    Args:
        minutes: how long a token is good.

    Raises:
        ValueError: the algorithm is none of the three HMACs.
    """

    def __init__(self, secret: str, algorithm: str, minutes: float, *, clock: Callable[[], datetime]) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
        self._secret = secret
        self._algorithm = algorithm
        self._life = timedelta(minutes=minutes)
        self._clock = clock

    @property
    def expires_in(self) -> int:
        """How long a new token is good, in seconds."""
        return int(self._life.total_seconds())

    def sign(self, user_id: str, family_id: str) -> str:
        now = self._clock()
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "use": "access", "sub": user_id, "sid": family_id,
            "jti": str(uuid4()), "iat": now, "exp": now + self._life,
        }  # fmt: skip
        return jwt.encode(claims, self._secret, self._algorithm)

    def read(self, token: str) -> AccessToken:
        """
        Raises:
            Unauthorized: malformed, not signed by us, expired, or meant for something else.
        """
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise not_valid()
        try:
            claims = jwt.decode(
                token, self._secret, [self._algorithm], audience=AUDIENCE, issuer=ISSUER, options={"require": _REQUIRED}
            )
            if claims["use"] != "access":
                raise not_valid()
            return AccessToken(str(UUID(claims["sub"])), str(UUID(claims["sid"])), float(claims["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):  # the last three: claims of another kind
            raise not_valid() from None
