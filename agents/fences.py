"""Where fenced code stands in a Markdown text that is still being written.

What is said to be code is code to every reader of CommonMark; where that is in doubt (fences inside quotes or deep
lists, HTML at the start of a line) nothing is said to be code any more, until the text's end.
"""

import re

_LINE_END = re.compile(r"\r\n|\n|\r")
_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})([^\n]*)")
_HIDDEN = re.compile(r"(?:[^A-Za-z`~]*|\[\^.*?)(?:`{3,}|~{3,})")  # behind what may be a quote's or a list's mark
_OTHER = re.compile(r"[^A-Za-z<$]*(?:<[A-Za-z/!?]|\$\$)")  # HTML and mathematics have rules of their own for lines


class Fences:
    """Follows the lines of one text. Every line is looked at once."""

    __slots__ = ("_at", "_doubt", "_indent", "_marks")

    def __init__(self) -> None:
        self._at = 0  # the lines before have been looked at
        self._doubt = False
        self._marks = ""  # of the open fence
        self._indent = 0

    @property
    def in_doubt(self) -> bool:
        """Whether lines have come that some read otherwise: in the midst of HTML even backticks mean nothing."""
        return self._doubt

    def inside(self, text: str) -> bool:
        """Whether what follows `text` stands in fenced code. `text` begins with what was given before."""
        for end in _LINE_END.finditer(text, self._at):
            if self._doubt:
                return False
            self._line(text[self._at : end.start()])
            self._at = end.end()
        return bool(self._marks) and not self._doubt and not self._leaves(text[self._at :])

    def _line(self, line: str) -> None:
        found = _FENCE.match(line)
        if not self._marks:
            if found is None:
                self._doubt = bool(_HIDDEN.match(line) or _OTHER.match(line))
            elif found[2][0] == "~" or "`" not in found[3]:
                self._indent, self._marks = len(found[1]), found[2]
                self._doubt = "|" in found[3]  # some take it for a table's head
        elif found and found[2].startswith(self._marks) and not found[3].strip(" \t"):
            self._doubt = bool(self._indent) and len(found[1]) != self._indent
            self._marks = ""
        elif line.strip(" \t") and self._leaves(line):
            self._doubt = True

    def _leaves(self, line: str) -> bool:
        """Whether a line stands before the fence: the list's item that held it may have ended."""
        return bool(self._indent) and not line.startswith(" " * self._indent)
