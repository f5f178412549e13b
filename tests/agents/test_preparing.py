"""A question looks for its chat's files where the chat has some, or where nobody knows; on both databases."""

from itertools import count
from pathlib import Path

import pytest

from infrastructure.database.repositories.scopes import FileOwner, files_of_chat
from infrastructure.database.rows import Rows
from services.knowledge import scopes as module
from services.knowledge.scope import SHARED_SCOPE
from tests.agents.fakes import SESSION, Endless, ScriptedModel, Service, found, passage, says
from tests.services.chat_rows import add_chat
from tests.services.file_parts import FileSetup
from tests.services.test_leases import Clock, steady

PARIS = found(passage())


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The chats whose files were read."""
    seen: list[str] = []

    async def noting(rows: Rows, chat_id: str) -> list[FileOwner]:
        seen.append(chat_id)
        return await files_of_chat(rows, chat_id)

    monkeypatch.setattr(module, "files_of_chat", noting)
    return seen


async def test_questions_in_a_chat_without_files_look_for_none(database_url: str, looks: list[str]) -> None:
    it = Service(ScriptedModel(says("Paris.")), PARIS, url=database_url)
    for _ in range(3):
        assert (await it.ask()).end["type"] == "complete"
    assert it.scopes_asked == [SHARED_SCOPE] * 3
    assert looks == []


async def test_a_question_sees_the_files_that_its_chat_was_given_before(
    database_url: str, looks: list[str], tmp_path: Path
) -> None:
    it = Service(ScriptedModel(says("Paris.")), PARIS, url=database_url)
    await it.ask()
    file = await FileSetup(it.database, tmp_path).brings(chat=SESSION)
    await it.ask()
    assert [scope.first for scope in it.scopes_asked] == [frozenset(), frozenset({file.id})]
    assert looks == [SESSION]
    await it.ask()
    assert it.scopes_asked[2] == it.scopes_asked[1]
    assert looks == [SESSION] * (1 if it.database.is_sqlite else 2)  # one process alone remembers them


async def test_a_first_question_sees_the_files_of_a_chat_that_was_made_before(
    database_url: str, looks: list[str], tmp_path: Path
) -> None:
    it = Service(ScriptedModel(says("Paris.")), PARIS, url=database_url)
    chat = (await add_chat(it.database)).id
    file = await FileSetup(it.database, tmp_path).brings(chat=chat)
    await it.ask(session=chat)
    assert it.scopes_asked[0].first == {file.id}
    assert looks == [chat]


async def test_a_run_that_is_begun_anew_looks_for_files(database_url: str, looks: list[str], tmp_path: Path) -> None:
    stuck = Endless("Par", "don? ")
    before = Service(ScriptedModel(stuck), PARIS, url=database_url, worker="dead")
    run = await before.start()
    await stuck.streaming.wait()
    before.runner.lose(run.id)
    file = await FileSetup(before.database, tmp_path).brings(chat=SESSION)
    it = Service(ScriptedModel(says("Paris.")), PARIS, url=database_url, worker="new", ids=count(100))
    for left in await (await steady(it.database, "new", Clock())).take_lost():
        await it.runner.take_over.begin_anew(left)
    await it.log.terminal(run.id)
    assert before.scopes_asked == [SHARED_SCOPE]
    assert it.scopes_asked[0].first == {file.id}
    assert looks == [SESSION]
