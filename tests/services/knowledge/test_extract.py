"""Reading files: what comes out, where its blocks stand, and what is refused with a reason."""

import codecs
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.errors import KnowledgeError
from services.knowledge.extract import MEDIA_TYPES, extract, extract_file, media_type
from services.knowledge.extracted import ExtractedDocument
from services.knowledge.readers.limits import ReadingLimits


def headings(document: ExtractedDocument) -> list[tuple[int, str]]:
    return [(block.level, block.heading) for block in document.blocks if block.kind == "heading"]


def pieces(document: ExtractedDocument) -> list[str]:
    return [document.text[block.start : block.end].strip() for block in document.blocks]


def refused(name: str, data: bytes) -> str:
    with pytest.raises(KnowledgeError) as caught:
        extract(name, data)
    return caught.value.message


class TestBytes:
    @pytest.mark.parametrize(
        "data",
        [
            "größe".encode(),
            codecs.BOM_UTF8 + "größe".encode(),
            "größe".encode("utf-16"),
            codecs.BOM_UTF16_BE + "größe".encode("utf-16-be"),
        ],
    )
    def test_utf8_and_marked_utf16_are_read(self, data: bytes) -> None:
        assert extract("a.txt", data).text == "größe"

    def test_every_line_end_becomes_a_line_feed(self) -> None:
        assert extract("a.md", b"a\r\nb\rc\n").text == "a\nb\nc\n"

    @pytest.mark.parametrize("encoding", ["cp1252", "iso8859_1"])
    def test_an_older_encoding_is_told_by_the_text(self, encoding: str) -> None:
        text = "Die Größe der Öfen wird in Zürich gemäß den Maßen für Häuser gewählt, schöne Grüße."
        assert extract("a.txt", text.encode(encoding)).text == text

    def test_nul_bytes_are_refused(self) -> None:
        assert refused("a.txt", b"a\0b") == "it is not text"

    def test_a_file_over_the_limit_is_refused(self) -> None:
        with pytest.raises(KnowledgeError, match="larger than 3 bytes"):
            extract("a.txt", b"four", max_bytes=3)

    def test_an_unknown_type_is_refused(self) -> None:
        assert "type" in refused("a.exe", b"MZ")
        assert media_type("A.MD") == "text/markdown"

    @pytest.mark.parametrize("ending", [".md", ".txt", ".html", ".yaml", ".csv", ".tsv", ".py"])
    def test_an_empty_text_has_no_text(self, ending: str) -> None:
        document = extract(f"a{ending}", b"")
        assert (document.text, document.blocks) == ("", ())

    @pytest.mark.parametrize("ending", [".pdf", ".docx", ".pptx", ".xlsx", ".epub"])
    def test_an_empty_document_is_refused(self, ending: str) -> None:
        assert refused(f"a{ending}", b"") == "it holds no text"

    def test_every_type_that_is_named_has_a_reader(self) -> None:
        for ending in MEDIA_TYPES:
            with suppress(KnowledgeError):
                extract(f"a{ending}", b"a")


class TestUploads:
    def test_the_media_type_decides_and_not_the_name(self, tmp_path: Path) -> None:
        path = tmp_path / "0190"
        path.write_bytes(b"# Title\n\nText.")
        document = extract_file(path, "notes.html", "text/markdown", ReadingLimits())
        assert (document.title, document.media_type) == ("Title", "text/markdown")

    @pytest.mark.parametrize("data", [b"", b" \n\t", codecs.BOM_UTF8])
    def test_a_file_without_text_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(KnowledgeError, match="it holds no text"):
            extract_file(tmp_path / "a", "a.txt", "text/plain", ReadingLimits())

    def test_a_text_over_the_limit_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x" * 101)
        with pytest.raises(KnowledgeError, match="its text is too long"):
            extract_file(tmp_path / "a", "a.txt", "text/plain", ReadingLimits(text_chars=100))

    def test_a_media_type_that_is_not_read_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"x")
        with pytest.raises(KnowledgeError, match="type"):
            extract_file(tmp_path / "a", "a.txt", "application/zip", ReadingLimits())


class TestTitle:
    @pytest.mark.parametrize(
        ("name", "data", "title"),
        [
            ("x.md", b"intro\n\n## Not this\n\n# The **`real`** [one](u) #\n", "The real one"),
            ("x.md", b"---\ntitle: 'From the front'\ntags: [a]\n---\n# Heading\n", "From the front"),
            ("x.html", b"<title>Page</title><h1>Top <b>line</b></h1>", "Top line"),
            ("x.html", b"<title> Page\n title </title><p>a", "Page title"),
            ("x.yaml", b"title: Codes\na: 1", "Codes"),
            ("x.json", b'{"name": "Codes"}', "Codes"),
            ("dir/close-codes_of.the.socket.txt", b"a", "Close codes of the socket"),
            ("x.md", b"Setext\n======\n", "Setext"),
        ],
    )
    def test_it_is_the_documents_own_else_the_files_name(self, name: str, data: bytes, title: str) -> None:
        assert extract(name, data).title == title


