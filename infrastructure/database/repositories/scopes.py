"""Which files a question may look into."""

from typing import Any

from sqlalchemy import bindparam, select

from infrastructure.database.models import ChatFile, File
from infrastructure.database.rows import Rows

_file: Any = File.__table__
_chat_file: Any = ChatFile.__table__
_OF_CHAT = (
    select(_file.c.id, _file.c.owner_id)
    .join(_chat_file, _chat_file.c.file_id == _file.c.id)
    .where(_chat_file.c.chat_id == bindparam("chat_id"))
    .order_by(_file.c.id)
)
_BY_ID = select(_file.c.id, _file.c.owner_id).where(_file.c.id == bindparam("id"))

FileOwner = tuple[str, str | None]
"""A file's id, and whose it is."""


async def files_of_chat(rows: Rows, chat_id: str) -> list[FileOwner]:
    """The files that belong to a chat."""
    return [(row[0], row[1]) for row in await rows.find(_OF_CHAT, [{"chat_id": chat_id}])]


async def files_by_id(rows: Rows, ids: list[str]) -> list[FileOwner]:
    """Those of `ids` that there are."""
    return [(row[0], row[1]) for row in await rows.find(_BY_ID, [{"id": file_id} for file_id in ids])]
