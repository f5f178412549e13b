"""What is kept of a file's name, and how it is said in a header."""

import re
from unicodedata import category, is_normalized
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.file_names import clean_name, content_disposition

# Any characters at all, lone surrogates too, and often those that matter.
NAMES = st.text(
    st.characters() | st.characters(categories=["Cs"]) | st.sampled_from('./\\ \0\r\n\u202e\u200b"%;é\u0301')
)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("report.pdf", "report.pdf"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\windows\\win.ini", "win.ini"),
        ("C:\\fakepath\\Ünïcode.txt", "Ünïcode.txt"),
        ("../../../../x", "x"),
        ("a/b\\c.md", "c.md"),
        ("folder/", "file"),
        (None, "file"),
        ("", "file"),
        (".", "file"),
        ("..", "file"),
        (" . . ", "file"),
        ("\0\r\n\t", "file"),
        (".pdf", "file.pdf"),
        ("..  .pdf ..", "file.pdf"),
        ("  spaced name.txt  ", "spaced name.txt"),
        ("\u3000wide.txt\u00a0", "wide.txt"),
        (".. hidden.tar.gz", "hidden.tar.gz"),
        ("a. b", "a. b"),
        (". b c", "b c"),
        ("two\r\nlines.txt", "twolines.txt"),
        ("nul\0.txt", "nul.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066a\u2069\u200b\ufeff\u00adb.txt", "ab.txt"),
        ("\u3164\u115f.txt", "file.txt"),
        ("cafe\u0301.txt", "caf\u00e9.txt"),
        ("lone\ud800.txt", "lone.txt"),
        ("line\u2028end.txt", "lineend.txt"),
        ("文件.docx", "文件.docx"),
        ("❤\ufe0f.txt", "❤\ufe0f.txt"),
        ("a" * 300 + ".pdf", "a" * 196 + ".pdf"),
        ("é" * 300 + ".pdf", "é" * 125 + ".pdf"),
        ("😀" * 300 + ".md", "😀" * 63 + ".md"),
        ("a" * 199 + ". " + "b" * 60, "a" * 199),
        ("x." + "b" * 300, "x." + "b" * 198),
    ],
)
def test_a_name_is_kept_as(name: str | None, kept: str) -> None:
    assert clean_name(name) == kept


@given(NAMES)
def test_a_kept_name_is_fit_to_be_shown(name: str) -> None:
    kept = clean_name(name)
    assert 1 <= len(kept) <= 200
    assert len(kept.encode()) <= 255
    assert is_normalized("NFC", kept)
    assert not set(kept) & set("/\\\0\r\n")
    assert not {category(character) for character in kept} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert kept.strip() == kept
    assert kept.strip(".") == kept


@given(NAMES)
def test_cleaning_what_is_clean_changes_nothing(name: str) -> None:
    assert clean_name(clean_name(name)) == clean_name(name)


@given(NAMES, st.text(st.sampled_from("abc 文é."), min_size=150))
def test_long_names_are_kept_within_bounds_and_stay_as_they_are(name: str, more: str) -> None:
    kept = clean_name(name + more)
    assert len(kept) <= 200
    assert len(kept.encode()) <= 255
    assert clean_name(kept) == kept


@given(st.text(min_size=1), st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True))
def test_the_ending_outlives_whatever_is_cut(stem: str, ending: str) -> None:
    assert clean_name(f"{stem * 200}.{ending}").endswith(f".{ending}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report.pdf", "attachment; filename=\"report.pdf\"; filename*=UTF-8''report.pdf"),
        ("a b.txt", "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"),
        ("Übersicht.pdf", "attachment; filename=\"Ubersicht.pdf\"; filename*=UTF-8''%C3%9Cbersicht.pdf"),
        ("文件.docx", "attachment; filename=\"file.docx\"; filename*=UTF-8''%E6%96%87%E4%BB%B6.docx"),
        ('a"b%20;c.txt', "attachment; filename=\"a_b_20_c.txt\"; filename*=UTF-8''a%22b%2520%3Bc.txt"),
        ("x\r\nSet-Cookie: a=b", "attachment; filename=\"xSet-Cookie: a=b\"; filename*=UTF-8''xSet-Cookie%3A%20a%3Db"),
        ("a\uff0fb.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%EF%BC%8Fb.txt"),
    ],
)
def test_a_name_is_said_in_a_header_as(name: str, value: str) -> None:
    assert content_disposition(name) == value


@given(NAMES)
def test_a_header_has_one_line_of_ascii_from_which_the_name_comes_back(name: str) -> None:
    value = content_disposition(name)
    found = re.fullmatch(r"attachment; filename=\"([^\"\\%/;\x00-\x1f\x7f]+)\"; filename\*=UTF-8''(\S+)", value)
    assert found
    assert value.isascii()
    assert unquote(found[2]) == clean_name(name)
    assert re.fullmatch(r"(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+", found[2])
