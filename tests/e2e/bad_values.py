"""Values that are just too much, or no value of their kind at all: ids, pages, sizes, names, addresses, tokens."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from tests.e2e.bad_requests import ANSWER, JSON, MESSAGE, Bad, of_json
from tests.e2e.route_table import AUTH, CHAT, CHATS, CONVERSATION, FILE, FILES, PASSWORD, QUESTION

LONG = 10**20
NO_UUIDS = {
    "NUL": "%00", "NUL behind": "{id}%00", "a surrogate": "%ED%A0%80", "half a character": "%F0%9F", "minus": "-1",
    "zero": "0", "a number": "1e3", "null": "null", "a path": "..%2f..%2fx", "long": "a" * 5000,
    "SQL": "'%20OR%201=1--",
    "one more": "{id}0", "one less": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a1", "space": "%20",
    "other digits": "%D9%A1" * 32, "full-width": "%EF%BC%91" * 32, "a format": "%25s%7B0%7D", "star": "*",
    "a newline": "{id}%0a", "a tab": "%09{id}",
}  # fmt: skip
OTHER_SPELLINGS = {"urn": "urn:uuid:{id}", "braces": "%7B{id}%7D", "bare": "{bare_id}", "capitals": "{capitals_id}"}


NAMED_ROUTES = (
    ("GET", CHAT), ("PATCH", CHAT), ("DELETE", CHAT), ("GET", f"{CHAT}/export"), ("GET", f"{CHAT}/messages"),
    ("POST", f"{CHAT}/messages"), ("GET", MESSAGE), ("PATCH", MESSAGE), ("POST", f"{MESSAGE}/regenerate"),
    ("POST", f"{ANSWER}/feedback"), ("GET", f"{CHAT}/events"), ("DELETE", f"{AUTH}/api-keys/{{key_id}}"),
    ("GET", CONVERSATION), ("PATCH", CONVERSATION), ("DELETE", CONVERSATION), ("GET", f"{CONVERSATION}/messages"),
    ("GET", "/runs/{run_id}/events"), ("POST", "/runs/{run_id}/cancel"),
    ("GET", FILE), ("DELETE", FILE), ("GET", f"{FILE}/text"), ("GET", f"{FILE}/content"),
    ("GET", f"{FILES}/status/{{file_id}}"),
)  # fmt: skip


def path_ids() -> Iterator[Bad]:
    """For each id in each path: what is no id, then the owner's own in other spellings."""
    for method, path in NAMED_ROUTES:
        for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            for what, junk in NO_UUIDS.items():
                target = path.replace(f"{{{name}}}", junk.replace("{id}", f"{{{name}}}"))
                yield Bad(f"{name}: {what}", method, target, statuses=(404, 422))
            if method == "DELETE":
                continue
            for what, spelt in OTHER_SPELLINGS.items():
                target = path.replace(f"{{{name}}}", spelt.replace("id}", f"{name}}}"))
                yield Bad(f"{name}: {what}", method, target, statuses=(200, 201, 202, 404, 422))


def queries() -> Iterator[Bad]:
    """What is no page, no answer to yes or no, no text to look for."""
    junk = (
        "-1",
        "0",
        str(LONG),
        "9" * 5000,
        "x",
        "",
        "1.5",
        "1e3",
        "NaN",
        "%00",
        "0x10",
        "null",
        "1;2",
        "--1",
        "%EF%BC%91x",
    )
    pages = ("page", "page_size")
    for path, names in ((CHATS, pages), ("/api/v1/conversations", ("page", "per_page")), (FILES, pages)):
        for name in names:
            for value in junk:
                yield Bad("", "GET", f"{path}?{name}={value}")
            yield Bad("", "GET", f"{path}?{name}=1&{name}=x")
            yield Bad("", "GET", f"{path}?{name}={1_000_001 if name == 'page' else 101}")
    for value in ("", "x", "2", "%00", "null"):
        yield Bad("", "GET", f"{CHATS}?archived={value}")
        yield Bad("", "GET", f"{CHAT}/messages?superseded={value}")
        yield Bad("", "GET", f"{CHAT}/export?format={value}")
    for value in ("%00", "a%00b", "a" * 201, quote("é" * 201)):
        yield Bad("", "GET", f"{CHATS}?q={value[:1300]}")
    for value in ("-1", "x", str(LONG), "1.5", "%00", ""):
        yield Bad("", "GET", f"/runs/{{run_id}}/events?after={value}")
    for value in ("x", "{run_id}", "{run_id}:-1", "{run_id}:" + "9" * 400, "x:1", "{run_id}:1:1", "{run_id}:\u00b2"):
        yield Bad(f"Last-Event-ID {value[:20]}", "GET", "/runs/{run_id}/events", headers={"Last-Event-ID": value})


