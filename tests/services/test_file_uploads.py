"""Taking in uploads, on both databases: once for the same bytes, within the quota, all or nothing."""

import asyncio
from pathlib import Path

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.errors import InvalidInput, NotFound, PayloadTooLarge, Unauthorized, UnsupportedMediaType
from services import file_uploads
from tests.services.chat_rows import add_chat, add_user
from tests.services.file_parts import Broken, FileSetup

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def setup(database: Database, tmp_path: Path) -> FileSetup:
    return FileSetup(database, tmp_path)


async def test_a_file_is_kept_with_its_bytes_and_waits_to_be_read(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    file = await setup.brings(ada, b"# Ada\n", "C:\\notes\\..\\ada.md")
    assert (file.owner_id, file.original_filename, file.mime_type) == (ada, "ada.md", "text/markdown")
    assert (file.size_bytes, file.status, file.chunks_count, file.chat_ids) == (6, "uploaded", 0, ())
    assert await setup.bytes_of(file.id) == b"# Ada\n"
    assert (setup.brought, await setup.kept()) == (1, {file.id})
    assert (await setup.files.quota(ada)).used_bytes == 6


async def test_the_same_bytes_again_are_the_same_file(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    chat = (await add_chat(setup.database, ada)).id
    first = await setup.brings(ada)
    again = await setup.brings(ada, name="other.txt", chat=chat)
    assert (again.id, again.original_filename, again.chat_ids) == (first.id, "notes.txt", (chat,))
    assert (setup.brought, await setup.kept(), setup.chats_changed) == (1, {first.id}, [chat])
    others = await setup.brings(bob)
    assert others.id != first.id
    assert (await setup.files.quota(ada)).used_bytes == first.size_bytes


async def test_nobodys_files_are_the_same_only_within_a_chat(setup: FileSetup) -> None:
    chat, other = (await add_chat(setup.database)).id, (await add_chat(setup.database)).id
    loose = {(await setup.brings()).id for _ in range(2)}
    assert len(loose) == 2
    first = await setup.brings(chat=chat)
    assert (await setup.brings(chat=chat)).id == first.id
    assert (await setup.brings(chat=other)).id != first.id


async def test_the_same_bytes_twice_in_one_request_are_one_file(setup: FileSetup) -> None:
    for owner in (await add_user(setup.database), None):
        some = [setup.new(name="a.txt"), setup.new(b"Other."), setup.new(name="b.txt")]
        files = await setup.files.upload(owner, some)
        assert [file.original_filename for file in files] == ["a.txt", "notes.txt", "a.txt"]
        assert files[0] == files[2]
    assert len(await setup.kept()) == 4


async def test_the_same_file_at_once_is_one_file_for_all(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    files = await asyncio.gather(*(setup.brings(ada) for _ in range(8)))
    assert len({file.id for file in files}) == 1
    assert await setup.kept() == {files[0].id}
    assert (await setup.files.page(ada, 1, 20)).total == 1


async def test_a_file_that_failed_is_tried_again_by_bringing_it_again(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    file = await setup.brings(ada)
    await setup.set(file.id, status="failed", error_message="Broken.", attempts=3)
    again = await setup.brings(ada)
    assert (again.id, again.status, again.error_message, again.attempts) == (file.id, "uploaded", None, 0)
    assert setup.brought == 2


async def test_what_is_deleted_meanwhile_is_kept_anew(setup: FileSetup) -> None:
    ada = await add_user(setup.database)
    file = await setup.brings(ada)
    uploads = setup.files._uploads
    look, looks = uploads._missing, 0

    async def delete_after_the_first_look(batch: file_uploads._Batch) -> set[str]:
        nonlocal looks
        looks += 1
        missing = await look(batch)
        if looks == 1:
            await setup.files.delete(file.id, ada)
        return missing

    uploads._missing = delete_after_the_first_look  # type: ignore[method-assign]  # the moment between two transactions
    again = await setup.brings(ada)
    assert (looks, again.id != file.id) == (2, True)
    assert await setup.kept() == {again.id}


async def test_what_does_not_fit_is_refused_and_leaves_nothing(database: Database, tmp_path: Path) -> None:
    setup = FileSetup(database, tmp_path, quota=1024 * 1024)
    for owner in (await add_user(database), None):
        await setup.brings(owner, b"a" * 1024 * 1024)
        before = await setup.kept()
        with pytest.raises(PayloadTooLarge, match=r"^This does not fit into the file quota of 1 MB.$"):
            await setup.files.upload(owner, [setup.new(b"b")])
        assert await setup.kept() == before


async def test_of_two_at_once_that_do_not_fit_together_one_is_kept(setup: FileSetup) -> None:
    for owner in (await add_user(setup.database), None):
        some = [setup.brings(owner, bytes([65 + n]) * 400) for n in range(5)]
        ended = await asyncio.gather(*some, return_exceptions=True)
        assert sum(isinstance(one, PayloadTooLarge) for one in ended) == 3
        assert (await setup.files.quota(owner)).used_bytes == 800
    assert len(await setup.kept()) == 4


async def test_the_number_of_files_is_bounded(setup: FileSetup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_uploads, "MAX_FILES", 2)
    await setup.files.upload(None, [setup.new(b"a"), setup.new(b"b")])
    with pytest.raises(PayloadTooLarge, match="2 files"):
        await setup.brings(data=b"c")


async def test_one_bad_file_keeps_the_others_out(setup: FileSetup) -> None:
    for bad, error in ((setup.new(PNG, "a.txt"), UnsupportedMediaType), (setup.new(b""), InvalidInput)):
        with pytest.raises(error):
            await setup.files.upload(None, [setup.new(), bad])
    assert (await setup.kept(), setup.brought) == (set(), 0)


async def test_a_chat_that_is_not_ones_own_is_none(setup: FileSetup) -> None:
    ada, bob = await add_user(setup.database), await add_user(setup.database, "bob")
    chat = (await add_chat(setup.database, ada)).id
    for owner, named in ((bob, chat), (None, chat), (ada, new_id())):
        with pytest.raises(NotFound, match=r"^No such chat.$"):
            await setup.brings(owner, chat=named)
    assert await setup.kept() == set()


async def test_who_has_gone_keeps_nothing(setup: FileSetup) -> None:
    with pytest.raises(Unauthorized):
        await setup.brings(new_id())
    assert await setup.kept() == set()


async def test_when_the_storage_fails_nothing_is_kept(database: Database, tmp_path: Path) -> None:
    setup = FileSetup(database, tmp_path, storage=Broken(tmp_path / "storage", 3))
    ada = await add_user(database)
    with pytest.raises(ConnectionError):
        await setup.files.upload(ada, [setup.new(bytes([65 + n])) for n in range(4)])
    assert await setup.kept() == set()
    assert (await setup.files.page(ada, 1, 20)).total == 0
