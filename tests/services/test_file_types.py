"""What a file is taken for, by its content."""

import bz2
import gzip
import io
import json
import lzma
import random
import sqlite3
import sys
import tarfile
import tracemalloc
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pptx
import pypandoc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infrastructure.errors import InvalidInput, UnsupportedMediaType
from services.file_types import HEAD_BYTES, FileType, file_type
from services.knowledge.extract import MEDIA_TYPES
from services.text_encoding import decode_text
from tests.services.file_type_parts import (
    docx_bytes,
    encrypted_docx,
    image_bytes,
    pdf_bytes,
    renamed_stream,
    saved,
    with_content_types,
    zip_bytes,
)

OFFICE = "application/vnd.openxmlformats-officedocument."
DOCX, PPTX, XLSX = f"{OFFICE}wordprocessingml.document", f"{OFFICE}presentationml.presentation", f"{OFFICE}spreadsheetml.sheet"  # noqa: E501  # fmt: skip
Sniff = Callable[[bytes, str], FileType]


@pytest.fixture
def sniff(tmp_path: Path) -> Sniff:
    def write_and_look(data: bytes, name: str) -> FileType:
        path = tmp_path / "upload"
        path.write_bytes(data)
        return file_type(path, name)

    return write_and_look


class TestDocuments:
    @pytest.mark.parametrize("name", ["a.pdf", "a.txt", "a", "a.docx"])
    def test_a_pdf_is_one_whatever_its_name(self, sniff: Sniff, name: str) -> None:
        assert sniff(pdf_bytes(), name) == FileType("application/pdf")
        assert sniff(b"junk of a mail program\r\n" + pdf_bytes(), name) == FileType("application/pdf")

    def test_a_text_about_pdf_is_a_text(self, sniff: Sniff) -> None:
        assert sniff(b"A file begins with %PDF-1.7 and ends otherwise.", "a.pdf") == FileType("text/plain", "utf-8-sig")

    @pytest.mark.parametrize("name", ["a.docx", "a.txt", "a.zip", "a.xlsx", ""])
    def test_office_documents_are_told_apart_by_what_is_inside(self, sniff: Sniff, name: str) -> None:
        assert sniff(docx_bytes(), name).media_type == DOCX
        assert sniff(saved(pptx.Presentation().save), name).media_type == PPTX
        assert sniff(saved(openpyxl.Workbook().save), name).media_type == XLSX

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (f"{DOCX}.main+xml", "application/vnd.ms-word.document.macroEnabled.main+xml"),
            (f"{DOCX}.main+xml", f"{OFFICE}wordprocessingml.template.main+xml"),
            (f"{DOCX}.main+xml", "application/vnd.ms-word.template.macroEnabledTemplate.main+xml"),
        ],
    )
    def test_a_template_or_one_with_macros_is_its_plain_kind(self, sniff: Sniff, old: str, new: str) -> None:
        assert sniff(with_content_types(docx_bytes(), old, new), "a.docm").media_type == DOCX

    def test_what_is_embedded_does_not_count(self, sniff: Sniff) -> None:
        embedded = f'<Default Extension="xlsx" ContentType="{XLSX}"/></Types>'
        assert sniff(with_content_types(docx_bytes(), "</Types>", embedded), "a").media_type == DOCX

    def test_a_book_is_known_by_its_first_entry(self, sniff: Sniff, tmp_path: Path) -> None:
        made = tmp_path / "made.epub"
        pypandoc.convert_text("# One\n\nText.", "epub", "markdown", outputfile=str(made))
        assert sniff(made.read_bytes(), "a.zip") == FileType("application/epub+zip")


