"""Indexing: the database and the search index follow the folder."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.services.knowledge.knowledge_base import IndexBroken, KnowledgeBase, open_knowledge_base


@pytest.fixture
async def kb(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    async with open_knowledge_base(tmp_path) as kb:
        yield kb


def age(path: Path, seconds: int = 10) -> None:
    """Give a file another time of change, whatever the clock's grain."""
    about = path.stat()
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns + seconds * 10**9))


async def test_files_are_found_after_the_start(kb: KnowledgeBase) -> None:
    kb.write("a.md", "# Alpha\n\n## One\n\nfirst words\n")
    kb.write("sub/b.txt", "second words")
    report = await kb.indexer.start()
    assert (report.added, report.unchanged, report.failed) == (["a.md", "sub/b.txt"], 0, [])
    assert kb.indexer.loaded
    assert kb.index.find("words") == ["a.md", "sub/b.txt"]
    (record,) = [record for record in kb.index.records.values() if record.document == "a.md"]
    assert (record.title, record.section, record.text) == ("Alpha", "One", "## One\n\nfirst words")
    assert "Alpha\nOne\n## One\n\nfirst words" in kb.embedder.texts


async def test_documents_that_come_together_are_published_together(kb: KnowledgeBase) -> None:
    for n in range(20):
        kb.write(f"{n}.md", f"text {n}")
    await kb.indexer.start()
    assert len(kb.index.records) == 20
    assert kb.index.replacements < 10
    assert kb.index.generation == (await kb.library.status()).generation == 20


async def test_an_unchanged_file_is_not_read_again(kb: KnowledgeBase) -> None:
    path = kb.write("a.md", "text")
    await kb.indexer.start()
    embedded = len(kb.embedder.texts)
    assert (await kb.indexer.sync()).unchanged == 1
    age(path)
    report = await kb.indexer.sync()
    assert (report.unchanged, report.anything) == (1, False), "the time changed, the bytes did not"
    assert len(kb.embedder.texts) == embedded


async def test_a_changed_file_takes_the_place_of_what_it_was_under_the_same_id(kb: KnowledgeBase) -> None:
    age(kb.write("a.md", "old words"))
    await kb.indexer.start()
    (before,) = await kb.library.list_documents()
    kb.write("a.md", "new words")
    assert (await kb.indexer.sync()).changed == ["a.md"]
    (after,) = await kb.library.list_documents()
    assert (kb.index.find("old"), kb.index.find("new")) == ([], ["a.md"])
    assert (after.id, after.created_at) == (before.id, before.created_at)
    assert after.updated_at > before.updated_at


async def test_a_removed_file_is_not_found_any_more(kb: KnowledgeBase) -> None:
    path = kb.write("a.md", "words")
    await kb.indexer.start()
    path.unlink()
    assert (await kb.indexer.sync()).removed == ["a.md"]
    assert kb.index.records == {}
    assert await kb.library.list_documents() == []
    async with kb.database.read() as session:
        assert (await session.execute(text("SELECT count(*) FROM chunk"))).scalar_one() == 0


async def test_row_numbers_are_never_used_twice(kb: KnowledgeBase) -> None:
    path = kb.write("a.md", "words")
    await kb.indexer.start()
    (first,) = kb.index.records
    path.unlink()
    await kb.indexer.sync()
    kb.write("b.md", "words")
    await kb.indexer.sync()
    assert first not in kb.index.records


async def test_a_broken_file_is_named_and_skipped_and_what_it_said_is_gone(kb: KnowledgeBase) -> None:
    kb.write("good.md", "good words")
    kb.write("a.json", '{"a": "old words"}')
    await kb.indexer.start()
    kb.write("a.json", "{broken words")
    with capture_logs() as logs:
        report = await kb.indexer.sync()
    assert report.failed == ["a.json"]
    assert {"event": "knowledge_file_failed", "document": "a.json"}.items() <= logs[0].items()
    assert kb.index.find("words") == ["good.md"]
    status = await kb.library.status()
    assert (status.documents, status.failed) == (1, (("a.json", "not valid JSON (line 1)"),))
    assert (await kb.indexer.sync()).failed == [], "it is tried again only once it changes"
    kb.write("a.json", '{"a": "mended words"}')
    assert (await kb.indexer.sync()).changed == ["a.json"]
    assert kb.index.find("mended") == ["a.json"]
    assert (await kb.library.status()).failed == ()


