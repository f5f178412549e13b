"""Files that were brought, on both databases: whose they are, what is told of them, and how they go."""

from pathlib import Path

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import Chat, Document, User, new_id
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.errors import Conflict, NotFound
from services.knowledge.records import index_text
from services.knowledge.scope import partition_of
from tests.services.chat_rows import add_chat, add_user
from tests.services.file_parts import QUOTA, TEXT, FileSetup


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> FileSetup:
    return FileSetup(database, tmp_path)


async def test_a_list_has_ones_own_the_newest_first(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    ids = []
    for n in range(3):
        setup.clock.pass_by(seconds=1)
        ids.append((await setup.brings(ada, bytes([65 + n]))).id)
    await setup.brings(bob)
    await setup.brings(None)
    page = await setup.files.page(ada, 1, 2)
    assert ([file.id for file in page.items], page.total, page.pages) == ([ids[2], ids[1]], 3, 2)
    assert [file.id for file in (await setup.files.page(ada, 2, 2)).items] == [ids[0]]
    assert (await setup.files.page(ada, 3, 2)).items == []
    assert (await setup.files.page(None, 1, 20)).total == 0


async def test_anothers_file_is_as_one_that_never_was(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    file = await setup.brings(ada)
    await setup.read(file)
    chats = {owner: (await add_chat(setup.database, owner)).id for owner in (bob, None)}
    for file_id in (file.id, new_id()):
        for owner in (bob, None):
            for call in (
                setup.files.get(file_id, owner),
                setup.files.text(file_id, owner),
                setup.files.attach(file_id, owner, chats[owner]),
                setup.files.detach(file_id, owner, chats[owner]),
                setup.files.reprocess(file_id, owner),
                setup.files.delete(file_id, owner),
            ):
                with pytest.raises(NotFound, match=r"^No such file.$"):
                    await call
    assert (await setup.files.get(file.id, ada)).status == "ready"


async def test_what_is_nobodys_is_reached_by_its_id(setup: FileSetup) -> None:
    bob = await add_user(setup.database)
    file = await setup.brings(None)
    for owner in (bob, None):
        assert (await setup.files.get(file.id, owner)).id == file.id


async def test_the_text_is_there_when_the_file_is_ready(setup: FileSetup) -> None:
    file = await setup.brings()
    for status, told in (("uploaded", "not been read"), ("processing", "not been read"), ("failed", "not be read")):
        await setup.set(file.id, status=status)
        with pytest.raises(Conflict, match=told):
            await setup.files.text(file.id, None)
    await setup.read(file, pages=[[1, 0, 28], [2, 29, 59]])
    text = await setup.files.text(file.id, None)
    assert (text.text, text.pages) == (TEXT, [(1, 0, 28), (2, 29, 59)])
    await setup.read(file)
    assert (await setup.files.text(file.id, None)).pages is None


async def test_a_ready_file_without_a_document_has_no_text(setup: FileSetup) -> None:
    file = await setup.brings()
    await setup.set(file.id, status="ready")
    with pytest.raises(Conflict):
        await setup.files.text(file.id, None)


async def test_a_file_belongs_to_chats(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    chat, open_chat = (await add_chat(setup.database, ada)).id, (await add_chat(setup.database)).id
    file = await setup.brings(ada)
    for _ in range(2):
        assert (await setup.files.attach(file.id, ada, chat)).chat_ids == (chat,)
    assert set((await setup.files.attach(file.id, ada, open_chat)).chat_ids) == {chat, open_chat}
    for _ in range(2):
        assert (await setup.files.detach(file.id, ada, chat)).chat_ids == (open_chat,)
    async with setup.database.write() as session:
        await session.delete(await session.get_one(Chat, open_chat))
    assert (await setup.files.get(file.id, ada)).chat_ids == ()
    assert setup.chats_changed == [chat, chat, open_chat, chat, chat]


async def test_a_chat_that_is_not_ones_own_is_none(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    chat = (await add_chat(setup.database, ada)).id
    file = await setup.brings(None)
    assert (await setup.files.attach(file.id, ada, chat)).chat_ids == (chat,)
    assert (await setup.files.get(file.id, bob)).chat_ids == ()  # whose chat it is, is nobody else's business
    for owner, named in ((bob, chat), (None, chat), (ada, new_id())):
        for call in (setup.files.attach, setup.files.detach):
            with pytest.raises(NotFound, match=r"^No such chat.$"):
                await call(file.id, owner, named)


async def test_a_file_is_read_anew_unless_it_is_being_read(setup: FileSetup) -> None:
    file = await setup.brings()
    for status in ("ready", "failed", "uploaded"):
        await setup.set(file.id, status=status, error_message="Broken.", attempts=2, retry_at=setup.clock())
        again = await setup.files.reprocess(file.id, None)
        assert (again.status, again.error_message, again.attempts) == ("uploaded", None, 0)
    assert setup.brought == 4
    await setup.set(file.id, status="processing")
    with pytest.raises(Conflict, match="being read"):
        await setup.files.reprocess(file.id, None)
    assert setup.brought == 4


async def test_what_failed_is_listed_for_those_who_look_after_the_service(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    for owner in (ada, None):
        file = await setup.brings(owner)
        await setup.set(file.id, status="failed", error_message="Broken.", attempts=3, finished_at=setup.clock())
    await setup.brings(data=b"Other.")
    page = await setup.files.failed(1, 20)
    assert ({file.owner_id for file in page.items}, page.total) == ({ada, None}, 2)


@pytest.mark.parametrize("anonymous", [False, True])
async def test_what_is_deleted_is_nowhere(setup: FileSetup, anonymous: bool) -> None:
    owner = None if anonymous else await add_user(setup.database)
    file, other = await setup.brings(owner), await setup.brings(owner, b"Other.")
    rows = await setup.read(file)
    await setup.read(other)
    await setup.files.delete(file.id, owner)
    partition = partition_of(file.id, owner)
    assert setup.index.all == [(partition, rows, 1)]
    assert setup.chats_changed == [None]  # which it belonged to, nobody looks up
    first, second = index_text("Ada", "Programs", TEXT[:28]), index_text("Ada", None, TEXT[29:])
    assert setup.forgotten == [first, second, "What did it compute?"]
    assert await setup.kept() == {other.id}
    async with setup.database.read() as session:
        knowledge = KnowledgeRepository(session)
        assert await knowledge.chunks_at(rows) == []
        assert await knowledge.generation(partition) == (0 if anonymous else 1)  # nobody has an anonymous one again
        assert await session.get(Document, file.id) is None
    for call in (setup.files.get, setup.files.delete, setup.files.text):
        with pytest.raises(NotFound):
            await call(file.id, owner)
    with pytest.raises(NotFound):
        await setup.bytes_of(file.id)
    assert await setup.files.quota(owner) == type(await setup.files.quota(owner))(other.size_bytes, QUOTA)


async def test_what_was_never_read_is_deleted_too(setup: FileSetup) -> None:
    file = await setup.brings()
    await setup.set(file.id, status="processing")
    await setup.files.delete(file.id, None)
    assert (setup.index.all, await setup.kept()) == ([], set())


async def test_all_files_of_a_user_go_with_the_account(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    files = [await setup.brings(ada, b"File %d." % n) for n in range(25)]
    for file in files[:3]:
        await setup.read(file)
    left = {(await setup.brings(owner)).id for owner in (bob, None)}
    assert await setup.files.delete_owner(ada) == 25
    assert await setup.kept() == left
    assert {partition for partition, _, _ in setup.index.all} == {ada}
    assert sum(len(rows) for _, rows, _ in setup.index.all) == 6
    async with setup.database.write() as session:
        await session.delete(await session.get_one(User, ada))
    assert await setup.files.delete_owner(ada) == 0