class TestRefusals:
    @pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx", "a.py"])
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "ICO", "JPEG2000"])
    def test_an_image_is_refused_whatever_its_name(self, sniff: Sniff, kind: str, name: str) -> None:
        with pytest.raises(UnsupportedMediaType, match=r"^Images are not read\.$"):
            sniff(image_bytes(kind), name)

    @pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.epub"])
    def test_archives_programs_sounds_and_databases_are_refused(self, sniff: Sniff, name: str, tmp_path: Path) -> None:
        text = b"nothing but text " * 50
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            tar.add(__file__, "test.py")
        with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(100))
        with sqlite3.connect(tmp_path / "a.db") as database:
            database.execute("CREATE TABLE t (x)")
        database.close()
        files = {
            gzip.compress(text): "Archives",
            bz2.compress(text): "Archives",
            lzma.compress(text): "Archives",
            (tmp_path / "a.tar").read_bytes(): "Archives",
            zip_bytes({"a.txt": text}): "Archives",
            zip_bytes({}): "Archives",
            zip_bytes({"inner.docx": docx_bytes()}): "Archives",
            (tmp_path / "a.wav").read_bytes(): "Audio and video",
            (tmp_path / "a.db").read_bytes(): "Databases",
            Path(sys.executable).resolve().read_bytes(): "Programs",
        }
        for data, what in files.items():
            with pytest.raises(UnsupportedMediaType, match=f"^{what} are not read"):
                sniff(data, name)

    def test_an_image_that_says_pdf_somewhere_is_an_image(self, sniff: Sniff) -> None:
        with pytest.raises(UnsupportedMediaType, match="Images"):
            sniff(b"GIF89a" + bytes(20) + b"%PDF-1.7", "a.pdf")
        with pytest.raises(UnsupportedMediaType, match="Images"):
            sniff(image_bytes("PNG")[:100] + pdf_bytes(), "a.pdf")

    @pytest.mark.parametrize(("kind", "what"), [("rtf", "RTF files are"), ("odt", "OpenDocument files are")])
    def test_other_documents_are_refused_by_name(self, sniff: Sniff, tmp_path: Path, kind: str, what: str) -> None:
        made = tmp_path / f"made.{kind}"
        pypandoc.convert_text("Text.", kind, "markdown", outputfile=str(made), extra_args=["--standalone"])
        with pytest.raises(UnsupportedMediaType, match=f"^{what} not read"):
            sniff(made.read_bytes(), "a.docx")

    def test_an_encrypted_document_is_refused_as_such(self, sniff: Sniff) -> None:
        with pytest.raises(UnsupportedMediaType, match=r"^Encrypted Office files are not read\.$"):
            sniff(encrypted_docx(), "a.docx")

    @pytest.mark.parametrize(
        ("stream", "message"),
        [
            ("WordDocument", "Word files of before 2007 are not read: save it as .docx."),
            ("Workbook", "Excel files of before 2007 are not read: save it as .xlsx."),
            ("Book", "Excel files of before 2007 are not read: save it as .xlsx."),
            ("Anything", "Files of this kind are not read."),
        ],
    )
    def test_old_office_files_are_refused_with_advice(self, sniff: Sniff, stream: str, message: str) -> None:
        with pytest.raises(UnsupportedMediaType) as raised:
            sniff(renamed_stream(stream), "a.doc")
        assert raised.value.message == message

    def test_an_empty_file_is_said_to_be_empty(self, sniff: Sniff) -> None:
        with pytest.raises(InvalidInput, match=r"^The file is empty\.$"):
            sniff(b"", "a.txt")

    def test_an_office_file_of_two_kinds_or_of_none_is_refused(self, sniff: Sniff) -> None:
        both = f'<Override PartName="/x" ContentType="{XLSX}.main+xml"/></Types>'
        binary = "application/vnd.ms-excel.sheet.binary.macroEnabled.main"
        for data in (
            with_content_types(docx_bytes(), "</Types>", both),
            with_content_types(saved(openpyxl.Workbook().save), f"{XLSX}.main+xml", binary),
        ):
            with pytest.raises(UnsupportedMediaType, match=r"^Files of this kind are not read\.$"):
                sniff(data, "a.docx")


