"""Files of all kinds, made as their own programs make them."""

import io
import random
import struct
import zipfile
from collections.abc import Callable

import docx
import fpdf
import msoffcrypto.format.ooxml
import PIL.Image


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def docx_bytes() -> bytes:
    document = docx.Document()
    document.add_paragraph("A line of text.")
    return saved(document.save)


def pdf_bytes() -> bytes:
    pdf = fpdf.FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica")
    pdf.cell(text="A line of text.")
    return bytes(pdf.output())


def image_bytes(kind: str) -> bytes:
    image = PIL.Image.frombytes("RGB", (32, 32), random.Random(1).randbytes(32 * 32 * 3))
    return saved(lambda out: image.save(out, kind))


def zip_bytes(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def with_content_types(data: bytes, old: str, new: str) -> bytes:
    """A document whose list of content types has `new` in the place of `old`, as its own program would write it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    types = files["[Content_Types].xml"]
    assert old.encode() in types
    return zip_bytes(files | {"[Content_Types].xml": types.replace(old.encode(), new.encode())})


def encrypted_docx() -> bytes:
    file = msoffcrypto.format.ooxml.OOXMLFile(io.BytesIO(docx_bytes()))
    return saved(lambda out: file.encrypt("secret", out))


def renamed_stream(name: str) -> bytes:
    """An OLE2 file that has a stream of this name."""
    old, new = "EncryptedPackage".encode("utf-16-le"), name.encode("utf-16-le")
    data = bytearray(encrypted_docx())
    at = data.index(old)
    data[at : at + 64] = new.ljust(64, b"\0")
    data[at + 64 : at + 66] = struct.pack("<H", len(new) + 2)
    return bytes(data)
