"""The signatures of files that are not read: the bytes that their formats say they begin with."""

# At the beginning, with bytes that no text begins with.
_BYTES = {
    "Images": (b"\x89PNG", b"\xff\xd8\xff", b"\0\0\1\0", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  "),
    "Audio and video": (
        b"\x1aE\xdf\xa3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1", b"\xff\xf9", b"\0\0\1\xba", b"\0\0\1\xb3",
        b"0&\xb2u",
    ),
    "Programs": (
        b"\x7fELF", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe", b"\0asm",
    ),
    "Archives": (
        b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x04\x22\x4d\x18",
        b"\x1f\x9d", b"\xed\xab\xee\xdb",
    ),
    "Databases": (b"SQLite format 3\0", b"\x89HDF\r\n\x1a\n"),
    "Fonts": (b"\0\1\0\0\0",),
}  # fmt: skip
# Text formats that are for printing, and make no sense to a reader of text.
_TEXTS = {"RTF files": (b"{\\rtf",), "PostScript files": (b"%!PS",)}
# Words that a text may have as well, with their places: looked at once it is known that there is no text.
_WORDS = {
    "Images": ((0, b"GIF8"), (0, b"BM"), (0, b"8BPS"), (0, b"AT&TFORM"), (8, b"WEBP"), (128, b"DICM")),
    "Audio and video": (
        (4, b"ftyp"), (0, b"ID3"), (0, b"OggS"), (0, b"fLaC"), (0, b"MThd"), (0, b"FLV"), (8, b"WAVE"), (8, b"AVI "),
        (8, b"AIFF"),
    ),
    "Programs": ((0, b"MZ"), (0, b"dex\n"), (0, b"!<arch>")),
    "Archives": ((0, b"BZh"), (0, b"MSCF"), (257, b"ustar")),
    "Databases": ((0, b"PAR1"), (0, b"ARROW1")),
    "Fonts": ((0, b"OTTO"), (0, b"wOFF"), (0, b"wOF2")),
}  # fmt: skip


def refused_at_sight(head: bytes) -> str | None:
    """What is not read, "Images" say, when a file's first bytes leave no doubt."""
    for table in (_BYTES, _TEXTS):
        for what, signatures in table.items():
            if head.startswith(signatures):
                return what
    return None


def guessed(head: bytes) -> str | None:
    """What a file that is no text seems to be."""
    for what, signatures in _WORDS.items():
        if any(head.startswith(signature, offset) for offset, signature in signatures):
            return what
    return None
