"""Word documents, of two writers."""

import io
import subprocess
import zipfile
from contextlib import suppress
from pathlib import Path

import docx
import pypandoc
import pytest
from docx.oxml import parse_xml
from msoffcrypto.format.ooxml import OOXMLFile

from infrastructure.errors import KnowledgeError
from services.knowledge.readers.limits import ReadingLimits
from tests.services.knowledge.readers.made import docx_bytes, headings, read, refusal, saved, with_members

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pandoc(markdown: str) -> bytes:
    command = [pypandoc.get_pandoc_path(), "-f", "markdown", "-t", "docx", "-o", "-"]
    return subprocess.run(command, input=markdown.encode(), capture_output=True, check=True).stdout


def with_body(*elements: str) -> bytes:
    """A document whose body holds these elements, written in `w:`."""
    document = docx.Document()
    for element in elements:
        document.element.body.insert(-1, parse_xml(element.replace(">", f" {W}>", 1)))
    return saved(document.save)


def test_headings_paragraphs_tables_and_lists_come_in_order(tmp_path: Path) -> None:
    document = read(tmp_path, "a.docx", docx_bytes())
    assert document.text == (
        "Annual report\n\nAn introduction.\n\nResults\n\nSales rose.\n\n"
        "| Year | Sum \\| total |\n| --- | --- |\n| 2024 | 12 500 |\n\n"
        "- First point\n- Second point\nBy region\n\nThe north sold most.\n\n"
    )
    assert headings(document) == [(1, "Annual report"), (2, "Results"), (3, "By region")]
    assert document.title == "Annual report"


def test_what_another_writer_wrote_reads_the_same(tmp_path: Path) -> None:
    source = (
        "---\ntitle: On ships\n---\n\n# One\n\nText with a [link](http://x.org) and a note.[^1]\n\n"
        "1. first\n2. second\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n## Two\n\nEnd.\n\n[^1]: Below the line.\n"
    )
    document = read(tmp_path, "a.docx", pandoc(source))
    assert headings(document) == [(1, "On ships"), (2, "One"), (3, "Two")]
    assert "Text with a link and a note." in document.text
    assert "- first\n- second\n" in document.text
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in document.text
    assert document.text.rstrip().endswith("Below the line.")


def test_one_heading_of_level_1_is_the_title_and_several_are_sections(tmp_path: Path) -> None:
    assert headings(read(tmp_path, "a.docx", pandoc("# T\n\n## S\n\nx"))) == [(1, "T"), (2, "S")]
    assert headings(read(tmp_path, "a.docx", pandoc("# S\n\nx\n\n# U\n\ny"))) == [(2, "S"), (2, "U")]


def test_inserted_text_is_read_and_deleted_text_is_not(tmp_path: Path) -> None:
    data = with_body(
        "<w:p><w:r><w:t>It </w:t></w:r><w:del><w:r><w:delText>was</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>is</w:t></w:r></w:ins><w:r><w:tab/><w:t>so</w:t><w:br/><w:t>now</w:t></w:r></w:p>",
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>",
    )
    assert read(tmp_path, "a.docx", data).text == "It is\tso\nnow\n\nIn a control.\n\n"


def test_a_text_box_is_read_once(tmp_path: Path) -> None:
    mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
    box = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>"
    data = with_body(
        f"<w:p><w:r><w:t>before</w:t></w:r><w:r><mc:AlternateContent {mc}><mc:Choice Requires='wps'>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent></w:r><w:r><w:t> after</w:t></w:r></w:p>"
    )
    text = read(tmp_path, "a.docx", data).text
    assert text.count("boxed") == 1
    assert text.rstrip().endswith("after")


def test_a_style_based_on_a_heading_and_an_outline_level_are_headings(tmp_path: Path) -> None:
    document = docx.Document()
    style = document.styles.add_style("Mine", docx.enum.style.WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 2"]
    document.add_paragraph("Based", style=style)
    data = saved(document.save)
    assert headings(read(tmp_path, "a.docx", data)) == [(3, "Based")]
    outlined = with_body("<w:p><w:pPr><w:outlineLvl w:val='0'/></w:pPr><w:r><w:t>Top</w:t></w:r></w:p>")
    assert headings(read(tmp_path, "a.docx", outlined)) == [(1, "Top")]


def test_an_encrypted_document_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    OOXMLFile(io.BytesIO(docx_bytes())).encrypt("secret", out)
    assert refusal(tmp_path, "a.docx", out.getvalue()) == "it is encrypted"


def test_an_old_or_empty_or_damaged_document_is_refused(tmp_path: Path) -> None:
    assert "older format" in refusal(tmp_path, "a.docx", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    assert refusal(tmp_path, "a.docx", saved(docx.Document().save)) == "it holds no text"
    good = docx_bytes()
    assert refusal(tmp_path, "a.docx", good[:-100]) == "it is damaged"
    assert refusal(tmp_path, "a.docx", b"PK\x03\x04 no archive") == "it is damaged"
    assert refusal(tmp_path, "a.docx", with_members(good, {"word/document.xml": b"<w:doc"})) == "it is damaged"
    assert refusal(tmp_path, "a.docx", with_members(good, {"_rels/.rels": b"<a/>"})) == "it is damaged"


def test_a_text_over_the_limit_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "a.docx", docx_bytes(), ReadingLimits(text_chars=50)) == "its text is too long"


@pytest.mark.parametrize("flipped", range(40, 4000, 197))
def test_a_flipped_byte_never_leads_to_anything_but_text_or_a_reason(tmp_path: Path, flipped: int) -> None:
    data = bytearray(docx_bytes())
    data[flipped * 7 % len(data)] ^= 0xFF
    with suppress(KnowledgeError):
        assert read(tmp_path, "a.docx", bytes(data)).text


@pytest.mark.parametrize(
    "kind",
    [
        "vnd.ms-word.document.macroEnabled",
        "vnd.ms-word.template.macroEnabledTemplate",
        "vnd.openxmlformats-officedocument.wordprocessingml.template",
    ],
)
def test_documents_with_macros_and_templates_are_read_as_documents(tmp_path: Path, kind: str) -> None:
    plain = docx_bytes()
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        types = archive.read("[Content_Types].xml").decode()
    changed = types.replace("vnd.openxmlformats-officedocument.wordprocessingml.document.main", f"{kind}.main")
    assert changed != types
    document = read(tmp_path, "a.docx", with_members(plain, {"[Content_Types].xml": changed.encode()}))
    assert document.text == read(tmp_path, "a.docx", plain).text
