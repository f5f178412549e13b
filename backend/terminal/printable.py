"""What a terminal may be shown: text without anything that it would take as a command.

Answers, titles, file names and error messages come from elsewhere. An escape sequence in one of them could move the
cursor, set the clipboard or the window's title, or hide what is said; a bidirectional override could turn it around.
"""

import re

# C0 but for tab and line feed, DEL, C1, Arabic letter mark, zero-width space, the marks and overrides of direction,
# line and paragraph separators, invisible operators, the byte order mark, interlinear marks, surrogates, tags
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACE = re.compile(r"\s+")
_PICTURES = 0x2400  # the block that has a picture of each control character: ␀ ␁ ␂ …
_DELETE = "\x7f"


def printable(text: str) -> str:
    """`text` with each such character as a picture of it, or as U+FFFD where there is none. Lines and tabs stay."""
    return _UNSAFE.sub(_shown, text.replace("\r\n", "\n"))


def one_line(text: str, most: int = 200) -> str:
    """The same in one line of at most `most` characters: for names and titles."""
    line = printable(_SPACE.sub(" ", text).strip())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _shown(match: re.Match[str]) -> str:
    one = match[0]
    if one == _DELETE:
        return "\u2421"
    return chr(_PICTURES + ord(one)) if one < " " else "\ufffd"
