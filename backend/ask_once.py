"""One question at the terminal: the same way as over a socket, with the words printed as they come."""

import sys
from contextlib import aclosing
from typing import Any

import orjson

from agents.questions import clean_question
from agents.runner import Ask
from backend.container import open_container, service_version
from backend.settings import Settings
from infrastructure.errors import AskGraphError
from infrastructure.logging import configure_logging
from infrastructure.monitoring import Metrics
from middleware.rate_limit import CallerLimit


async def ask_once(settings: Settings, question: str) -> int:
    """Print the answer and its citations; the exit status is 0 for an answer, 1 for an error."""
    configure_logging("ERROR", "console")
    limit = CallerLimit(settings.rate_limit_requests_per_minute, settings.rate_limit_window_seconds)
    async with open_container(settings, Metrics(service_version()), limit, watching=False) as parts:
        try:
            text = clean_question(question, settings.question_max_chars)
            run = await parts.runner.start(Ask(text, caller="terminal"))
        except AskGraphError as error:
            print(f"askgraph: {error.message}", file=sys.stderr)
            return 1
        async with aclosing(parts.event_log.read(run.id)) as batches:
            async for batch in batches:
                for entry in batch.entries:
                    print(entry.text, end="", flush=True)
        return _say_end(orjson.loads(entry.data))


def _say_end(frame: dict[str, Any]) -> int:
    print()
    if frame["type"] != "complete":
        print(f"askgraph: {frame.get('message', 'stopped')}", file=sys.stderr)
        return 1
    for citation in frame["citations"]:
        place = f"{citation['document']}:{citation['start']}-{citation['end']}"
        print(f"  [{citation['id']}] {place}  {citation['quote'][:160]!r}")
    print(f"  confidence {frame['confidence']:.2f}, {frame['model']}")
    return 0
