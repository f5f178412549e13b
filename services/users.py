"""How a user comes to be."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.accounts import Account, AccountsRepository
from infrastructure.errors import Conflict
from services.passwords import Passwords
from services.usernames import email_key, username_key


@dataclass(frozen=True, slots=True)
class NewUser:
    """Somebody who wants an account; the user name as `clean_username` gives it."""

    username: str
    email: str
    password: str
    fullname: str | None = None


async def add_user(
    database: Database, passwords: Passwords, new: NewUser, now: datetime, *, is_admin: bool = False
) -> Account:
    """Add a user.

    Raises:
        Conflict: the user name or the address is taken. The database says so: of two at once one is told.
        RateLimited: too many passwords are being hashed.
    """
    account = Account(new_id(), new.username, new.email, new.fullname, True, is_admin, now)
    values = {
        "id": account.id,
        "username": account.username,
        "username_key": username_key(account.username),
        "email": account.email,
        "email_key": email_key(account.email),
        "fullname": account.fullname,
        "password_hash": await passwords.hash(new.password),
        "is_active": account.is_active,
        "is_admin": account.is_admin,
        "created_at": now,
        "updated_at": now,
    }
    try:
        async with database.write() as session:
            await AccountsRepository(session).add(values)
    except IntegrityError:  # its text shows the values
        raise Conflict("This user name or email address is taken.") from None
    return account
