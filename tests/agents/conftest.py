"""Where the agents' tests keep their conversations: SQLite files, copied from one that the migrations made."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.agents import fakes


@pytest_asyncio.fixture(autouse=True)
async def _store(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(fakes, "TEMPLATE", sqlite_template)
    monkeypatch.setattr(fakes, "FOLDER", tmp_path)
    yield
    while fakes.OPENED:
        await fakes.OPENED.pop().close()
