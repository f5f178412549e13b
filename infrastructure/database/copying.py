"""Many rows into a PostgreSQL table at once, by its binary COPY: some ten times the speed of inserts.

https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
"""

from collections.abc import AsyncIterator, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # flags, and the length of the header's extension: none
_END = (-1).to_bytes(2, signed=True)
_BLOCK_BYTES = 256 * 1024

Field = bytes | str | int
"""A value: bytes are in the server's binary form already, a whole number is a `bigint`, a bool a `boolean`."""


async def copy_rows(session: AsyncSession, table: str, columns: Sequence[str], rows: Iterable[Sequence[Field]]) -> None:
    """Add rows within the transaction of `session`, in which a statement must have run before: the driver begins it
    with that one.
    """
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection is closed")
    await driver.copy_to_table(table, source=_stream(rows), columns=list(columns), format="binary")


async def _stream(rows: Iterable[Sequence[Field]]) -> AsyncIterator[bytes]:
    block = bytearray(_SIGNATURE)
    for row in rows:
        block += len(row).to_bytes(2)
        for field in row:
            data = _encoded(field)
            block += len(data).to_bytes(4)
            block += data
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    block += _END
    yield bytes(block)


def _encoded(field: Field) -> bytes:
    if isinstance(field, bytes):
        return field
    if isinstance(field, str):
        return field.encode()
    return field.to_bytes(1 if isinstance(field, bool) else 8, signed=not isinstance(field, bool))
