"""What routes need, as short annotated names. All are coroutines: anything else FastAPI hands to a thread."""

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from ipaddress import IPv6Address, ip_address
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.security.utils import get_authorization_scheme_param

from backend.container import Container
from infrastructure.errors import Forbidden, OperatorUnknown, Unauthorized
from services.principals import ANONYMOUS, Principal


async def get_container(request: Request) -> Container:
    return cast(Container, request.app.state.container)


async def get_caller(request: Request) -> str:
    return cast(str, request.scope["state"]["caller"])


async def get_principal(request: Request) -> Principal:
    return cast(Principal, request.scope["state"].get("principal", ANONYMOUS))


async def get_user_id(principal: Annotated[Principal, Depends(get_principal)]) -> str:
    """The signed-in user's id.

    Raises:
        Unauthorized: the caller is anonymous.
    """
    if principal.user_id is None:
        raise Unauthorized("Sign in first.")
    return principal.user_id


async def require_admin(principal: Annotated[Principal, Depends(get_principal)]) -> None:
    """
    Raises:
        Unauthorized: the caller is anonymous.
        Forbidden: signed in, and no admin.
    """
    if principal.anonymous:
        raise Unauthorized("Sign in first.")
    if not principal.is_admin:
        raise Forbidden("This is for admins.")


Parts = Annotated[Container, Depends(get_container)]
CallerAddress = Annotated[str, Depends(get_caller)]
Who = Annotated[Principal, Depends(get_principal)]
UserId = Annotated[str, Depends(get_user_id)]
Admin = Depends(require_admin)
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", description="Makes a resend join the run that the first one started.")
]


async def require_operator(request: Request, parts: Parts, caller: CallerAddress) -> None:
    """Operations pages: open in development; by OPERATIONS_TOKEN where it is set; else, in production, from near only.

    Raises:
        OperatorUnknown: the token is missing or wrong.
        Forbidden: no token is set, and the caller is neither on loopback nor on a private address.
    """
    settings = parts.settings
    if settings.operations_token is not None:
        if not _same(_presented(request), settings.operations_token.get_secret_value()):
            raise OperatorUnknown("This page needs the operations token.")
    elif settings.production and not _near(caller):
        raise Forbidden("This page is not open to the public.")


Operator = Depends(require_operator)


def _presented(request: Request) -> str:
    scheme, value = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() == "bearer":
        return value
    return _basic_password(value) if scheme.lower() == "basic" else ""


def _basic_password(value: str) -> str:
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except (Base64Error, UnicodeDecodeError):
        return ""


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _near(caller: str) -> bool:
    try:
        address = ip_address(caller)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # all of these count as private in themselves
    return address.is_loopback or address.is_private
