"""Who asks: a user by whatever they showed to be let in, or nobody in particular."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """`user_id` None is an anonymous caller.

    `credential` names what was shown, to tell when it is revoked: `login:<family id>` for an access token, `key:<id>`
    for an API key. `expires_at` is in Unix seconds; None where it does not expire.
    """

    user_id: str | None = None
    is_admin: bool = False
    credential: str | None = None
    expires_at: float | None = None

    @property
    def anonymous(self) -> bool:
        return self.user_id is None


ANONYMOUS = Principal()


def may_reach(owner: str | None, caller: str | None) -> bool:
    """Whether `caller` (a user's id or None) may use what belongs to `owner`. What is nobody's is reached by its id."""
    return owner is None or owner == caller
