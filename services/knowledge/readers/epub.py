"""E-books: the chapters in the order of the spine, each through the reader of HTML."""

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import Reading, TextBuilder, as_sections
from services.knowledge.markup import html_into
from services.knowledge.readers.archive import Archive
from services.knowledge.readers.damage import telling_damage
from services.knowledge.readers.limits import DAMAGED, ENCRYPTED, NO_TEXT, ReadingLimits

if TYPE_CHECKING:
    from lxml.etree import _Element

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_CHAPTERS = {"application/xhtml+xml", "text/html", "text/x-oeb1-document"}


def read_epub(data: bytes, limits: ReadingLimits) -> Reading:
    """
    Raises:
        KnowledgeError: encrypted, damaged, without text, or more than `limits` allow.
    """
    archive = Archive(data, limits)
    out = TextBuilder(most=limits.text_chars)
    with telling_damage():
        package_name = _package_name(archive)
        package = _parsed(archive, package_name)
        encrypted = _encrypted(archive)
        for name in _chapters(package, posixpath.dirname(package_name)):
            if name in encrypted:
                raise KnowledgeError(ENCRYPTED)
            if name in archive:
                html_into(out, _decoded(archive.read(name)))
        named = next((" ".join((node.text or "").split()) for node in _below(package, "title")), None)
    reading = out.reading()
    if not reading.text.strip():
        raise KnowledgeError(NO_TEXT)
    blocks = as_sections(reading.blocks)
    return reading._replace(blocks=blocks, title=named or None)


def _package_name(archive: Archive) -> str:
    root = next(_below(_parsed(archive, _CONTAINER), "rootfile"), None)
    name = None if root is None else root.get("full-path")
    if not name:
        raise KnowledgeError(DAMAGED)
    return posixpath.normpath(name)


def _chapters(package: "_Element", folder: str) -> Iterator[str]:
    """The names of the spine's members, each once."""
    items = {item.get("id"): item for item in _below(package, "item")}
    seen: set[str] = set()
    for reference in _below(package, "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _CHAPTERS:
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote((item.get("href") or "").split("#")[0])))
        if name not in seen:
            seen.add(name)
            yield name


def _encrypted(archive: Archive) -> set[str]:
    """The names of encrypted members: fonts alone often are, chapters where a seller's lock is on the book."""
    if _ENCRYPTION not in archive:
        return set()
    references = _below(_parsed(archive, _ENCRYPTION), "CipherReference")
    return {posixpath.normpath(unquote(reference.get("URI") or "")) for reference in references}


def _parsed(archive: Archive, name: str) -> "_Element":
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False)
    return etree.fromstring(archive.read_xml(name), parser)


def _below(root: "_Element", name: str) -> "Iterator[_Element]":
    """The elements of a local name, in whatever namespace: old books have others."""
    return root.iter(f"{{*}}{name}")


def _decoded(data: bytes) -> str:
    """A chapter's text: XML is UTF-8, or UTF-16 with a byte order mark, or says what it is."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    named = re.match(rb"""<\?xml[^>]{0,100}encoding=["']([A-Za-z0-9._-]{1,40})["']""", data)
    encoding = named.group(1).decode() if named else "utf-8"
    return data.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, "replace")
