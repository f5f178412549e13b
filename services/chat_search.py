"""How a word may be spelt in chats: the ways of writing it that differ in case only."""

import string
import unicodedata

_ASCII_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def spellings(query: str) -> list[str]:
    """`query` without surrounding white space, in each case that people write; [] where nothing is asked for.

    A database folds the case of ASCII by itself, so one spelling does for that. For other scripts each case is its own
    text, and so are an accented letter and a letter with its accent behind it.
    """
    text = query.strip()
    cases = (text, text.lower(), text.upper(), text.title(), text.capitalize(), text.casefold())
    forms = (unicodedata.normalize(form, case) for case in cases for form in ("NFC", "NFD"))
    return list(dict.fromkeys(word.translate(_ASCII_FOLD) for word in (text, *forms) if word))