def sizes() -> Iterator[Bad]:
    """One more than there may be, or one less."""
    astral = "\U0001f600"
    for method, path, name, body in (
        ("POST", CHATS, "title", {}), ("PATCH", CHAT, "title", {}), ("PATCH", CONVERSATION, "title", {}),
    ):  # fmt: skip
        for letter in ("a", "é", astral):
            yield of_json(f"256 {letter!r}", method, path, {**body, name: letter * 256})
    for method, path in (("POST", f"{CHAT}/messages"), ("PATCH", MESSAGE)):
        for content in ("", " ", "\n\t\u2003", "a" * 32_001, astral * 32_001):
            yield of_json(f"{len(content)} {content[:1]!r}", method, path, {"content": content})
    yield of_json("feedback of 4001", "POST", f"{ANSWER}/feedback", {"is_positive": True, "feedback_text": "a" * 4001})
    yield of_json("feedback on a question", "POST", f"{MESSAGE}/feedback", {"is_positive": True})
    yield of_json("an answer edited", "PATCH", ANSWER, {"content": QUESTION})


def older_fields() -> Iterator[Bad]:
    """What the two older clients cannot mean."""
    for path in ("/api/v1/chat", "/api/v1/chat/stream"):
        for body in ({"prompt": ""}, {"prompt": "a" * 32_001}, {"message": ""}, {"message": "a" * 10_001},
                     {"message": "a", "prompt": "a"}, {}, {"message": " "}):  # fmt: skip
            yield of_json(str(body)[:20], "POST", path, body)
        for name, values in {
            "temperature": (-0.1, 2.1, "NaN", "Infinity", "-Infinity", 1e308), "max_tokens": (0, 8193, LONG, -1, 1.5),
            "file_ids": ([""] * 101, ["a" * 65], [None]), "model_source": ("x", ""), "rag_mode": ("x",),
            "model_name": ("a" * 201,), "conversation_id": ("x", "", 7),
        }.items():  # fmt: skip
            for value in values:
                yield of_json(f"{name} {str(value)[:12]}", "POST", path, {"message": "Hello?", name: value})


def kept_objects() -> Iterator[Bad]:
    """Metadata that cannot be kept, and what else a chat cannot be told."""
    deep: Any = {}
    for _ in range(33):
        deep = {"a": deep}
    very_deep = b'{"metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    for method, path in (("POST", CHATS), ("PATCH", CHAT)):
        for name, value in (("deep", deep), ("large", {"a": "b" * 16_384}), ("endless", {"a": 10**400})):
            yield of_json(f"metadata {name}", method, path, {"metadata": value})
        yield Bad("metadata very deep", method, path, very_deep, JSON)
        yield Bad("metadata of a huge exponent", method, path, b'{"metadata":{"a":1e999}}', JSON)
    yield of_json("no such agent", "POST", CHATS, {"agent_id": "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"}, (404,))
    yield of_json("agent_id", "POST", CHATS, {"agent_id": "x"})
    yield of_json("is_archived null", "PATCH", CHAT, {"is_archived": None})


def accounts() -> Iterator[Bad]:
    good = {"username": "{name}", "email": "{name}@example.com", "password": PASSWORD}
    for name, values in {
        "username": ("ab", "a" * 51, "a b", "a\u200bb", "a\u202eb", "\u0301abc", "\ufdfa" * 4, "a/b", "a@b",
                     "\u3164" * 4),
        "password": ("a" * 7, "a" * 201, "\U0001f600" * 7, 12345678),
        "email": ("x", "@", "a@b", "a@@example.com", "a b@example.com", "a@example.com\n",
                  f"a@{'b' * 250}.com", "a@[127.0.0.1]", "a@localhost", "<a@example.com>", "Ada <a@example.com>",
                  "a@example..com", "\u200ba@example.com", "a@exam\u00adple.com\u0007", "a" * 5000),
        "fullname": ("a" * 201, "\U0001f600" * 201),
    }.items():  # fmt: skip
        for value in values:
            yield of_json(f"{name} {str(value)[:16]!r}", "POST", f"{AUTH}/register", {**good, name: value})
    for name in good:
        yield of_json(f"no {name}", "POST", f"{AUTH}/register", {key: good[key] for key in good if key != name})
    for name in ("username", "username in capitals", "email", "email in capitals"):
        of, _, capitals = name.partition(" ")
        taken = good[of].replace("{name}", "{USER}" if capitals else "{user}")
        yield of_json(f"taken {name}", "POST", f"{AUTH}/register", {**good, of: taken}, (409,))
    yield of_json("a key's name of 101", "POST", f"{AUTH}/api-keys", {"name": "a" * 101})
    yield of_json("a key's name of 0", "POST", f"{AUTH}/api-keys", {"name": ""})
    for token in ("x", "a" * 4096, "é", "ask_" + "a" * 40, "{access_token}", "..", "\U0001f600"):
        yield of_json(f"refresh {token[:14]!r}", "POST", f"{AUTH}/refresh", {"refresh_token": token}, (401,))
    yield of_json("refresh of 4097", "POST", f"{AUTH}/refresh", {"refresh_token": "a" * 4097})
    for key in ("", "a b", "x" * 129, "a\tb", "<x>"):
        yield of_json(f"Idempotency-Key {key[:5]!r}", "POST", "/v2/ask", {"question": QUESTION},
                      **{"Idempotency-Key": key})  # fmt: skip
