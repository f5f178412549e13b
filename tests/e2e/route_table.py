"""Every route of the service, and to whom it answers what."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

CHATS, AUTH = "/api/v1/chats", "/api/v1/auth"
FILES = "/api/v1/files"
OPERATIONS = (
    "/metrics", "/ws/stats", "/session/stats", "/rate-limit/status", "/health-status", "/system-metrics",
    "/performance-stats", "/agent-stats",
)  # fmt: skip
AGENTS = "/api/v1/agents"
STATS = "/api/v1/stats"
EMBEDDERS = "/api/v1/embedding_models"
MODELS = "/api/v1/models"
KNOWLEDGE = "/api/v1/knowledge"
FILE = f"{FILES}/{{file_id}}"
CHAT, CONVERSATION = f"{CHATS}/{{chat_id}}", "/api/v1/conversations/{conversation_id}"
QUESTION = "What is a liquidation threshold?"
PASSWORD = "correct horse battery staple"


class Rule(Enum):
    """Who is served."""

    OPEN = "everybody, signed in or not, whatever the settings"
    OPERATIONS = "as the operations pages' own rule says"
    CALLER = "whoever may come in; it shows and makes nothing but the caller's own"
    ACCOUNT = "users only"
    ADMIN = "admins only"
    THEIRS = "whose thing it names; for others there is no such thing"
    SESSION = "as THEIRS, but an id that never was starts a session under it"


@dataclass(frozen=True)
class Row:
    """A request. What stands in braces, in the path and in the body's texts, is a thing's id: `owners.User.ids`.

    `status` is what the owner is answered. `hidden`: not in /openapi.json. `upload`: the body is a form with a file.
    """

    method: str
    path: str
    rule: Rule
    body: Mapping[str, Any] | None = None
    status: int = 200
    query: str = ""
    form: bool = False
    hidden: bool = False
    upload: bool = False

    def __str__(self) -> str:
        named = "" if self.body is None else "+" + "+".join(self.body)
        return f"{self.method} {self.path}{self.query}{named if self.rule in NAMING else ''}"

    @property
    def route(self) -> tuple[str, str]:
        """As /openapi.json has it."""
        return self.method, self.path.replace("{answer_id}", "{message_id}")

    def target(self, ids: Mapping[str, str]) -> str:
        return filled(self.path + self.query, ids)


NAMING = (Rule.THEIRS, Rule.SESSION)


def filled(text: str, ids: Mapping[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def filled_in(value: Any, ids: Mapping[str, str]) -> Any:
    """A body with the ids in place of their names, however deep they stand."""
    if isinstance(value, str):
        return filled(value, ids)
    if isinstance(value, Mapping):
        return {name: filled_in(inner, ids) for name, inner in value.items()}
    return [filled_in(inner, ids) for inner in value] if isinstance(value, list) else value


_ACCOUNTS = (
    Row("POST", f"{AUTH}/register", Rule.OPEN,
        {"username": "{name}", "email": "{name}@example.com", "password": PASSWORD}, 201),
    Row("POST", f"{AUTH}/login", Rule.OPEN, {"username": "{user}", "password": PASSWORD}),
    Row("POST", f"{AUTH}/token", Rule.OPEN, {"username": "{user}", "password": PASSWORD}, form=True),
    Row("POST", f"{AUTH}/refresh", Rule.OPEN, {"refresh_token": "{refresh_token}"}),
    Row("POST", f"{AUTH}/logout", Rule.ACCOUNT, status=204),
    Row("GET", f"{AUTH}/me", Rule.ACCOUNT),
    Row("DELETE", f"{AUTH}/me", Rule.ACCOUNT, status=204),
    Row("POST", f"{AUTH}/change-password", Rule.ACCOUNT,
        {"old_password": PASSWORD, "new_password": f"another {PASSWORD}"}),
    Row("POST", f"{AUTH}/api-keys", Rule.ACCOUNT, {"name": "report"}, 201),
    Row("GET", f"{AUTH}/api-keys", Rule.ACCOUNT),
    Row("DELETE", f"{AUTH}/api-keys/{{key_id}}", Rule.THEIRS, status=204),
)  # fmt: skip
_CHATS = (
    Row("POST", CHATS, Rule.CALLER, {"title": "Lending"}, 201),
    Row("GET", CHATS, Rule.CALLER),
    Row("GET", CHAT, Rule.THEIRS),
    Row("PATCH", CHAT, Rule.THEIRS, {"title": "Mine"}),
    Row("DELETE", CHAT, Rule.THEIRS, status=204),
    Row("GET", f"{CHAT}/export", Rule.THEIRS),
    Row("GET", f"{CHAT}/export", Rule.THEIRS, query="?format=json"),
    Row("GET", f"{CHAT}/events", Rule.THEIRS),
    Row("GET", f"{CHAT}/messages", Rule.THEIRS),
    Row("GET", f"{CHAT}/messages", Rule.THEIRS, query="?superseded=true"),
    Row("POST", f"{CHAT}/messages", Rule.THEIRS, {"content": QUESTION}, 201),
    Row("GET", f"{CHAT}/messages/{{message_id}}", Rule.THEIRS),
    Row("PATCH", f"{CHAT}/messages/{{message_id}}", Rule.THEIRS, {"content": QUESTION}, 201),
    Row("POST", f"{CHAT}/messages/{{message_id}}/regenerate", Rule.THEIRS, status=201),
    Row("POST", f"{CHAT}/messages/{{answer_id}}/feedback", Rule.THEIRS, {"is_positive": True}, 201),
)  # fmt: skip
_AGENTS = (
    Row("GET", AGENTS, Rule.CALLER),
    Row("POST", AGENTS, Rule.ACCOUNT, {"name": "Desk"}, 201),
    Row("GET", f"{AGENTS}/{{agent_id}}", Rule.THEIRS),
    Row("PATCH", f"{AGENTS}/{{agent_id}}", Rule.THEIRS, {"prompt": "Mine"}),
    Row("DELETE", f"{AGENTS}/{{agent_id}}", Rule.THEIRS, status=204),
    Row("POST", CHATS, Rule.THEIRS, {"agent_id": "{agent_id}"}, 201),
    Row("GET", f"{STATS}/user", Rule.ACCOUNT),
    Row("GET", f"{STATS}/system", Rule.ADMIN),
)
_FILES = (
    Row("POST", f"{FILES}/upload", Rule.CALLER, {}, 202, upload=True),
    Row("POST", f"{FILES}/upload", Rule.THEIRS, {"chat_id": "{chat_id}"}, 202, upload=True),
    Row("GET", FILES, Rule.CALLER),
    Row("GET", f"{FILES}/quota", Rule.CALLER),
    Row("GET", f"{FILES}/failed", Rule.ADMIN),
    Row("GET", f"{FILES}/status/{{file_id}}", Rule.THEIRS),
    Row("GET", FILE, Rule.THEIRS),
    Row("GET", f"{FILE}/text", Rule.THEIRS),
    Row("GET", f"{FILE}/content", Rule.THEIRS),
    Row("POST", f"{FILE}/attach", Rule.THEIRS, {"chat_id": "{chat_id}"}),
    Row("POST", f"{FILE}/detach", Rule.THEIRS, {"chat_id": "{chat_id}"}),
    Row("POST", f"{FILE}/reprocess", Rule.THEIRS, status=202),
    Row("DELETE", FILE, Rule.THEIRS),
)
_KNOWLEDGE = (
    Row("GET", f"{KNOWLEDGE}/files", Rule.CALLER),
    Row("GET", f"{KNOWLEDGE}/files/{{name}}", Rule.CALLER, status=404),
    Row("POST", f"{KNOWLEDGE}/search", Rule.CALLER, {"query": QUESTION}),
    Row("POST", f"{KNOWLEDGE}/search", Rule.THEIRS, {"query": QUESTION, "scope": {"chat_id": "{chat_id}"}}),
    Row("POST", f"{KNOWLEDGE}/search", Rule.THEIRS, {"query": QUESTION, "scope": {"file_ids": ["{file_id}"]}}),
    Row("POST", f"{KNOWLEDGE}/reindex", Rule.ADMIN, status=202),
)
_EMBEDDERS = (
    Row("GET", EMBEDDERS, Rule.CALLER),
    Row("POST", EMBEDDERS, Rule.ADMIN, {"provider": "wordllama", "name": "wordllama"}, 409),  # it is there already
    Row("PATCH", f"{EMBEDDERS}/{{model_id}}", Rule.ADMIN, {"description": "Mine"}, 404),
    Row("DELETE", f"{EMBEDDERS}/{{model_id}}", Rule.ADMIN, status=404),
)
_MODELS = (
    Row("GET", f"{MODELS}/list", Rule.CALLER),
    Row("GET", f"{MODELS}/list", Rule.CALLER, query="?mode=openai"),
    Row("GET", f"{MODELS}/status", Rule.CALLER),
    Row("GET", f"{MODELS}/choices", Rule.CALLER),
    Row("POST", f"{MODELS}/pull", Rule.ADMIN, {"model": "llama3.2"}, 503),  # no Ollama is there
)
OPENAI_TURN = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION}]}
_OPENAI = (
    Row("GET", "/v1/models", Rule.CALLER),
    Row("GET", "/v1/models/{model}", Rule.CALLER, status=404),
    Row("POST", "/v1/chat/completions", Rule.CALLER, OPENAI_TURN),
    Row("POST", "/v1/chat/completions", Rule.CALLER, OPENAI_TURN | {"model": "askgraph", "stream": True}),
    Row("POST", "/v1/embeddings", Rule.CALLER, {"model": "wordllama-l2-supercat-256", "input": QUESTION}),
)
_ASK = tuple(
    row
    for path in ("/ask", "/v2/ask", "/ask-stream", "/v2/ask-stream")
    for row in (
        Row("POST", path, Rule.CALLER, {"question": QUESTION}),
        Row("POST", path, Rule.SESSION, {"question": QUESTION, "session_id": "{chat_id}"}),
    )
)
_OLDER_CHAT = tuple(
    row
    for path in ("/api/v1/chat", "/api/v1/chat/stream", "/api/v1/chat/", "/api/v1/chat/stream/")
    for row in (
        Row("POST", path, Rule.CALLER, {"prompt": QUESTION}, hidden=path.endswith("/")),
        Row("POST", path, Rule.SESSION, {"prompt": QUESTION, "session_id": "{chat_id}"}, hidden=path.endswith("/")),
        Row("POST", path, Rule.THEIRS, {"message": QUESTION, "conversation_id": "{chat_id}"},
            hidden=path.endswith("/")),
    )
)  # fmt: skip
_OLDER = (
    Row("GET", "/api/v1/sessions/", Rule.CALLER),
    Row("GET", "/api/v1/sessions", Rule.CALLER, hidden=True),
    Row("GET", "/api/v1/conversations", Rule.CALLER),
    Row("GET", "/api/v1/conversations/", Rule.CALLER, hidden=True),
    Row("GET", CONVERSATION, Rule.THEIRS),
    Row("PATCH", CONVERSATION, Rule.THEIRS, {"title": "Mine"}),
    Row("DELETE", CONVERSATION, Rule.THEIRS),
    Row("GET", f"{CONVERSATION}/messages", Rule.THEIRS),
)
_RUNS = (
    Row("GET", "/runs/{run_id}/events", Rule.THEIRS),
    Row("GET", "/runs/{run_id}/events", Rule.THEIRS, query="?after=1"),
    Row("POST", "/runs/{run_id}/cancel", Rule.THEIRS, status=202),
    Row("POST", "/runs/{run_id}/approve", Rule.THEIRS, {"call_id": "call_1", "approved": False}, 404),
)
_REST = (
    *(Row("GET", path, Rule.OPEN) for path in ("/health", "/health/live", "/health/ready")),
    *(Row("GET", path, Rule.OPEN, hidden=True) for path in ("/", "/docs", "/openapi.json", "/static/page.js")),
    *(Row("GET", path, Rule.OPERATIONS) for path in OPERATIONS),
    *(Row("GET", path, Rule.OPERATIONS, hidden=True) for path in ("/dashboard", "/dashboard/events")),
    Row("GET", "/ws/schema", Rule.CALLER),
    Row("POST", "/mcp", Rule.CALLER, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, hidden=True),
)
ROWS = (
    *_ACCOUNTS, *_CHATS, *_AGENTS, *_FILES, *_KNOWLEDGE, *_EMBEDDERS, *_MODELS, *_OPENAI, *_ASK, *_OLDER_CHAT, *_OLDER,
    *_RUNS, *_REST,
)  # fmt: skip
NAMING_ROWS = tuple(row for row in ROWS if row.rule in NAMING)
"""Those that name a thing of somebody's."""
