"""Accounts: registering, logging in and out, and API keys."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from backend.dependencies import CallerAddress, Parts, UserId, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.auth import (
    ChangePasswordRequest,
    KeyBody,
    KeyRequest,
    KeysBody,
    LoginRequest,
    LogoutRequest,
    MessageBody,
    NewKeyBody,
    RefreshRequest,
    RegisterRequest,
    TokenBody,
    TokenForm,
    UserBody,
)


def not_to_be_stored(response: Response) -> None:
    """What holds a secret is in no cache (RFC 6749, section 5.1)."""
    response.headers["Cache-Control"] = "no-store"


router = APIRouter(
    prefix="/api/v1/auth",
    tags=["accounts"],
    route_class=StrictJsonRoute,
    responses=error_responses(422, 429),
    dependencies=[Depends(not_to_be_stored)],
)
SIGNED_IN = error_responses(401)


@router.post("/register", status_code=201, response_model=UserBody, responses=error_responses(409))
async def register(body: RegisterRequest, parts: Parts) -> Any:
    """Make an account."""
    return await parts.accounts.register(body.new_user())


@router.post("/login", response_model=TokenBody, responses=error_responses(401))
async def login(body: LoginRequest, parts: Parts, caller: CallerAddress) -> Any:
    """Log in by user name and password."""
    return await parts.accounts.login(body.username, body.password, caller)


@router.post("/token", response_model=TokenBody, responses=error_responses(401))
async def token(form: Annotated[TokenForm, Form()], parts: Parts, caller: CallerAddress) -> Any:
    """Log in by an OAuth2 password form."""
    return await parts.accounts.login(form.username, form.password, caller)


@router.post("/refresh", response_model=TokenBody, responses=error_responses(401))
async def refresh(body: RefreshRequest, parts: Parts) -> Any:
    """Exchange a refresh token for a new pair. Each can be used once; one used twice ends the whole login."""
    return await parts.accounts.refresh(body.refresh_token)


@router.post("/logout", status_code=204, responses=error_responses(401, 403))
async def logout(parts: Parts, who: Who, body: LogoutRequest | None = None) -> None:
    """End the login whose access token is shown, and that of `refresh_token` where one is sent."""
    await parts.accounts.logout(who, body.refresh_token if body else None)


@router.get("/me", response_model=UserBody, responses=SIGNED_IN)
async def me(parts: Parts, user_id: UserId) -> Any:
    """Who you are."""
    return await parts.accounts.account(user_id)


@router.delete("/me", status_code=204, responses=SIGNED_IN)
async def delete_me(parts: Parts, user_id: UserId) -> None:
    """Delete your account and all that hangs on it."""
    await parts.files.delete_owner(user_id)
    await parts.accounts.delete(user_id)
    parts.runner.abandon_owner(user_id)


@router.post("/change-password", responses=SIGNED_IN)
async def change_password(body: ChangePasswordRequest, parts: Parts, who: Who, caller: CallerAddress) -> MessageBody:
    """Change your password. Every other login of yours ends."""
    await parts.accounts.change_password(who, body.old_password, body.new_password, caller)
    return MessageBody(message="The password is changed.")


@router.post("/api-keys", status_code=201, response_model=NewKeyBody, responses=error_responses(401, 409))
async def create_key(body: KeyRequest, parts: Parts, user_id: UserId) -> Any:
    """Make an API key. The key is shown this once."""
    return await parts.accounts.keys.create(user_id, body.name)


@router.get("/api-keys", responses=SIGNED_IN)
async def list_keys(parts: Parts, user_id: UserId) -> KeysBody:
    """Your API keys, oldest first."""
    keys = [KeyBody.model_validate(key) for key in await parts.accounts.keys.of_user(user_id)]
    return KeysBody(items=keys, total=len(keys))


@router.delete("/api-keys/{key_id}", status_code=204, responses=error_responses(401, 404))
async def delete_key(key_id: UUID, parts: Parts, user_id: UserId) -> None:
    """Delete an API key; it is of no use from then on."""
    await parts.accounts.keys.remove(user_id, str(key_id))
