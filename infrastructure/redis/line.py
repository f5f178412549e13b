"""One connection to Redis for one caller, for commands that wait on purpose or come many times a second.

A command through the client of redis-py costs 80 µs of this process, straight over a connection 20 (uvloop, redis 8.1,
EVALSHA with 180 bytes).
"""

from math import inf
from typing import Any

from redis.asyncio import Connection
from redis.asyncio.client import Redis

from infrastructure.redis.link import RedisLink


class Line:
    """Commands one behind the other. It connects when it is used, and again after whatever broke it.

    Answers are as Redis gives them: bytes, numbers, lists, and in RESP3 dictionaries.
    """

    def __init__(self, link: RedisLink) -> None:
        self._client: Redis = link.dedicated()
        self._client.connection_pool.connection_kwargs["socket_timeout"] = None  # the caller bounds the wait
        self._connection: Connection | None = None

    async def call(self, *command: Any) -> Any:
        """What Redis answers. A call that is cancelled or fails ends the connection: its answer may still come.

        Raises:
            RedisError, OSError: see `infrastructure.redis.link.FAULTS`.
        """
        connection = self._connection
        if connection is None:
            pool = self._client.connection_pool
            connection = self._connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # it has none
        elif connection.is_connected and await connection.can_read():  # it was closed meanwhile
            await connection.disconnect(nowait=True)
        await connection.send_command(*command, check_health=False)
        return await connection.read_response(timeout=inf)

    async def aclose(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)
        await self._client.aclose()
