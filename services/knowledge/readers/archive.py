"""Documents that are ZIP archives (docx, pptx, xlsx, epub), opened with care.

What an archive says of its sizes is a claim. So each member that is needed is unpacked in pieces and counted, once, and
libraries get a copy that holds nothing else: no images, no archives in the archive, no XML with a DTD (which is what
entities, local files in them and addresses to fetch from are declared in).
"""

import io
import xml.parsers.expat as expat
import zipfile
from collections.abc import Callable

from infrastructure.errors import KnowledgeError
from services.knowledge.readers.damage import telling_damage
from services.knowledge.readers.limits import DAMAGED, ENCRYPTED, UNPACKS_TO_TOO_MUCH, ReadingLimits

CONTENT_TYPES = "[Content_Types].xml"
HAS_DTD = "its XML declares a DTD, which such a file does not need"
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # office files before 2007, and around encrypted ones
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_PIECE = 256 * 1024
_IS_ENCRYPTED = 0x1


class Archive:
    """The members of an archive, each unpacked when it is asked for. All that is unpacked counts together.

    Raises:
        KnowledgeError: not an archive, an encrypted one, or one of too many members.
    """

    def __init__(self, data: bytes, limits: ReadingLimits) -> None:
        if data.startswith(_OLE):
            old = _ENCRYPTED_PACKAGE not in data
            raise KnowledgeError("it is of an older format that is not read" if old else ENCRYPTED)
        with telling_damage():
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        self._members = {info.filename: info for info in self._zip.infolist()}
        if len(self._zip.infolist()) > limits.members:
            raise KnowledgeError(f"it holds more than {limits.members} files")
        self._limits = limits
        self._packed = len(data)
        self._unpacked = 0

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            KnowledgeError: there is none, it is encrypted or damaged, or too much has been unpacked.
        """
        info = self._members.get(name)
        if info is None:
            raise KnowledgeError(DAMAGED)
        if info.flag_bits & _IS_ENCRYPTED:
            raise KnowledgeError(ENCRYPTED)
        pieces = []
        with telling_damage(), self._zip.open(info) as member:
            while piece := member.read(_PIECE):
                self._count(len(piece))
                pieces.append(piece)
        return b"".join(pieces)

    def _count(self, length: int) -> None:
        self._unpacked += length
        blown_up = self._unpacked > max(self._limits.ratio_from, self._limits.ratio * self._packed)
        if blown_up or self._unpacked > self._limits.unpacked_bytes:
            raise KnowledgeError(UNPACKS_TO_TOO_MUCH)

    def read_xml(self, name: str) -> bytes:
        """The bytes of a member that is XML.

        Raises:
            KnowledgeError: as `read`, or there is a DTD in it.
        """
        data = self.read(name)
        refuse_dtd(data)
        return data

    def copy(self, is_needed: Callable[[str], bool], types: Callable[[bytes], bytes] = lambda data: data) -> io.BytesIO:
        """An archive of the XML members that are needed; every other member is there, but empty. `types` may change
        what the archive says of its members' types.
        """
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as slim:
            for name in self._members:
                data = self.read_xml(name) if is_needed(name) else b""
                slim.writestr(name, types(data) if name == CONTENT_TYPES else data)
        out.seek(0)
        return out


def is_xml_part(name: str) -> bool:
    """Whether a member of an office file is one that has text in it, or says where text is."""
    return name.endswith((".xml", ".rels"))


def refuse_dtd(data: bytes) -> None:
    """
    Raises:
        KnowledgeError: the XML has a document type declaration, or is broken before its first element.
    """
    parser = expat.ParserCreate()
    seen: list[str] = []

    def begin_element(*_: object) -> None:
        raise _Seen

    def begin_dtd(*_: object) -> None:
        seen.append("dtd")
        raise _Seen

    parser.StartElementHandler = begin_element
    parser.StartDoctypeDeclHandler = begin_dtd
    try:
        parser.Parse(data, True)
    except _Seen:
        if seen:
            raise KnowledgeError(HAS_DTD) from None
    except (expat.ExpatError, ValueError, LookupError):
        raise KnowledgeError(DAMAGED) from None


class _Seen(Exception):
    """Ends parsing."""