class TestMarkdown:
    def test_the_text_stays_as_it_was_written(self) -> None:
        source = "# A\n\nSome *text*.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\n# no heading\n```\n"
        document = extract("a.md", source.encode())
        assert document.text == source
        assert headings(document) == [(1, "A")]
        assert pieces(document) == [
            "# A",
            "Some *text*.",
            "- one",
            "- two",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "```\n# no heading\n```",
        ]

    def test_what_makes_no_token_is_in_a_block_all_the_same(self) -> None:
        document = extract("a.md", b"[ref]: http://example.org\n\ntext\n")
        assert pieces(document) == ["[ref]: http://example.org", "text"]

    def test_a_text_of_very_many_lines_keeps_its_headings_and_loses_nothing(self) -> None:
        body = "word\n" * 120_000
        source = f"# T\n\n{body}\n## One\n\n```\n# no heading\n```\n{body}\n## **Two** ##\n\nend"
        document = extract("a.md", source.encode())
        assert headings(document) == [(1, "T"), (2, "One"), (2, "Two ##")]
        assert document.text == source
        covered = "".join(document.text[block.start : block.end] for block in document.blocks)
        assert covered.split() == source.split()

    def test_a_heading_is_not_repeated_at_any_length(self) -> None:
        assert len(headings(extract("a.md", b"# " + b"[" * 100_000))[0][1]) == 300

    def test_front_matter_is_no_heading(self) -> None:
        assert headings(extract("a.md", b"---\nauthor: X\n---\n\n## Part\n")) == [(2, "Part")]


class TestHtml:
    def test_a_page_is_what_its_reader_sees(self) -> None:
        page = (
            b"<!doctype html><html><head><title>T</title><style>p{}</style></head><body><script>alert(1)</script>"
            b"<!-- hidden --><h1>Top</h1><p>First   <b>bold</b>\n text.</p><h2>Part</h2><ul><li>one</li><li><p>two</p>"
            b"</li></ul><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
            b"<pre>x = 1\n  y = 2</pre>line<br>next &amp; last</body></html>"
        )
        document = extract("a.html", page)
        assert document.text.split("\n") == [
            *("Top", "", "First bold text.", "", "Part", "", "- one", "- two", "a | b", "1 | 2"),
            *("x = 1", "  y = 2", "", "line", "next & last", "", ""),
        ]
        assert headings(document) == [(1, "Top"), (2, "Part")]

    def test_an_encoding_that_it_claims_means_nothing(self) -> None:
        source = "<?xml version='1.0' encoding='latin-1'?><html><meta charset='latin-1'><p>größe</p></html>"
        assert "größe" in extract("a.html", source.encode()).text

    def test_an_unfinished_item_and_text_before_and_after_elements_are_kept(self) -> None:
        assert extract("a.html", b"one<ul><li></li><li> </li></ul>two <i> </i> three").text == "one\n\ntwo three\n\n"

    def test_a_nul_reference_is_no_nul(self) -> None:
        assert "\0" not in extract("a.html", b"<p>a&#0;b</p>").text


