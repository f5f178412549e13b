"""Traces as runs leave them."""

from typing import Any

from infrastructure.tracing.record import Kind, Span, Trace

SESSION = "00000000-0000-7000-8000-0000000000aa"
USER = "00000000-0000-7000-8000-0000000000bb"
START = 1_770_000_000_000_000_000


def span(kind: Kind, name: str, parent: int | None = 0, error: str | None = None, **facts: Any) -> Span:
    return Span(kind, name, parent, START, START + 2_000_000_000, error, facts)


def generation(**facts: Any) -> Span:
    known = {
        "provider": "openai", "model": "gpt-4o-mini", "reply_model": "gpt-4o-mini", "temperature": 0.5,
        "max_tokens": 100, "prompt_tokens": 1_000_000, "completion_tokens": 500_000, "finish_reason": "stop",
        "tool_calls": 0, "first_at": START + 500_000_000,
    }  # fmt: skip
    return span("generation", "gpt-4o-mini", 1, **(known | facts))


def trace(*spans: Span, number: int = 1) -> Trace:
    run = span("run", "ask", None, outcome="complete", prompt_tokens=7, completion_tokens=3, confidence=0.5)
    return Trace(number.to_bytes(16), "ask", SESSION, USER, [run, *spans])
