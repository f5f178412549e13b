"""Names of files: what is kept of them, and how one is said in a header. A name is only data, it never is a path."""

import re
from unicodedata import category, normalize
from urllib.parse import quote

MAX_CHARS = 200
MAX_BYTES = 255  # in UTF-8: what most file systems take, of whoever downloads it
_NAMELESS = "file"
# Controls, what cannot be seen (zero width, marks of direction), lone surrogates, and what ends lines or paragraphs.
_DROPPED_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Letters and marks that show nothing, by Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties; not the
# variation selectors, which emoji have.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
_ENDING = re.compile(r"\S{1,20}")
_BLANKS = "." + "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
_ATTR_CHAR = "!#$&+-.^_`|~"  # what RFC 8187 leaves as it is, besides letters and digits


def clean_name(name: str | None) -> str:
    """The name of a file that somebody sent, fit to be kept and shown: what is behind the last slash or backslash, in
    Unicode's form NFC, without what cannot be seen and without spaces and dots at its ends; 200 characters and 255
    bytes of UTF-8 at most, from which its ending is kept. `file`, with the ending if there is one, when nothing is
    left. Cleaning what is clean changes nothing.
    """
    seen = "".join(character for character in name or "" if not _is_dropped(character))
    last = re.split(r"[/\\]", normalize("NFC", seen))[-1]
    stem, ending = _split(last.rstrip(_BLANKS))
    stem = stem.lstrip(_BLANKS) or _NAMELESS
    room = MAX_BYTES - len(ending.encode())
    cut = stem[: MAX_CHARS - len(ending)].encode()[:room].decode("utf-8", "ignore")
    return cut + ending if ending else cut.rstrip(_BLANKS)


def content_disposition(name: str) -> str:
    """The header's value that has a browser save a file under `name` (RFC 6266, with RFC 8187 for other than ASCII)."""
    clean = clean_name(name)
    plain = normalize("NFKD", clean).encode("ascii", "ignore").decode()
    plain = clean_name(re.sub(r'["\\/%;]', "_", plain))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe=_ATTR_CHAR)}"


def _is_dropped(character: str) -> bool:
    return category(character) in _DROPPED_CATEGORIES or ord(character) in _UNSEEN


def _split(name: str) -> tuple[str, str]:
    """A name's stem, and its ending with the dot: empty where what is behind the last dot is too long for one, or has
    spaces."""
    stem, dot, ending = name.rpartition(".")
    return (stem, dot + ending) if dot and _ENDING.fullmatch(ending) else (name, "")
