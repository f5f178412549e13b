"""The beginning of a migration: numbered, named, and with what the models have new."""

import shutil
import sys
from pathlib import Path

import pytest

from infrastructure.database.migrate import MIGRATIONS, newest_revision
from infrastructure.database.models import Base
from infrastructure.database.revise import main, revise


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__")))


async def test_it_has_the_next_number_and_the_name_of_what_it_brings(migrations: Path) -> None:
    before = newest_revision()
    made = await revise("Colours of chats", migrations)
    number = f"{int(before) + 1:04}"
    assert made == migrations / "versions" / f"{number}_colours_of_chats.py"
    text = made.read_text("utf-8")
    assert f"revision = '{number}'" in text
    assert f"down_revision = '{before}'" in text


async def test_what_the_models_have_new_stands_in_it(migrations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {name: table for name, table in Base.metadata.tables.items() if name != "feedback"}
    monkeypatch.setattr(Base.metadata, "tables", tables)
    text = (await revise("less", migrations)).read_text("utf-8")
    assert "op.drop_table('feedback')" in text
    assert "op.create_table('feedback'" in text.split("def downgrade")[1]


@pytest.mark.parametrize("message", ["", " - "])
def test_a_migration_without_a_name_is_not_begun(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["revise", message])
    with pytest.raises(SystemExit, match="revise: say what the migration brings"):
        main()
