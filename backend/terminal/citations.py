"""Where an answer comes from: its citations in lines, and the passage of one of them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from backend.terminal.failures import Refused
from backend.terminal.fields import Fields, number_of, text_of, whole_of
from backend.terminal.printable import one_line
from backend.terminal.service import Service

_AROUND = 500  # characters of the document on each side of a quote
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422


@dataclass(frozen=True, slots=True)
class Passage:
    """A quote in its place. `before` and `after` are empty where the document is not to be had any more."""

    before: str
    quote: str
    after: str


def citation_line(citation: Fields) -> str:
    """`[1] handbook.pdf · Liquidation · page 3`"""
    section, page = text_of(citation, "section"), whole_of(citation, "page")
    parts = [one_line(text_of(citation, "document")) or "a document"]
    parts += [one_line(section)] if section else []
    parts += [f"page {page}"] if page else []
    return f"[{whole_of(citation, 'id')}] {' · '.join(parts)}"


def standing(frame: Fields) -> str:
    """`confidence 0.93 · grounded · extractive`, of an answer's last frame or of a message that was kept."""
    confidence, model = number_of(frame, "confidence"), text_of(frame, "model")
    parts = [] if confidence is None else [f"confidence {confidence:.2f}"]
    if (grounded := frame.get("grounded")) is not None:
        parts.append("grounded" if grounded is True else "not grounded")
    parts += [one_line(model, 80)] if model else []
    parts += ["said before"] if frame.get("cached") is True else []
    return " · ".join(parts)


async def passage_of(service: Service, citation: dict[str, Any]) -> Passage:
    """The text around a citation's quote, from the user's file or the shared document that it names."""
    cited, start, end = text_of(citation, "quote"), whole_of(citation, "start"), whole_of(citation, "end")
    text = await _document(service, citation)
    if not 0 <= start < end <= len(text) or text[start:end] != cited:
        return Passage("", cited, "")  # the document was changed since, or is gone
    return Passage(_from_word(text[max(0, start - _AROUND) : start]), cited, _to_word(text[end : end + _AROUND]))


async def _document(service: Service, citation: Fields) -> str:
    document_id, name = text_of(citation, "document_id"), text_of(citation, "document")
    paths = [f"/files/{quote(document_id, safe='')}/text"] if document_id else []
    for path in [*paths, f"/knowledge/files/{quote(name)}"]:
        try:
            return text_of(await service.json("GET", path), "text")
        except Refused as error:
            if error.status not in (_NOT_FOUND, _CONFLICT, _INVALID):
                raise
    return ""


def _from_word(text: str) -> str:
    if len(text) < _AROUND:
        return text
    return f"… {text.partition(' ')[2]}"


def _to_word(text: str) -> str:
    if len(text) < _AROUND:
        return text
    return f"{text.rpartition(' ')[0]} …"
