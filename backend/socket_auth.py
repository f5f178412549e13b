"""Who is at a WebSocket: what its handshake shows, how it is turned away, and whether its credential still holds.

A browser cannot set headers there, nor read the status of a handshake that was refused. So a token may come as a
subprotocol (never in the URL, which is logged on its way), and a bad one is told in a frame and a close code.
"""

from collections.abc import Sequence

import structlog
from starlette.types import Scope

from backend.schemas import frames
from infrastructure.errors import AskGraphError, Unauthorized
from infrastructure.websocket_manager import INTERNAL, UNAUTHORIZED, Connection, WebSocketManager
from middleware.authentication import STORAGE_ERRORS, Authenticator, credentials

log = structlog.get_logger()
OURS = "askgraph"
BEARER = "bearer"


def subprotocol(offered: Sequence[str]) -> str | None:
    """The one to select: a browser that offers some needs one of them."""
    for ours in (OURS, BEARER):
        if ours in offered:
            return ours
    return next((name for name in offered if name.startswith(f"{BEARER}.")), None)


def shown_in(scope: Scope) -> list[str]:
    """What the handshake shows: by headers, or as the subprotocol `bearer.<token>` or the pair `bearer, <token>`."""
    offered = [name for name in scope.get("subprotocols", ()) if name != OURS]
    shown = credentials(scope) + [name[len(BEARER) + 1 :] for name in offered if name.startswith(f"{BEARER}.")]
    if BEARER in offered:
        behind = offered[offered.index(BEARER) + 1 :]
        shown.append(behind[0] if behind else "")
    return shown


def turn_away(connection: Connection, error: AskGraphError) -> None:
    """Say why in a frame, and close: with 4401 for want of a credential that holds."""
    connection.send_now((frames.failure(error),))
    connection.close(UNAUTHORIZED if isinstance(error, Unauthorized) else INTERNAL, error.message)


async def check_credentials(websockets: WebSocketManager, accounts: Authenticator) -> None:
    """Close the connections whose credentials have ended, in whichever process. One question for all of them.

    Where the database does not answer they stay: those that expire have a timer, and the next check comes soon.
    """
    shown = websockets.credentials()
    if not shown:
        return
    try:
        valid = await accounts.still_valid(tuple(shown))
    except (AskGraphError, *STORAGE_ERRORS) as error:
        log.warning("credentials cannot be checked", error=type(error).__name__)
        return
    for credential in shown - valid:
        websockets.revoke(credential)
