"""Whether a chat has files of its own, told as its question is kept, on both databases."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.turns import BegunTurn, NewTurn, apply_turns
from infrastructure.errors import NotFound
from tests.infrastructure.database.turning import Turns, another_process, new_turn
from tests.services.chat_rows import add_chat, add_user
from tests.services.file_parts import FileSetup


@pytest_asyncio.fixture
async def turns(database: Database) -> AsyncIterator[Turns]:
    turns = Turns(database)
    yield turns
    await turns.group.aclose()


@pytest.fixture
def uploads(database: Database, tmp_path: Path) -> FileSetup:
    return FileSetup(database, tmp_path)


async def have_files(turns: Turns, *asked: NewTurn) -> list[bool | None]:
    """What one batch of questions learns of its chats; None of one that is refused."""
    results = await turns.database.transact(partial(apply_turns, turns=asked))
    assert all(isinstance(result, BegunTurn | NotFound) for result in results)
    return [result.has_files if isinstance(result, BegunTurn) else None for result in results]


async def test_a_chat_has_no_files_before_it_is_given_one(turns: Turns, uploads: FileSetup) -> None:
    chat, other = new_id(), (await add_chat(turns.database)).id
    assert (await turns.begin(new_turn(chat))).has_files is False  # which it is begun with
    assert (await turns.begin(new_turn(chat))).has_files is False
    await uploads.brings(chat=other)
    assert (await turns.begin(new_turn(chat))).has_files is False
    assert (await turns.begin(new_turn(other))).has_files is True  # its first question


async def test_a_chat_has_files_from_the_first_that_it_is_given_to_the_last_that_goes(
    turns: Turns, uploads: FileSetup
) -> None:
    ada = await add_user(turns.database)
    chat = (await add_chat(turns.database, ada)).id
    asks = partial(new_turn, chat, owner=ada)
    first, second = await uploads.brings(ada, b"One."), await uploads.brings(ada, b"Two.")
    assert (await turns.begin(asks())).has_files is False  # hers, and not the chat's
    await uploads.files.attach(first.id, ada, chat)
    await uploads.files.attach(second.id, ada, chat)
    assert (await turns.begin(asks())).has_files is True
    await uploads.files.detach(first.id, ada, chat)
    assert (await turns.begin(asks())).has_files is True
    await uploads.files.delete(second.id, ada)
    assert (await turns.begin(asks())).has_files is False


async def test_an_edit_and_a_question_that_is_answered_anew_learn_it_too(turns: Turns, uploads: FileSetup) -> None:
    asked = await turns.exchange(new_id())
    await uploads.brings(chat=asked.chat_id)
    edit = new_turn(asked.chat_id, edits=asked.message_id)
    begun = await turns.begin(edit)
    await turns.end(edit, begun)
    again = await turns.begin(new_turn(asked.chat_id, regenerates=edit.message_id))
    assert (begun.has_files, again.has_files) == (True, True)


async def test_each_chat_of_a_batch_has_files_of_its_own(turns: Turns, uploads: FileSetup) -> None:
    chats = [(await add_chat(turns.database)).id for _ in range(40)]  # more than SQLite takes in one statement
    for number in (0, 3, 39):
        await uploads.brings(data=b"%d" % number, chat=chats[number])
    asked = [new_turn(chat) for chat in chats]
    asked[5:5] = [new_turn(new_id()), new_turn(new_id(), creates=False), new_turn(new_id())]
    expected: list[bool | None] = [turn.chat_id in (chats[0], chats[3], chats[39]) for turn in asked]
    expected[6] = None
    assert await have_files(turns, *asked) == expected
    assert await have_files(turns, *[new_turn(turn.chat_id, creates=False) for turn in asked]) == expected


async def test_what_another_process_was_given_is_seen_by_the_next_question(
    turns: Turns, uploads: FileSetup, database_url: str
) -> None:
    async with another_process(database_url) as others:
        chat = (await turns.exchange(new_id())).chat_id
        assert (await others.begin(new_turn(chat))).has_files is False
        await uploads.brings(chat=chat)
        assert (await others.begin(new_turn(chat))).has_files is True
