"""Bodies of the account routes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field
from pydantic_core import PydanticCustomError

from backend.schemas.text import CleanText, valid_text
from services.usernames import MAX_CHARS, MIN_CHARS, clean_username
from services.users import NewUser

EXAMPLE_PASSWORD = "correct horse battery staple"  # noqa: S105  shown in the documentation
EXAMPLE_TOKEN = "mZ0b2v1x…"  # noqa: S105  the same


def _username(value: str) -> str:
    try:
        return clean_username(value)
    except ValueError as error:
        raise PydanticCustomError("username", str(error)) from None


def _bare_address(value: object) -> object:
    """No `Ada <ada@example.com>`: pydantic would take the address out of it."""
    if isinstance(value, str) and ("<" in valid_text(value) or ">" in value):
        raise PydanticCustomError("address", "must be an email address and nothing else")
    return value


Username = Annotated[CleanText, Field(min_length=MIN_CHARS, max_length=MAX_CHARS), AfterValidator(_username)]
NewPassword = Annotated[CleanText, Field(min_length=8, max_length=200)]
ShownPassword = Annotated[CleanText, Field(min_length=1, max_length=200)]
ShownName = Annotated[CleanText, Field(min_length=1, max_length=200)]
ShownToken = Annotated[CleanText, Field(min_length=1, max_length=4096)]


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class RegisterRequest(BaseModel):
    """An account to be made. Other fields count for nothing."""

    model_config = _example(username="ada", email="ada@example.com", password=EXAMPLE_PASSWORD, fullname="Ada Lovelace")

    username: Username = Field(description="Letters, digits, dots, underscores, hyphens. Unique whatever its case.")
    email: Annotated[EmailStr, BeforeValidator(_bare_address)]
    password: NewPassword = Field(description="Taken as it is: no normalisation.")
    fullname: Annotated[CleanText, Field(max_length=200)] | None = None

    def new_user(self) -> NewUser:
        return NewUser(self.username, self.email, self.password, self.fullname)


class UserBody(BaseModel):
    """A user, as shown to that user."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11",
                    "username": "ada",
                    "email": "ada@example.com",
                    "fullname": "Ada Lovelace",
                    "is_active": True,
                    "is_admin": False,
                    "created_at": "2025-11-21T07:39:00Z",
                }
            ]
        },
    )

    id: str
    username: str
    email: str
    fullname: str | None
    is_active: bool
    is_admin: bool
    created_at: datetime


class LoginRequest(BaseModel):
    model_config = _example(username="ada", password=EXAMPLE_PASSWORD)

    username: ShownName
    password: ShownPassword


class TokenForm(BaseModel):
    """An OAuth2 password form (RFC 6749, section 4.3.2). What else it has counts for nothing."""

    grant_type: Literal["password"] = "password"
    username: ShownName
    password: ShownPassword


class TokenBody(BaseModel):
    """`expires_in` is the access token's, in seconds."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOi…",
                    "token_type": "bearer",
                    "expires_in": 1800,
                    "refresh_token": EXAMPLE_TOKEN,
                }
            ]
        },
    )

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  a kind of token
    expires_in: int
    refresh_token: str


class RefreshRequest(BaseModel):
    model_config = _example(refresh_token=EXAMPLE_TOKEN)

    refresh_token: ShownToken


class LogoutRequest(BaseModel):
    """A login to be ended besides the caller's own, or instead of one."""

    model_config = _example(refresh_token=EXAMPLE_TOKEN)

    refresh_token: ShownToken | None = None


class ChangePasswordRequest(BaseModel):
    model_config = _example(old_password=EXAMPLE_PASSWORD, new_password=f"another {EXAMPLE_PASSWORD}")

    old_password: ShownPassword
    new_password: NewPassword


class MessageBody(BaseModel):
    model_config = _example(message="The password is changed.")

    message: str


class KeyRequest(BaseModel):
    model_config = _example(name="nightly report")

    name: Annotated[CleanText, Field(min_length=1, max_length=100)]


class KeyBody(BaseModel):
    """An API key, without the key."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a12",
                    "name": "nightly report",
                    "prefix": "ask_q7RkT2bX",
                    "created_at": "2025-11-21T07:39:00Z",
                    "last_used_at": None,
                }
            ]
        },
    )

    id: str
    name: str
    prefix: str
    created_at: datetime
    last_used_at: datetime | None


class NewKeyBody(BaseModel):
    """A new API key. `key` is shown this once."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a12",
                    "name": "nightly report",
                    "key": "ask_q7RkT2bX…",
                    "prefix": "ask_q7RkT2bX",
                    "created_at": "2025-11-21T07:39:00Z",
                }
            ]
        },
    )

    id: str
    name: str
    key: str
    prefix: str
    created_at: datetime


class KeysBody(BaseModel):
    items: list[KeyBody]
    total: int