class TestHostileArchives:
    def test_one_of_too_many_entries_is_refused_without_listing_it(self, sniff: Sniff) -> None:
        data = zip_bytes({"[Content_Types].xml": b"x", **{str(n): b"" for n in range(10_001)}})
        with pytest.raises(UnsupportedMediaType, match="more than 10,000"):
            sniff(data, "a.docx")

    def test_a_directory_of_many_megabytes_is_not_read(self, sniff: Sniff) -> None:
        data = zip_bytes({f"{n}{'x' * 60_000}": b"" for n in range(80)})
        with pytest.raises(UnsupportedMediaType, match="Archives"):
            sniff(data, "a.docx")

    @pytest.mark.parametrize("name", ["[Content_Types].xml", "mimetype"])
    def test_what_unpacks_to_a_hundred_megabytes_is_not_unpacked(self, sniff: Sniff, name: str) -> None:
        data = zip_bytes({name: bytes(100_000_000)})
        tracemalloc.start()
        try:
            with pytest.raises(UnsupportedMediaType):
                sniff(data, "a.docx")
            assert tracemalloc.get_traced_memory()[1] < 16_000_000
        finally:
            tracemalloc.stop()

    def test_unusual_compression_and_passwords_are_refused(self, sniff: Sniff) -> None:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("mimetype", "application/epub+zip")
        with pytest.raises(UnsupportedMediaType, match="Archives"):
            sniff(out.getvalue(), "a.epub")
        locked = bytearray(zip_bytes({"mimetype": b"application/epub+zip"}))
        locked[6] |= 1
        locked[locked.index(b"PK\x01\x02") + 8] |= 1
        with pytest.raises(UnsupportedMediaType, match="Archives"):
            sniff(bytes(locked), "a.epub")

    def test_a_cut_one_is_said_to_be_damaged(self, sniff: Sniff) -> None:
        data = docx_bytes()
        with pytest.raises(UnsupportedMediaType, match="damaged"):
            sniff(data[: len(data) // 2], "a.docx")


class TestText:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("a.txt", "text/plain"), ("README", "text/plain"), ("a.unheard-of", "text/plain"), ("a.pdf", "text/plain"),
            ("a.png", "text/plain"), ("a.md", "text/markdown"), ("A.MD", "text/markdown"), ("a.mdx", "text/markdown"),
            ("a.html", "text/html"), ("a.csv", "text/csv"), ("a.tsv", "text/tab-separated-values"),
            ("a.json", "application/json"), ("a.ipynb", "application/json"), ("a.yml", "application/yaml"),
            ("a.py", "text/x-python"), ("a.rs", "text/x-rust"), ("a.h", "text/x-c"), ("a.tar.sql", "text/x-sql"),
        ],
    )  # fmt: skip
    def test_the_name_picks_the_kind_of_text(self, sniff: Sniff, name: str, kind: str) -> None:
        assert sniff("plain words, and some more: é\n".encode(), name) == FileType(kind, "utf-8-sig")
        assert kind in MEDIA_TYPES.values()

    @pytest.mark.parametrize(
        "page",
        [
            "<!DOCTYPE html><p>x", " \n<html lang=en>", "<HTML>", "<!-- a --><!-- b -->\n<!doctype HTML >",
            '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x">',
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_a_page_is_one_unless_it_is_source_code(self, sniff: Sniff, page: str, encoding: str) -> None:
        data = page.encode(encoding)
        assert sniff(data, "a.txt").media_type == "text/html"
        assert sniff(data, "a.json").media_type == "text/html"
        assert sniff(data, "a.php").media_type == "text/x-php"

    @pytest.mark.parametrize("text", ["<htmlx>", "see <html>", "<!-- <html> -->", "<!--", "<!-- -->" * 9000 + "x"])
    def test_what_only_speaks_of_pages_is_none(self, sniff: Sniff, text: str) -> None:
        assert sniff(text.encode(), "a.txt").media_type == "text/plain"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_unicode_is_known(self, sniff: Sniff, encoding: str) -> None:
        data = "Grüße, 世界 👋\r\n".encode(encoding)
        found = sniff(data, "a.txt")
        assert found.encoding is not None
        assert data.decode(found.encoding) == decode_text(data) == "Grüße, 世界 👋\r\n"

    @pytest.mark.parametrize(
        ("encoding", "text"),
        [
            ("cp1252", "L'été dernier, nous avons mangé des crêpes à la française près du château. "),
            ("cp1252", "Die Prüfung der Größe erfolgt über die Straße. Öffnen Sie die Tür, bevor es zu spät ist. "),
            ("cp1251", "Съешь ещё этих мягких французских булок, да выпей чаю. Электрификация южных губерний. "),
            ("koi8_r", "Съешь ещё этих мягких французских булок, да выпей чаю. Электрификация южных губерний. "),
            ("cp1250", "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem godności. "),
            ("cp1253", "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. "),  # noqa: RUF001  it is Greek
            ("shift_jis", "これは日本語の文章です。今日は天気がいいので散歩に行きました。"),
            ("gb18030", "这是一个中文句子。今天天气很好。我们去公园散步。汉字编码测试。"),
            ("euc_kr", "이것은 한국어 문장입니다. 오늘은 날씨가 좋아서 산책을 갔습니다."),
        ],
    )
    @pytest.mark.parametrize("times", [2, 3001])
    def test_older_encodings_are_known(self, sniff: Sniff, encoding: str, text: str, times: int) -> None:
        data = (text * times).encode(encoding)
        found = sniff(data, "a.txt")
        assert found.encoding is not None
        assert data.decode(found.encoding) == decode_text(data) == text * times

    def test_a_character_that_the_sample_cuts_does_no_harm(self, sniff: Sniff) -> None:
        for shift in range(4):
            data = b"x" * (HEAD_BYTES - shift) + "👋".encode() + b"y"
            assert sniff(data, "a.txt").encoding == "utf-8-sig"
            wide = ("x" * (HEAD_BYTES // 2 - 1 - shift) + "👋" * 9).encode("utf-16")
            assert sniff(wide, "a.txt").encoding == "utf-16"
        japanese = b"x" + ("日本語の文章です" * 9000).encode("shift_jis")
        assert sniff(japanese, "a.txt").encoding == "cp932"

    @pytest.mark.parametrize(
        "data",
        [
            b"text\0with a NUL", bytes(range(256)), "no mark".encode("utf-16-le"), "x\0y".encode("utf-16"),
            b"\xff\xfe" + random.Random(3).randbytes(5000), random.Random(4).randbytes(5000), b"\x01\x02\x03" * 100,
            bytes(random.Random(5).choices([*range(128, 256)], k=5000)),
            bytes(random.Random(5).choices([*range(32, 256)], k=100_000)), b"\xff\xfe\x00\xd8x",
            "text".encode("utf-32"),
        ],
    )  # fmt: skip
    def test_other_bytes_are_no_text(self, sniff: Sniff, data: bytes) -> None:
        with pytest.raises(UnsupportedMediaType, match=r"^The file is neither text nor a document"):
            sniff(data, "a.txt")

    def test_colours_of_a_terminal_and_a_stray_control_are_text(self, sniff: Sniff) -> None:
        log = b"\x1b[31merror\x1b[0m line\x0c\n" * 100 + b"\x1a"
        assert sniff(log, "a.log").media_type == "text/x-log"

    def test_words_that_some_formats_begin_with_are_words(self, sniff: Sniff) -> None:
        for word in (
            "BMW",
            "MZ",
            "ID3",
            "GIF89a",
            "PAR1",
            "OTTO",
            "BZh",
            "Rar!",
            "FLV",
            "RIFF",
            "PK",
            "SQLite format 3",
        ):
            assert sniff(f"{word} is the first word.".encode(), "a.txt").media_type == "text/plain"


ONCE_MADE = [docx_bytes(), encrypted_docx(), pdf_bytes(), zip_bytes({"mimetype": b"application/epub+zip"})]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"", *ONCE_MADE]), st.data())
def test_any_bytes_are_a_known_type_or_refused(tmp_path: Path, base: bytes, data: st.DataObject) -> None:
    """Damaged here and there, and cut."""
    content = bytearray(base[: data.draw(st.integers(0, len(base)))])
    for _ in range(data.draw(st.integers(0, 5))):
        if content:
            at = data.draw(st.integers(0, len(content) - 1))
            content[at : at + 4] = data.draw(st.binary(max_size=8))
    path = tmp_path / "upload"
    path.write_bytes(bytes(content) + data.draw(st.binary(max_size=64)))
    try:
        found = file_type(path, data.draw(st.sampled_from(["a.txt", "a.docx", "a.json"])))
    except (UnsupportedMediaType, InvalidInput):
        return
    assert found.media_type in MEDIA_TYPES.values()


def test_a_head_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.write(json.dumps(["x" * 100_000]).encode())
        file.truncate(2_000_000_000)  # NULs, which are far behind the head
    tracemalloc.start()
    try:
        assert file_type(path, path.name).media_type == "application/json"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
