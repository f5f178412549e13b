"""What a user name may be made of, and when two are the same."""

from unicodedata import category, normalize

MIN_CHARS = 3
MAX_CHARS = 50
# Letters and marks that show nothing, by Default_Ignorable_Code_Point in Unicode's DerivedCoreProperties: with them two
# names could look the same.
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180F, 0x3164, 0xFFA0}
_UNSEEN |= {*range(0x180B, 0x180E), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}


def clean_username(name: str) -> str:
    """`name` as it is kept: in Unicode's form NFKC.

    Raises:
        ValueError: it is too short or too long, or has other than letters (of any script, with their marks), decimal
            digits and `.`, `_`, `-`, or begins with a mark.
    """
    kept = normalize("NFKC", name)
    if not MIN_CHARS <= len(kept) <= MAX_CHARS:
        raise ValueError(f"must have {MIN_CHARS} to {MAX_CHARS} characters")
    if not all(_may_stand(character) for character in kept) or category(kept[0]).startswith("M"):
        raise ValueError("may have letters, digits, dots, underscores and hyphens only")
    return kept


def username_key(name: str) -> str:
    """The same for names that differ in case or in form only (NFKC around a case folding, Unicode 3.13, D146)."""
    return normalize("NFKC", normalize("NFKC", name).casefold())


def email_key(address: str) -> str:
    """The same for addresses that differ in case only."""
    return normalize("NFC", address).casefold()


def _may_stand(character: str) -> bool:
    if ord(character) in _UNSEEN:
        return False
    return character in "._-" or category(character) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}
