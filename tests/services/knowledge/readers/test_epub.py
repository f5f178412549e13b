"""E-books: the spine's order, what is encrypted, what is missing."""

from pathlib import Path

from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import epub_bytes, headings, member, read, refusal, with_members

ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
 xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>
 <enc:CipherReference URI="{}"/></enc:CipherData></enc:EncryptedData></encryption>"""
CONTAINER = b"""<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>
 <rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""
PACKAGE = b"""<package xmlns="http://www.idpf.org/2007/opf" version="2.0"><metadata
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title> Old
 book </dc:title></metadata><manifest>
 <item id="b" href="b%20two.xhtml" media-type="application/xhtml+xml"/>
 <item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>
 <item id="pic" href="p.svg" media-type="image/svg+xml"/>
 <item id="gone" href="gone.xhtml" media-type="application/xhtml+xml"/></manifest>
 <spine><itemref idref="b"/><itemref idref="pic"/><itemref idref="gone"/><itemref idref="a"/><itemref idref="none"/>
 <itemref idref="a"/></spine></package>"""
CHAPTER = """<?xml version="1.0" encoding="{0}"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://x.org/a.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body><h1>{1}</h1><p><a id="x"/>Gr\u00f6\u00dfe {1}.</p>
</body></html>"""


def book(**changed: bytes) -> bytes:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", changed.get("container", CONTAINER))
        archive.writestr("OPS/book.opf", changed.get("package", PACKAGE))
        archive.writestr("OPS/a.xhtml", CHAPTER.format("iso-8859-1", "First").encode("latin-1"))
        archive.writestr("OPS/b two.xhtml", CHAPTER.format("utf-8", "Second").encode())
    return out.getvalue()


def test_chapters_come_in_the_spines_order_each_once(tmp_path: Path) -> None:
    document = read(tmp_path, "a.epub", book())
    assert document.text == "Second\n\nGröße Second.\n\nFirst\n\nGröße First.\n\n"
    assert headings(document) == [(2, "Second"), (2, "First")]
    assert document.title == "Old book"


def test_what_pandoc_wrote_is_read(tmp_path: Path) -> None:
    document = read(tmp_path, "a.epub", epub_bytes())
    assert document.title == "The Book"
    assert "It began in Marlow." in document.text
    assert "- a point" in document.text
    assert [words for _, words in headings(document)][-3:] == ["One", "Two", "Part"]


def test_a_book_with_a_lock_is_refused_and_one_with_hidden_fonts_is_not(tmp_path: Path) -> None:
    locked = with_members(book(), {"META-INF/encryption.xml": ENCRYPTION.format("OPS/a.xhtml").encode()})
    assert refusal(tmp_path, "a.epub", locked) == "it is encrypted"
    fonts = with_members(book(), {"META-INF/encryption.xml": ENCRYPTION.format("OPS/f.otf").encode()})
    assert "First" in read(tmp_path, "a.epub", fonts).text


def test_what_is_damaged_or_empty_is_refused(tmp_path: Path) -> None:
    data = book()
    assert refusal(tmp_path, "a.epub", book(container=b"<container/>")) == "it is damaged"
    assert refusal(tmp_path, "a.epub", book(package=b"<package")) == "it is damaged"
    assert refusal(tmp_path, "a.epub", book(package=b"<package/>")) == "it holds no text"
    assert refusal(tmp_path, "a.epub", data[: len(data) // 2]) == "it is damaged"
    assert refusal(tmp_path, "a.epub", data, ReadingLimits(text_chars=20)) == "its text is too long"


def test_a_chapter_outside_of_the_archive_is_no_chapter(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xhtml"
    secret.write_text("<p>do not show</p>")
    package = PACKAGE.replace(b"a.xhtml", f"../../../../../..{secret}".encode())
    assert "do not show" not in read(tmp_path, "a.epub", book(package=package)).text
    assert member(book(), "mimetype") == b"application/epub+zip"
