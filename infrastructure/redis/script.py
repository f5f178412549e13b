"""A script that Redis runs as one step."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.exceptions import NoScriptError

Call = Callable[..., Awaitable[Any]]


class Script:
    """Lua, sent by its checksum, and whole where Redis does not know it (any more)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, call: Call, keys: Sequence[str | bytes], args: Sequence[str | bytes | int] = ()) -> Any:
        """What it returns. `call` carries a command out: a client's `execute_command`, a line's `call`."""
        try:
            return await call("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await call("EVAL", self._text, len(keys), *keys, *args)