async def test_a_fault_in_a_reader_is_that_files_matter(kb: KnowledgeBase, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("services.knowledge.reading.chunk", fail)
    kb.write("a.md", "words")
    with capture_logs() as logs:
        assert (await kb.indexer.start()).failed == ["a.md"]
    assert logs[0]["event"] == "knowledge_reader_failed"
    assert (await kb.library.status()).failed == (("a.md", "it could not be read"),)


async def test_a_restart_loads_everything_without_reading_a_file(kb: KnowledgeBase, tmp_path: Path) -> None:
    kb.write("a.md", f"# A\n\n## Größe 😀\n\n{'First one. ' * 300}\n\n## Two\n\nsecond\n")
    kb.write("faq.json", json.dumps([{"question": "Why?", "answer": "So."}]))
    await kb.indexer.start()
    async with open_knowledge_base(tmp_path) as again:
        report = await again.indexer.start()
        assert report.unchanged == 2
        assert again.embedder.texts == []
        assert again.index.records == kb.index.records
        assert again.index.vectors == kb.index.vectors
        assert again.index.generation == kb.index.generation


async def test_rows_are_fetched_as_they_were_published(kb: KnowledgeBase) -> None:
    kb.write("a.md", f"# A\n\n## Größe 😀\n\n{'Ein Satz mit ß und 😀. ' * 300}\n")
    await kb.indexer.start()
    fetched = await kb.stored.fetch([*kb.index.records, 99_999])
    assert {record.row: record for record in fetched} == kb.index.records
    assert len(fetched) > 3


async def test_what_another_model_embedded_is_there_without_its_vectors(kb: KnowledgeBase, tmp_path: Path) -> None:
    kb.write("a.md", "words")
    await kb.indexer.start()
    async with open_knowledge_base(tmp_path, model="another model") as again:
        await again.indexer.start()
        assert again.index.find("words") == ["a.md"]
        assert again.embedder.texts == []  # that is done in the background
        assert set(again.index.vectors.values()) == {bytes(8)}
    async with open_knowledge_base(tmp_path) as third:
        await third.indexer.start()
        assert third.index.vectors == kb.index.vectors


async def test_another_chunk_size_cuts_unchanged_files_anew(kb: KnowledgeBase, tmp_path: Path) -> None:
    kb.write("a.md", "One sentence. " * 100)
    await kb.indexer.start()
    async with open_knowledge_base(tmp_path, chunk_size=300, chunk_overlap=50) as again:
        assert (await again.indexer.start()).changed == ["a.md"]
        assert len(again.index.records) > len(kb.index.records)


async def test_while_the_folder_is_missing_what_is_known_stays_known(kb: KnowledgeBase) -> None:
    kb.write("a.md", "words")
    await kb.indexer.start()
    kb.folder.rename(kb.folder.with_name("away"))
    assert not (await kb.indexer.sync()).anything
    assert kb.index.find("words") == ["a.md"]


async def test_a_folder_of_too_many_files_is_read_up_to_the_limit(tmp_path: Path) -> None:
    async with open_knowledge_base(tmp_path, max_files=2) as kb:
        for name in ("a.md", "b.md", "c.md"):
            kb.write(name, "words")
        with capture_logs() as logs:
            assert (await kb.indexer.start()).added == ["a.md", "b.md"]
        assert logs[0]["event"] == "knowledge_folder_too_large"


async def test_a_file_over_the_limit_is_named(tmp_path: Path) -> None:
    async with open_knowledge_base(tmp_path, max_bytes=10) as kb:
        kb.write("a.md", "more than ten bytes")
        assert (await kb.indexer.start()).failed == ["a.md"]


async def test_a_search_index_that_failed_is_loaded_anew(kb: KnowledgeBase) -> None:
    await kb.indexer.start()
    kb.write("a.md", "words")
    kb.index.broken = True
    with pytest.raises(IndexBroken):
        await kb.indexer.sync()
    kb.index.broken = False
    await kb.indexer.sync()
    assert kb.index.loads == 2
    assert kb.index.find("words") == ["a.md"]
