"""Files made to do harm: archives that unpack without end, entities, local files, archives in archives."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.errors import KnowledgeError
from services.knowledge.chunk import STRETCH, chunk
from services.knowledge.readers.archive import Archive, refuse_dtd
from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import (
    docx_bytes,
    epub_bytes,
    member,
    pdf_bytes,
    pptx_bytes,
    read,
    refusal,
    with_members,
    xlsx_bytes,
)

MEBI = 1024**2
OFFICE = [
    ("a.docx", docx_bytes, "word/document.xml"),
    ("a.pptx", pptx_bytes, "ppt/slides/slide1.xml"),
    ("a.xlsx", xlsx_bytes, "xl/worksheets/sheet1.xml"),
]
WITH_XML = [*OFFICE, ("a.epub", epub_bytes, "META-INF/container.xml"), ("a.epub", epub_bytes, "EPUB/content.opf")]
LAUGHS = b'<!DOCTYPE l [<!ENTITY a0 "lol">' + b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)
)
Make = Callable[[], bytes]


def after_declaration(xml: bytes, inserted: bytes) -> bytes:
    end = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
    return xml[:end] + inserted + xml[end:]


@pytest.mark.parametrize(("name", "make", "part"), WITH_XML)
def test_entities_are_never_resolved(tmp_path: Path, name: str, make: Make, part: str) -> None:
    data = make()
    xml = member(data, part)
    secret = tmp_path / "secret.txt"
    secret.write_text("the content of a local file")
    external = b'<!DOCTYPE x [<!ENTITY a11 SYSTEM "%s">]>' % secret.as_uri().encode()
    for declared in (LAUGHS + b"]>", external, b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'):
        for used in (xml, xml.replace(b"The plan", b"&a11;").replace(b"Sales rose.", b"&a11;")):
            reason = refusal(tmp_path, name, with_members(data, {part: after_declaration(used, declared)}))
            assert reason == "its XML declares a DTD, which such a file does not need"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "iso-8859-1"])
def test_a_dtd_is_found_in_any_encoding_and_behind_a_long_comment(encoding: str) -> None:
    xml = f"<?xml version='1.0' encoding='{encoding}'?><!--{'x' * 100_000}--><!DOCTYPE a><a/>".encode(encoding)
    with pytest.raises(KnowledgeError, match="DTD"):
        refuse_dtd(xml)
    refuse_dtd(xml.replace("<!DOCTYPE a>".encode(encoding).removeprefix(b"\xff\xfe"), b""))


@pytest.mark.parametrize("xml", [b"", b"no xml", b"<?xml version='1.0' encoding='no-such'?><a/>", b"<!--"])
def test_xml_that_is_broken_before_its_first_element_is_refused(xml: bytes) -> None:
    with pytest.raises(KnowledgeError, match="it is damaged"):
        refuse_dtd(xml)


def test_a_chapter_of_entities_shows_neither_a_file_nor_a_laugh(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("the content of a local file")
    address = (tmp_path / "secret.txt").as_uri().encode()
    data = epub_bytes()
    chapters = [name for name in zipfile.ZipFile(io.BytesIO(data)).namelist() if name.endswith("ch001.xhtml")]
    chapter = LAUGHS + b'<!ENTITY f SYSTEM "%s">]><html><body><p>seen &f; &a11;</p></body></html>' % address
    text = read(tmp_path, "a.epub", with_members(data, {chapters[0]: chapter})).text
    assert "seen" in text
    assert "local file" not in text
    assert text.count("lol") <= 1


@pytest.mark.parametrize(("name", "make", "part"), WITH_XML)
def test_an_archive_that_unpacks_to_very_much_is_refused(tmp_path: Path, name: str, make: Make, part: str) -> None:
    data = make()
    bomb = after_declaration(member(data, part), b" " * (40 * MEBI))
    packed = with_members(data, {part: bomb})
    assert len(packed) < MEBI
    assert refusal(tmp_path, name, packed) == "it unpacks to too much"
    less = after_declaration(member(data, part), b" " * (2 * MEBI))
    limits = ReadingLimits(unpacked_bytes=MEBI)
    assert refusal(tmp_path, name, with_members(data, {part: less}), limits) == "it unpacks to too much"


def test_a_size_that_is_a_lie_is_damage(tmp_path: Path) -> None:
    data = bytearray(docx_bytes())
    directory = data.index(b"PK\x01\x02")
    while b"word/document.xml" not in data[directory + 46 : directory + 46 + 20]:
        directory = data.index(b"PK\x01\x02", directory + 4)
    data[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    assert refusal(tmp_path, "a.docx", bytes(data)) == "it is damaged"


@pytest.mark.parametrize(("name", "make", "part"), OFFICE)
def test_archives_and_images_within_are_not_opened(tmp_path: Path, name: str, make: Make, part: str) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", b"\0" * (40 * MEBI))
    data = make()
    folder = part.split("/")[0]
    added = {f"{folder}/embeddings/{n}.zip": inner.getvalue() for n in range(5)}
    added[f"{folder}/media/image1.png"] = b"\0" * (40 * MEBI)
    assert read(tmp_path, name, with_members(data, added)).text == read(tmp_path, name, data).text


def test_too_many_members_and_encrypted_members_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(30):
            archive.writestr(f"{number}.xml", b"<a/>")
    with pytest.raises(KnowledgeError, match="more than 20 files"):
        Archive(out.getvalue(), ReadingLimits(members=20))
    locked = bytearray(out.getvalue())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(KnowledgeError, match="it is encrypted"):
        Archive(bytes(locked), ReadingLimits()).read("0.xml")


def test_xml_nested_very_deep_is_damage_or_nothing(tmp_path: Path) -> None:
    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    for name, make, part in OFFICE[:2]:
        assert refusal(tmp_path, name, with_members(make(), {part: deep})) == "it is damaged"
    name, make, part = OFFICE[2]
    assert "Aurora" not in read(tmp_path, name, with_members(make(), {part: deep})).text


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, make) for name, make, _ in OFFICE),
        ("a.epub", epub_bytes),
        ("a.pdf", pdf_bytes),
        ("a.csv", lambda: b"name,town\n" + b"Ada,Marlow\n" * 200),
        ("a.md", lambda: b"# T\n\n## S\n\n" + b"A sentence of words. " * 200),
        ("a.py", lambda: b"def one():\n    return 1\n\n\n" * 100),
    ],
)
@pytest.mark.parametrize("size", [40, 300, 1200])
def test_every_chunk_is_exactly_its_place_and_nothing_is_lost(tmp_path: Path, name: str, make: Make, size: int) -> None:
    document = read(tmp_path, name, make())
    covered = [False] * len(document.text)
    for piece in chunk(document, size, 20):
        assert document.text[piece.start : piece.end] == piece.text
        assert len(piece.text) <= size * STRETCH
        covered[piece.start : piece.end] = [True] * len(piece.text)
    titles = [(block.start, block.end) for block in document.blocks if block.kind == "heading" and block.level == 1]
    for at, char in enumerate(document.text):
        assert covered[at] or char.isspace() or any(start <= at < end for start, end in titles)
