"""Values at the edge: passwords that are nearly the same, what just fits, what no client may set, bad frames."""

import json
from typing import Any
from unicodedata import normalize
from uuid import uuid4

from tests.e2e.route_table import QUESTION

LONG_AGO = "2001-01-01T00:00:00Z"
NFC, NFD = normalize("NFC", "caf\u00e9 caf\u00e9"), normalize("NFD", "caf\u00e9 caf\u00e9")
PASSWORDS = {
    "72 bytes": ("a" * 72, ["a" * 73, "a" * 71]),
    "73 bytes": ("a" * 73, ["a" * 72, "a" * 72 + "b"]),
    "NFC": (NFC, [NFD]),
    "NFD": (NFD, [NFC]),
    "a ligature": ("o\ufb03ce o\ufb03ce", ["office office"]),
    "800 bytes": ("\U0001f600" * 200, ["\U0001f600" * 199, "\U0001f600" * 199 + "\U0001f601"]),
    "white space": (" pass word ", ["pass word", " pass word"]),
    "capitals": ("Pass Word", ["pass word"]),
}
NOT_FOR_CLIENTS = {
    "id": str(uuid4()), "chat_id": str(uuid4()), "is_admin": True, "is_active": False, "role": "system",
    "owner": "root", "message_count": 99, "last_position": 99, "created_at": LONG_AGO, "status": "incomplete",
    "updated_at": LONG_AGO, "model": "mine", "confidence": 0.123, "parent_id": str(uuid4()),
    "message_id": str(uuid4()), "run_id": str(uuid4()), "key": f"ask_{'k' * 40}", "prefix": "ask_kkkkkkkk",
    "superseded_at": LONG_AGO, "response": "mine", "answer": "mine", "last_used_at": LONG_AGO,
}  # fmt: skip
FITTING: dict[str, dict[str, Any]] = {
    "title of 255": {"title": "a" * 255},
    "title of 255 beyond the basic plane": {"title": "\U0001f600" * 255},
    "title of odd characters": {"title": "\u202eabc\u200d\ufeff\uffff\x01\x7f\u0301 %s {0} <b> ' \" \\ \r\n"},
    "title in NFD": {"title": NFD},
    "an empty title": {"title": ""},
    "metadata 32 deep": {"metadata": json.loads('{"a":' * 32 + "1" + "}" * 32)},
    "numbers": {"metadata": {"a": [0, -1, 2**53 + 1, 2**64 - 1, -(2**63), 0.1, 1e22, 1e300, 5e-324, 1.0]}},
    "names": {"metadata": {"": None, "__proto__": {}, "$ref": "x", "\U0001f600": True, "a" * 500: "\uffff", "id": "x"}},
    "16 KiB": {"metadata": {"a": "b" * (16 * 1024 - len('{"a":""}'))}},
    "content of 1": {"content": "a"},
    "content of 32000": {"content": "a" * 32_000},
    "content of 32000 beyond the basic plane": {"content": "\U0001f600" * 32_000},
    "content with white space around": {"content": " \n What? \u2003\t"},
}
TITLES = ("\u00c9lan", "\u00c9LAN", "e\u0301lan", "stra\u00dfe", "STRASSE", "100%", "a_b", "a\\b",
          "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u01c5 dz", "it's", '"x"', "*")  # fmt: skip
SPELT = ("urn:uuid:{%s}", "{{%s}}", "{bare_%s}", "{capitals_%s}", "{%s}\0", "{%s}0", "x", "", "\u0661" * 32, "a" * 5000)
FRAMES = [
    *({"type": kind, "run_id": spelt.replace("%s", "run_id")} for kind in ("attach", "cancel") for spelt in SPELT),
    *({"type": "question", "question": QUESTION, "session_id": spelt.replace("%s", "chat_id")} for spelt in SPELT),
    *({"type": "question", "question": text} for text in ("a\0b", "abc\ud83d", "\ude00a", "", " ", 1, None, [], {})),
    *({"type": "question", "question": QUESTION, "request_id": odd} for odd in ("\0", "\ud83d", "", "a" * 129, 1, [])),
    *({"type": "attach", "run_id": "{run_id}", "after": after} for after in (-1, 10**20, 1.5, "1", True, None, 2**60)),
    {"type": "\0"}, {"type": ["question"]}, {"type": None}, {}, {"type": "question", "data": "x"},
]  # fmt: skip
