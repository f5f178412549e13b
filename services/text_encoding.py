"""Which bytes are text, and in which encoding: by what is in them, for no file says."""

import codecs
import re
from unicodedata import category

SAMPLE_BYTES = 64 * 1024
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Those of tabs, line and page ends, and of terminals' colours (escape) and overstriking (backspace) are part of texts.
_CONTROLS = bytes({*range(32), 127} - {8, 9, 10, 11, 12, 13, 27})
_CHARACTERS_PER_CONTROL = 500
# What charset-normalizer may choose from: the wider of those that are alike, none that every byte fits (EBCDIC, DOS).
_LEGACY = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "iso8859_2", "koi8_r",
    "cp932", "euc_jp", "gb18030", "big5hkscs", "cp949", "cp874",
]  # fmt: skip
_LONGEST_CHARACTER = 4  # bytes


def text_encoding(sample: bytes, *, is_cut: bool = False) -> str | None:
    """The encoding of a text by its first bytes (64 KiB will do), None for what is no text.

    UTF-8; UTF-16 if it begins with a byte order mark; else what charset-normalizer makes of an older one, none of which
    can be told for certain. A text has no NULs and hardly any control characters.

    Args:
        is_cut: `sample` is not the whole, so that it may end within a character.
    """
    if sample.startswith(_WIDE):
        return "utf-16" if _is_wide_text(sample, is_cut) else None
    return _narrow_encoding(sample, is_cut)


def _narrow_encoding(sample: bytes, is_cut: bool) -> str | None:
    if b"\0" in sample or _has_many_controls(sample):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, not is_cut)
    except UnicodeDecodeError:
        return "utf-8" if _is_damaged_utf8(sample.decode("utf-8", "replace")) else _legacy_encoding(sample, is_cut)
    return "utf-8-sig"


def decode_text(data: bytes) -> str:
    """The text of a whole file, as it is: line ends are not touched, a byte order mark is not part of it. What cannot
    be decoded becomes U+FFFD, so that one bad byte does not cost a long text.

    Raises:
        ValueError: it is no text.
    """
    if data.startswith(_WIDE):
        text = data.decode("utf-16", "replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text = data.decode("utf-8-sig", "replace")
            if not _is_damaged_utf8(text):
                text = data.decode(_encoding_near(data, error.start), "replace")
    if "\0" in text:
        raise ValueError("it holds NUL bytes")
    return text


def _encoding_near(data: bytes, place: int) -> str:
    """The encoding of a text that is not UTF-8 at `place`: what is before may be nothing but ASCII."""
    start = max(data.rfind(b"\n", 0, place) + 1, place - SAMPLE_BYTES)
    sample = data[start : start + 2 * SAMPLE_BYTES]
    encoding = _narrow_encoding(sample, start + len(sample) < len(data))
    if encoding is None:
        raise ValueError("it is in no known encoding")
    return encoding


def _has_many_controls(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    return controls > max(1, len(sample) // _CHARACTERS_PER_CONTROL)


def _is_wide_text(sample: bytes, is_cut: bool) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-16")().decode(sample, not is_cut)
    except UnicodeDecodeError:
        return False
    looked_at = text[:2000]
    strange = sum(category(character) in ("Cc", "Cn", "Co") and not character.isspace() for character in looked_at)
    return "\0" not in text and strange <= max(1, len(looked_at) // 50)


def _is_damaged_utf8(text: str) -> bool:
    """Whether it is UTF-8 but for a few places, which are U+FFFD: for one that is wrong, twenty that are right."""
    wrong = text.count("\ufffd")
    return wrong * 20 < len(re.sub(r"[\x00-\x7f\ufffd]+", "", text))


def _legacy_encoding(sample: bytes, is_cut: bool) -> str | None:
    from charset_normalizer import from_bytes

    lines = [line for line in sample.split(b"\n") if not line.isascii()]  # the others say nothing and cover it up
    odd = b"\n".join(lines[:-1] if is_cut and len(lines) > 1 else lines)
    for missing in range(_LONGEST_CHARACTER if is_cut else 1):
        found = from_bytes(odd[: len(odd) - missing], cp_isolation=_LEGACY).best()
        if found and found.encoding in _LEGACY:
            return found.encoding
    return None
