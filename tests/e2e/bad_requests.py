"""Requests that no honest client sends, as a table: each is sent to a service on SQLite and to one on PostgreSQL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.e2e.route_table import (
    AGENTS,
    AUTH,
    CHAT,
    CHATS,
    CONVERSATION,
    EMBEDDERS,
    FILE,
    KNOWLEDGE,
    MODELS,
    PASSWORD,
    QUESTION,
    filled,
)

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NUL, HIGH, LOW = "\0", "\ud83d", "\ude00"
NO_TEXT = {
    "NUL": f"a{NUL}b",
    "NUL alone": NUL * 3,
    "high": f"abc{HIGH}",
    "low": f"{LOW}abc",
    "swapped": f"a{LOW}{HIGH}b",
}
MESSAGE = f"{CHAT}/messages/{{message_id}}"
ANSWER = f"{CHAT}/messages/{{answer_id}}"
AGENT: Mapping[str, Any] = {
    "name": "Desk", "description": "Lends.", "prompt": "Be brief.", "model": "openai/scripted",
    "tools": ["search_knowledge_base"], "knowledge_scope": {"files": ["{file_id}"], "shared": True},
    "answers": "knowledge_only", "starter_messages": [{"name": "Go", "message": QUESTION}], "is_visible": True,
}  # fmt: skip

BODIES: Sequence[tuple[str, str, Mapping[str, Any], int]] = (
    ("POST", f"{AUTH}/register",
     {"username": "{name}", "email": "{name}@example.com", "password": PASSWORD, "fullname": "Ada"}, 201),
    ("POST", f"{AUTH}/login", {"username": "{user}", "password": PASSWORD}, 200),
    ("POST", f"{AUTH}/refresh", {"refresh_token": "{refresh_token}"}, 200),
    ("POST", f"{AUTH}/logout", {"refresh_token": "made up"}, 204),
    ("POST", f"{AUTH}/change-password", {"old_password": PASSWORD, "new_password": PASSWORD}, 200),
    ("POST", f"{AUTH}/api-keys", {"name": "report"}, 201),
    ("POST", CHATS, {"title": "Lending", "metadata": {"topic": "defi", "tags": ["a"]}, "agent_id": None}, 201),
    ("PATCH", CHAT, {"title": "Lending", "metadata": {"topic": "defi"}, "is_archived": False}, 200),
    ("POST", AGENTS, {**AGENT, "shared": False}, 201),
    ("PATCH", f"{AGENTS}/{{agent_id}}", AGENT, 200),
    ("POST", f"{CHAT}/messages", {"content": QUESTION}, 201),
    ("PATCH", MESSAGE, {"content": QUESTION}, 201),
    ("POST", f"{ANSWER}/feedback", {"is_positive": True, "feedback_text": "Good."}, 201),
    ("POST", "/ask", {"question": QUESTION, "session_id": None}, 200),
    ("POST", "/v2/ask", {"question": QUESTION, "session_id": "{chat_id}"}, 200),
    ("POST", "/ask-stream", {"question": QUESTION, "session_id": None}, 200),
    ("POST", "/v2/ask-stream", {"question": QUESTION, "session_id": "{chat_id}"}, 200),
    *((("POST", path, body, 200)) for path in ("/api/v1/chat", "/api/v1/chat/stream") for body in (
        {"prompt": QUESTION, "session_id": "{chat_id}", "model_name": "scripted", "options": {"seed": "x"}},
        {"message": QUESTION, "conversation_id": "{chat_id}", "model_source": "openai", "model_name": "scripted",
         "temperature": 0.5, "max_tokens": 64, "file_ids": ["{file_id}"], "rag_mode": "auto"},
    )),
    ("PATCH", CONVERSATION, {"title": "Lending", "is_archived": False}, 200),
    ("POST", "/runs/{run_id}/approve", {"call_id": "call_1", "approved": False}, 404),
    ("POST", f"{KNOWLEDGE}/search",
     {"query": QUESTION, "limit": 3, "scope": {"chat_id": "{chat_id}", "file_ids": []}}, 200),
    ("POST", f"{FILE}/attach", {"chat_id": "{chat_id}"}, 200),
    ("POST", f"{FILE}/detach", {"chat_id": "{chat_id}"}, 200),
    ("POST", "/v1/chat/completions",
     {"model": "scripted", "messages": [
         {"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
         {"role": "assistant", "content": None, "tool_calls": [
             {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
         {"role": "tool", "content": "7", "tool_call_id": "call_1"}],
      "stream": False, "stream_options": {"include_usage": True}, "temperature": 0.5, "top_p": 0.5, "max_tokens": 64,
      "max_completion_tokens": 64, "stop": ["END"], "n": 1, "logprobs": False, "tool_choice": "auto",
      "seed": 7, "presence_penalty": 0.5, "frequency_penalty": 0.5, "reasoning_effort": "low",
      "parallel_tool_calls": False,
      "tools": [{"type": "function", "function": {"name": "f", "description": "f", "parameters": {"type": "object"}}}],
      "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, 200),
    ("POST", "/v1/embeddings",
     {"model": "wordllama-l2-supercat-256", "input": [QUESTION], "encoding_format": "float", "dimensions": 256}, 200),
)  # fmt: skip
"""A good request with every field for each route that takes a JSON body, and how it is answered."""
ADMIN_BODIES: Sequence[tuple[str, str, Mapping[str, Any]]] = (
    ("POST", EMBEDDERS, {"provider": "openai", "name": "small", "description": "Small.", "is_default": False}),
    ("PATCH", f"{EMBEDDERS}/{{model_id}}", {"description": "Small.", "is_default": True}),
    ("POST", f"{MODELS}/pull", {"model": "llama3.2"}),
)
"""The same for what is for admins only. What an admin may send is tried in tests/backend."""


@dataclass(frozen=True)
class Bad:
    """A request and the statuses that it may get. Braces in path and content are ids, as in `route_table.Row`."""

    name: str
    method: str
    path: str
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = (422,)

    def __post_init__(self) -> None:
        if self.path.startswith("/v1/"):  # OpenAI has no 422
            object.__setattr__(self, "statuses", tuple(400 if status == 422 else status for status in self.statuses))

    def __str__(self) -> str:
        return f"{self.method} {self.path[:90]} {self.name}"

    def request(self, ids: Mapping[str, str]) -> tuple[str, bytes, dict[str, bytes]]:
        """The path, the body and the headers, for those things."""
        body = self.content
        for name, value in ids.items():
            body = body.replace(f"{{{name}}}".encode(), value.encode())
        headers = {name: filled(value, ids).encode("latin-1") for name, value in self.headers.items()}
        return filled(self.path, ids), body, headers


def of_json(name: str, method: str, path: str, body: Any, statuses: tuple[int, ...] = (422,), **headers: str) -> Bad:
    return Bad(name, method, path, json.dumps(body).encode(), JSON | headers, statuses)


def texts(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a body there is text: paths of names and indices."""
    if isinstance(value, str):
        yield place
    elif isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from texts(inner, (*place, name))


