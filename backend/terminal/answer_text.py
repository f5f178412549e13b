"""The text of an answer as far as it is known, and what of it is still to be shown."""

from backend.terminal.fields import Fields, text_of


class AnswerText:
    """Frames in, new text out: joined it is the answer, each part once."""

    def __init__(self) -> None:
        self.text = ""

    def take(self, frame: Fields) -> str:
        """What a frame adds. A snapshot and the last frame have the whole text: what is not there yet of it is new."""
        if frame.get("type") == "word":
            new = text_of(frame, "content")
        else:
            whole = text_of(frame, "answer")
            new = whole[len(self.text) :] if whole.startswith(self.text) else ""
        self.text += new
        return new
