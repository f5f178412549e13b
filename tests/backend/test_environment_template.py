"""The lists of settings for people say what the code says."""

import os
import re
from pathlib import Path

import pytest
from pydantic import AliasChoices

from backend.settings import Settings

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "environment_template.txt"
GUIDE = ROOT / "docs" / "environment.md"


@pytest.fixture
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)


def spellings() -> dict[str, list[str]]:
    """Each field's variable, followed by its older names."""
    found = {}
    for field, about in Settings.model_fields.items():
        alias = about.validation_alias
        found[field] = [str(name) for name in alias.choices] if isinstance(alias, AliasChoices) else [field.upper()]
    return found


def variables() -> set[str]:
    return {first for first, *_ in spellings().values()}


def older_names() -> dict[str, str]:
    """Older names with the variable that each stands for."""
    return {name: first for first, *others in spellings().values() for name in others}


def template() -> dict[str, str]:
    return dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", TEMPLATE.read_text("utf-8"), re.MULTILINE))


def guide() -> dict[str, str]:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`(.*?)` )?\|", GUIDE.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def test_the_template_lists_every_variable_and_no_other() -> None:
    assert set(template()) == variables()


def test_the_template_lists_the_older_names_with_what_they_stand_for() -> None:
    listed = re.findall(r"^# ([A-Z0-9_]+)= +([A-Z0-9_]+)$", TEMPLATE.read_text("utf-8"), re.MULTILINE)
    assert dict(listed) == older_names()


@pytest.mark.usefixtures("_no_environment")
def test_the_template_as_it_is_changes_no_default() -> None:
    assert Settings(_env_file=TEMPLATE) == Settings(_env_file=None)


def test_the_template_gives_a_value_wherever_there_is_a_default() -> None:
    given = {name for name, value in template().items() if value}
    fields = Settings.model_fields
    assert given == {first for field, (first, *_) in spellings().items() if fields[field].default not in (None, ())}


def test_the_guide_lists_the_same_with_the_same_defaults() -> None:
    rows, older = guide(), older_names()
    assert {name: value for name, value in rows.items() if name not in older} == template()
    assert {name: value for name, value in rows.items() if name in older} == older
