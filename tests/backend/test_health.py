"""Readiness names what is missing, also when that is what the rest is read from."""

from types import SimpleNamespace
from typing import Any

from sqlalchemy.exc import OperationalError

from backend.health import readiness


def parts(database: str, redis: bool | None = None) -> Any:
    async def state() -> str:
        return database

    async def status() -> Any:
        if database != "ok":
            raise OperationalError(None, None, OSError("refused"))
        return SimpleNamespace(documents=2, chunks=5, failed=("broken.md",))

    return SimpleNamespace(
        database_state=state, library=SimpleNamespace(status=status), indexer=SimpleNamespace(loaded=True),
        runner=SimpleNamespace(draining=False), version="1",
        model=SimpleNamespace(name="extractive", model="extractive"),
        cache=SimpleNamespace(stats=lambda: SimpleNamespace(available=True)),
        sharing=None if redis is None else SimpleNamespace(link=SimpleNamespace(available=redis)),
    )  # fmt: skip


async def test_a_database_that_does_not_answer_is_named() -> None:
    found = await readiness(parts("unavailable"))
    assert not found.ready
    assert (found.body["status"], found.body["database"]) == ("not_ready", "unavailable")
    assert found.body["knowledge_base"] == {"status": "ok"}


async def test_what_is_known_is_counted() -> None:
    found = await readiness(parts("ok"))
    assert found.ready
    assert found.body["knowledge_base"] == {"status": "ok", "documents": 2, "chunks": 5, "failed": 1}


async def test_redis_is_told_of_and_not_needed() -> None:
    assert "redis" not in (await readiness(parts("ok"))).body
    for available, said in ((True, "ok"), (False, "away")):
        found = await readiness(parts("ok", available))
        assert (found.ready, found.body["redis"]) == (True, said)