def put(body: Any, place: Sequence[Any], value: Any) -> Any:
    """A copy of the body with another value there."""
    copy = json.loads(json.dumps(body))
    inner = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return copy


def no_text() -> Iterator[Bad]:
    """NUL and lone surrogates in every text of every body, and as names of what is kept as it is sent."""
    for method, path, body, _ in BODIES:
        for place in texts(body):
            for name, junk in NO_TEXT.items():
                where = ".".join(map(str, place))
                yield of_json(f"{name} in {where}", method, path, put(body, place, junk))
        for kept in {"metadata", "options"} & set(body):
            for name, junk in NO_TEXT.items():
                yield of_json(f"{name} as a name in {kept}", method, path, {**body, kept: {"a": [{junk: 1}]}})
        yield of_json("a surrogate in what is ignored", method, path, {**body, "other": HIGH})


def wrong_kinds() -> Iterator[Bad]:
    """Each field of each body as something else than it should be, and each body as something else than an object."""
    for method, path, body, _ in BODIES:
        for name, right in body.items():
            for wrong in ([], {}, [[]], {"a": {}}, 10**400, -1e308, [1] * 1000):
                if type(wrong) is type(right) or (name in ("metadata", "options") and isinstance(wrong, dict)):
                    continue
                yield of_json(f"{name} as {str(wrong)[:12]}", method, path, {**body, name: wrong})
        for junk in (b"[]", b"1", b'"x"', b"true", b"{", b"\xff", b'{"a":NaN}', b"[" * 50_000, b"\xef\xbb\xbf{}"):
            yield Bad(f"body {junk[:8]!r}", method, path, junk, JSON)
        if not path.endswith("/logout"):
            yield Bad("body null", method, path, b"null", JSON)
            yield Bad("no body", method, path, b"", JSON)


def wrong_types() -> Iterator[Bad]:
    """A good body said to be something that it is not."""
    for method, path, body, _ in BODIES:
        if "refresh" in path:
            continue  # it would be used up where it is taken
        data = json.dumps(body).encode()
        for kind in ("text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded",
                     "multipart/form-data; boundary=x", "image/png", "\xff", "application/json-seq"):  # fmt: skip
            yield Bad(f"as {kind!r}", method, path, data, {"Content-Type": kind}, (400, 415, 422))
    good = b"username={user}&password=" + quote(PASSWORD).encode()
    for name, kind, data in (
        ("JSON", "application/json", json.dumps({"username": "x", "password": "y"}).encode()),
        ("text", "text/plain", good),
        ("multipart without boundary", "multipart/form-data", good),
        ("multipart that is none", "multipart/form-data; boundary=x", good),
        ("multipart without end", "multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data"),
        ("a file", "multipart/form-data; boundary=x",
         b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\na\r\n--x\r\n'
         b'Content-Disposition: form-data; name="password"\r\n\r\nb\r\n--x--\r\n'),
        ("NUL in the name", FORM["Content-Type"], b"username=a%00b&password=x"),
        ("NUL in the password", FORM["Content-Type"], b"username={user}&password=a%00b"),
        ("another grant", FORM["Content-Type"], good + b"&grant_type=refresh_token"),
        ("2000 fields", FORM["Content-Type"], good + b"&a=1" * 2000),
        ("no password", FORM["Content-Type"], b"username={user}"),
        ("nothing", FORM["Content-Type"], b""),
    ):  # fmt: skip
        yield Bad(f"form: {name}", "POST", f"{AUTH}/token", data, {"Content-Type": kind}, (400, 415, 422))