class TestStructured:
    def test_yaml_becomes_lines_that_can_be_read_alone(self) -> None:
        source = b"""
servers:
  - name: web
    port: 8000
  - name: db
    tags: [a, b]
version: 1.10
yes: no
"""
        assert extract("a.yaml", source).text == (
            "servers > name: web\nservers > port: 8000\n\nservers > name: db\nservers > tags: a, b\n\n"
            "version: 1.10\nyes: no\n\n"
        )

    def test_json_becomes_the_same_lines(self) -> None:
        source = b'{"a": {"b": [1.10, true, null, "x"], "b": "twice"}, "list": [{"k": 1}, [2, 3]], "empty": {}}'
        assert extract("a.json", source).text == (
            "a > b: 1.10, true, null, x\na > b: twice\n\nlist > k: 1\n\nlist: 2, 3\n\n"
        )

    def test_a_long_list_has_a_line_for_each_item(self) -> None:
        items = [f"item number {n}" for n in range(30)]
        assert extract("a.json", json.dumps({"all": items}).encode()).text.startswith(
            "all: item number 0\nall: item number 1\n"
        )

    def test_yaml_documents_aliases_and_merges_are_followed(self) -> None:
        source = b"base: &b {port: 1}\nweb: {<<: *b, host: x}\n---\nsecond\n"
        assert extract("a.yaml", source).text == "base > port: 1\n\nweb > port: 1\nweb > host: x\n\nsecond\n\n"

    def test_a_key_that_is_a_list_and_a_tag_do_no_harm(self) -> None:
        text = extract("a.yaml", b"? [a, b]\n: value\nx: !!python/object:os.system {a: 1}\n").text
        assert "value" in text
        assert "x > a: 1" in text

    @pytest.mark.parametrize("escape", ["\\ud800", "\\u0000"])
    def test_escapes_bring_in_nothing_that_cannot_be_stored(self, escape: str) -> None:
        assert extract("a.json", f'{{"a": "x{escape}y"}}'.encode()).text == "a: x\ufffdy\n\n"

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("a.json", b"{not json"),
            ("a.json", b"[" * 100_000),
            ("a.json", b"[" * 100 + b"]" * 100),
            ("a.json", b""),
            ("a.yaml", b"a: [1, 2"),
            ("a.yaml", b"[" * 100_000),
            ("a.yaml", b"- " * 20_000),
            ("a.yaml", b"a: *nothing"),
            ("a.yaml", b"&a [*a]"),
            ("a.yaml", b"a: \x01"),
            ("a.html", b"<div>" * 100_000),
        ],
    )
    def test_what_is_broken_or_hostile_is_refused_with_a_reason(self, name: str, data: bytes) -> None:
        reason = refused(name, data)
        assert 5 < len(reason) < 100

    @pytest.mark.parametrize("leaf", ["[lol,lol,lol]", "{}", "[]"])
    def test_a_billion_laughs_are_not_laughed(self, leaf: str) -> None:
        lines = [f"a0: &a0 {leaf}"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15)]
        assert "repeat" in refused("a.yaml", "\n".join(lines).encode())


def test_a_tree_of_very_many_nodes_stays_as_it_is_written() -> None:
    data = b"[" + b'{"a": 1},' * 1_100_000 + b'{"a": 1}]'
    assert extract("a.json", data).text == data.decode()


class TestCurated:
    ENTRIES = (
        {"id": "1", "question": "What is\n a run?", "answer": " A task.\nIt ends. "},
        {"question": "Second?", "answer": "Yes."},
    )

    def test_a_list_of_questions_and_answers_keeps_their_places(self) -> None:
        document = extract("faq.json", json.dumps(self.ENTRIES).encode())
        assert document.text == "What is a run?\nA task.\nIt ends.\n\nSecond?\nYes.\n\n"
        assert [block.kind for block in document.blocks] == ["qa", "qa"]
        answers = [document.text[block.answer_start : block.answer_end] for block in document.blocks]
        assert answers == ["A task.\nIt ends.", "Yes."]
        assert [block.question for block in document.blocks] == ["What is a run?", "Second?"]

    @pytest.mark.parametrize(
        "content",
        [
            [],
            [{"question": "a"}],
            [{"question": "a", "answer": 5}],
            [{"question": "a", "answer": " "}],
            [{"question": "a", "answer": None}],
            {"question": "a", "answer": "b"},
            ["a"],
        ],
    )
    def test_anything_else_is_ordinary_json(self, content: object) -> None:
        assert all(block.kind != "qa" for block in extract("a.json", json.dumps(content).encode()).blocks)


@given(st.text(max_size=400), st.sampled_from([".md", ".txt", ".html", ".yaml"]))
def test_blocks_are_in_order_apart_and_cover_all_text(source: str, ending: str) -> None:
    try:
        document = extract(f"a{ending}", source.encode("utf-8", "replace"))
    except KnowledgeError:
        return
    at = 0
    for block in document.blocks:
        assert at <= block.start < block.end <= len(document.text)
        assert not document.text[at : block.start].strip()
        at = block.end
    assert not document.text[at:].strip()
    assert document.title


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)


@given(JSON)
def test_any_json_is_read_and_every_word_of_it_is_there(content: object) -> None:
    document = extract("a.json", json.dumps(content).encode())
    document.text.encode()

    def leaves(node: object) -> list[str]:
        if isinstance(node, dict):
            return [leaf for value in node.values() for leaf in leaves(value)]
        if isinstance(node, list):
            return [leaf for value in node for leaf in leaves(value)]
        return node.split() if isinstance(node, str) else [json.dumps(node)]

    curated = any(block.kind == "qa" for block in document.blocks)
    for leaf in leaves(content):
        clean = leaf.replace("\0", "\ufffd").encode("utf-8", "replace")
        assert curated or b"?" in clean or clean.decode() in document.text
