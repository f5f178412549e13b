"""Fixtures that every room's tests may ask for."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.databases import (
    database,
    database_url,
    empty_database_url,
    postgres,
    postgres_database,
    postgres_url,
    sqlite_template,
)
from tests.valkey import link, redis_url, valkey

__all__ = [
    "database", "database_url", "empty_database_url", "link", "postgres",
    "postgres_database", "postgres_url", "redis_url", "sqlite_template", "valkey",
]  # fmt: skip

LONG = ("workers", "evaluation", "browser", "e2e")  # folders whose tests start whole programs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders of long files come first: begun last, one would keep a single process busy when all others have ended."""
    items.sort(key=lambda item: LONG.index(room) if (room := _room(item)) in LONG else len(LONG))


def _room(item: pytest.Item) -> str:
    """The folder below `tests` that it is in."""
    return item.nodeid.partition("tests/")[2].partition("/")[0]


@pytest.fixture(autouse=True)
def _loggers_are_as_they_were() -> Iterator[None]:
    """Whatever a test's own service made of logging, the next test can listen to all that is said, and nothing that
    a test bound to its lines stands in another's."""
    configure = structlog.configure

    def without_keeping(*args: Any, **options: Any) -> None:
        configure(*args, **{**options, "cache_logger_on_first_use": False})

    structlog.configure = without_keeping
    yield
    structlog.configure = configure
    structlog.reset_defaults()
    assert not structlog.contextvars.get_contextvars(), "the next test's lines would carry these"
