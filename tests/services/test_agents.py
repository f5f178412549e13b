"""Agents on both databases: whose they are, what they may name, and the personas that runs get of them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import SHARED, Agent, File, User, new_id
from infrastructure.database.repositories.agents import AgentRepository
from infrastructure.errors import Conflict, Forbidden, InvalidInput, NotFound, StorageUnavailable, Unauthorized
from services import agents as module
from services.agents import Agents
from services.chats import Chats
from services.knowledge.scope import SHARED_SCOPE
from services.knowledge.scopes import Scopes
from services.personas import DEFAULT_PERSONA, agent_scope
from services.principals import ANONYMOUS, Principal
from tests.services.chat_rows import START, Time, add_user

TOOLS = ["search_knowledge_base", "read_knowledge_file"]
SHARED_DOCUMENTS = ["shared-1", "shared-2"]
NEW: dict[str, Any] = {
    "name": "Desk", "description": None, "prompt": "Be brief.", "model": None, "tools": None, "knowledge_scope": None,
    "answers": "open", "starter_messages": [{"name": "Go", "message": "Where?"}], "is_visible": True,
}  # fmt: skip


class Desk:
    """Agents over a database, with tools, models and shared documents that can be changed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Time()
        self.seconds = 0.0
        self.tools = list(TOOLS)
        self.models = {"openai/small"}
        self.agents = Agents(
            database, Scopes(database), clock=self.clock, tools=lambda: self.tools,
            may_choose=lambda name: name in self.models, shared_documents=self.shared_documents,
            monotonic=lambda: self.seconds,
        )  # fmt: skip

    async def shared_documents(self) -> list[str]:
        return SHARED_DOCUMENTS

    async def user(self, name: str = "ada", *, admin: bool = False) -> Principal:
        return Principal(await add_user(self.database, name), is_admin=admin)

    async def file(self, who: Principal) -> str:
        file_id = new_id()
        row = File(
            id=file_id, owner_id=who.user_id, original_filename="a.txt", mime_type="text/plain", size_bytes=1,
            checksum=file_id, status="ready", chunks_processed=0, chunks_count=0, attempts=0, created_at=START,
            updated_at=START,
        )  # fmt: skip
        async with self.database.write() as session:
            session.add(row)
        return file_id


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


async def test_an_agent_is_as_it_was_made_and_its_makers_alone(desk: Desk) -> None:
    ada, bob = await desk.user(), await desk.user("bob")
    made = await desk.agents.create(ada, {**NEW, "tools": TOOLS[:1], "model": "openai/small"})
    assert made.owner_id == ada.user_id
    assert {name: getattr(made, name) for name in NEW} == {**NEW, "tools": TOOLS[:1], "model": "openai/small"}
    assert made.created_at == made.updated_at == START
    assert await desk.agents.get(made.id, ada) == made
    assert await desk.agents.listed(ada) == [made]
    root = Principal(bob.user_id, is_admin=True)
    for stranger in (bob, ANONYMOUS, root):
        assert await desk.agents.listed(stranger) == []
        for call in (
            desk.agents.get(made.id, stranger), desk.agents.change(made.id, stranger, {"name": "Mine"}),
            desk.agents.remove(made.id, stranger), desk.agents.require(made.id, stranger.user_id),
        ):  # fmt: skip
            with pytest.raises(NotFound, match=r"^No such agent\.$"):
                await call
    assert await desk.agents.get(made.id, ada) == made


async def test_shared_ones_are_everybodys_to_use_and_admins_to_change(desk: Desk) -> None:
    root, ada = await desk.user("root", admin=True), await desk.user()
    with pytest.raises(Forbidden):
        await desk.agents.create(ada, NEW, shared=True)
    made = await desk.agents.create(root, NEW, shared=True)
    assert made.owner_id is None
    for anybody in (ada, ANONYMOUS, root):
        assert await desk.agents.get(made.id, anybody) == made
        assert await desk.agents.listed(anybody) == [made]
    for call in (desk.agents.change(made.id, ada, {"name": "x"}), desk.agents.remove(made.id, ada)):
        with pytest.raises(Forbidden):
            await call
    for call in (desk.agents.change(made.id, ANONYMOUS, {"name": "x"}), desk.agents.remove(made.id, ANONYMOUS)):
        with pytest.raises(Unauthorized):
            await call
    changed = await desk.agents.change(made.id, root, {"is_visible": False})
    assert await desk.agents.listed(ada) == []
    assert await desk.agents.listed(root) == [changed]
    assert await desk.agents.get(made.id, ada) == changed
    await desk.agents.remove(made.id, root)
    assert await desk.agents.listed(root) == []


async def test_ones_own_are_listed_visible_or_not(desk: Desk) -> None:
    ada = await desk.user()
    made = await desk.agents.create(ada, {**NEW, "is_visible": False})
    assert await desk.agents.listed(ada) == [made]


async def test_nobody_and_who_is_gone_make_none(desk: Desk) -> None:
    for who in (ANONYMOUS, Principal(new_id())):
        with pytest.raises(Unauthorized):
            await desk.agents.create(who, NEW)


async def test_a_change_changes_what_it_names(desk: Desk) -> None:
    ada = await desk.user()
    made = await desk.agents.create(ada, NEW)
    desk.clock.pass_by(hours=1)
    changed = await desk.agents.change(made.id, ada, {"prompt": "Be long.", "tools": []})
    assert (changed.prompt, changed.tools, changed.name) == ("Be long.", [], "Desk")
    assert (changed.created_at, changed.updated_at) == (START, desk.clock.now)
    assert (await desk.agents.change(made.id, ada, {"tools": None})).tools == sorted(TOOLS)


async def test_one_without_a_list_of_tools_shows_all_that_there_are(desk: Desk) -> None:
    ada = await desk.user()
    made = await desk.agents.create(ada, NEW)
    desk.tools.append("another")
    assert (await desk.agents.get(made.id, ada)).tools == sorted([*TOOLS, "another"])
    assert (await desk.agents.persona(made.id, ada.user_id)).tools is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("tools", ["rm"]), ("model", "openai/large"), ("knowledge_scope", {"files": [], "shared": False})],
)
async def test_what_there_is_not_is_refused_by_the_fields_name(desk: Desk, field: str, value: Any) -> None:
    ada = await desk.user()
    made = await desk.agents.create(ada, NEW)
    for call in (desk.agents.create(ada, {**NEW, field: value}), desk.agents.change(made.id, ada, {field: value})):
        with pytest.raises(InvalidInput, match=rf"^{field}: ") as caught:
            await call
        assert "rm" not in caught.value.message
        assert "large" not in caught.value.message
    assert len(await desk.agents.listed(ada)) == 1


async def test_files_must_be_the_makers(desk: Desk) -> None:
    ada, bob = await desk.user(), await desk.user("bob")
    mine, theirs = await desk.file(ada), await desk.file(bob)
    made = await desk.agents.create(ada, {**NEW, "knowledge_scope": {"files": [mine], "shared": False}})
    for files in ([theirs], [mine, theirs], [new_id()]):
        scope = {"knowledge_scope": {"files": files, "shared": True}}
        for call in (desk.agents.create(ada, {**NEW, **scope}), desk.agents.change(made.id, ada, scope)):
            with pytest.raises(NotFound, match=r"^No such file\.$"):
                await call


async def test_another_admin_may_keep_the_files_of_a_shared_one(desk: Desk) -> None:
    root, other = await desk.user("root", admin=True), await desk.user("other", admin=True)
    file = await desk.file(root)
    made = await desk.agents.create(root, {**NEW, "knowledge_scope": {"files": [file], "shared": False}}, shared=True)
    changed = await desk.agents.change(made.id, other, {"knowledge_scope": {"files": [file], "shared": True}})
    assert changed.knowledge_scope == {"files": [file], "shared": True}
    with pytest.raises(NotFound, match=r"^No such file\.$"):
        await desk.agents.create(other, {**NEW, "knowledge_scope": {"files": [file], "shared": True}}, shared=True)


async def test_nobody_has_more_than_so_many(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AGENTS", 2)
    ada, bob = await desk.user(), await desk.user("bob", admin=True)
    for _ in range(2):
        await desk.agents.create(ada, NEW)
    with pytest.raises(Conflict):
        await desk.agents.create(ada, NEW)
    await desk.agents.create(bob, NEW)
    await desk.agents.create(bob, NEW, shared=True)


async def test_a_persona_has_what_the_agent_says(desk: Desk) -> None:
    ada = await desk.user()
    file = await desk.file(ada)
    values = {
        **NEW, "tools": TOOLS[:1], "model": "openai/small", "answers": "knowledge_only",
        "knowledge_scope": {"files": [file], "shared": False},
    }  # fmt: skip
    made = await desk.agents.create(ada, values)
    persona = await desk.agents.persona(made.id, ada.user_id)
    assert (persona.id, persona.prompt, persona.model) == (made.id, "Be brief.", "openai/small")
    assert (persona.tools, persona.answers) == (frozenset(TOOLS[:1]), "knowledge_only")
    assert persona.scope == agent_scope([(file, ada.user_id)], None)


async def test_a_chat_without_an_agent_asks_no_database(tmp_path: Any) -> None:
    (tmp_path / "no.db").mkdir()
    away = Desk(Database(open_engine(f"sqlite:///{tmp_path}/no.db")))
    assert await away.agents.persona(None, None) is DEFAULT_PERSONA
    with pytest.raises(StorageUnavailable):
        await away.agents.persona(new_id(), None)
    await away.database.close()


async def test_an_agent_that_is_gone_or_anothers_gives_the_default(desk: Desk) -> None:
    ada, bob = await desk.user(), await desk.user("bob")
    made = await desk.agents.create(ada, NEW)
    assert await desk.agents.persona(made.id, bob.user_id) is DEFAULT_PERSONA
    assert await desk.agents.persona(made.id, None) is DEFAULT_PERSONA
    assert (await desk.agents.persona(made.id, ada.user_id)).id == made.id
    await desk.agents.remove(made.id, ada)
    assert await desk.agents.persona(made.id, ada.user_id) is DEFAULT_PERSONA
    assert await desk.agents.persona(new_id(), ada.user_id) is DEFAULT_PERSONA


async def test_a_persona_is_read_again_after_a_moment_and_at_once_where_it_was_changed(desk: Desk) -> None:
    ada = await desk.user()
    made = await desk.agents.create(ada, NEW)
    first = await desk.agents.persona(made.id, ada.user_id)
    async with desk.database.write() as session:  # as another process would
        await session.execute(update(Agent).values(prompt="Other."))
    assert await desk.agents.persona(made.id, ada.user_id) is first
    desk.seconds = module.PERSONA_SECONDS
    assert (await desk.agents.persona(made.id, ada.user_id)).prompt == "Other."
    await desk.agents.change(made.id, ada, {"prompt": "Mine."})
    assert (await desk.agents.persona(made.id, ada.user_id)).prompt == "Mine."


async def test_the_personas_held_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PERSONAS", 2)
    ids = [new_id() for _ in range(4)]
    for agent_id in ids:
        await desk.agents.persona(agent_id, None)
    assert list(desk.agents._personas) == ids[-2:]


async def test_scopes_come_to_what_can_be_looked_into(desk: Desk) -> None:
    ada = await desk.user()
    file = await desk.file(ada)
    for scope, partitions, only, all_shared in (
        ({"files": [], "shared": True}, (SHARED,), {*SHARED_DOCUMENTS}, True),
        ({"files": [file], "shared": True}, (SHARED, ada.user_id), {*SHARED_DOCUMENTS, file}, False),
        ({"files": [file], "shared": False}, (ada.user_id,), {file}, False),
    ):
        made = await desk.agents.create(ada, {**NEW, "knowledge_scope": scope})
        found = (await desk.agents.persona(made.id, ada.user_id)).scope
        assert found is not None
        assert (found.partitions, found.only, found.all_shared) == (partitions, only, all_shared)
        assert (found.scope is SHARED_SCOPE) is all_shared
    async with desk.database.write() as session:
        await session.execute(delete(File))
    desk.seconds = module.PERSONA_SECONDS
    gone = (await desk.agents.persona(made.id, ada.user_id)).scope
    assert gone is not None
    assert (gone.scope.partitions, gone.scope.only) == ((SHARED,), frozenset())


def test_a_file_of_nobodys_is_in_a_partition_of_its_own() -> None:
    found = agent_scope([("f1", None), ("f2", "ada"), ("f3", "ada")], None)
    assert (found.partitions, found.only) == (("f1", "ada"), {"f1", "f2", "f3"})


async def test_with_its_maker_goes_an_agent_and_a_shared_one_stays(desk: Desk) -> None:
    root = await desk.user("root", admin=True)
    mine, shared = await desk.agents.create(root, NEW), await desk.agents.create(root, NEW, shared=True)
    async with desk.database.write() as session:
        await session.execute(delete(User))
    assert [row.id for row in await desk.agents.listed(ANONYMOUS)] == [shared.id]
    assert await desk.agents.persona(mine.id, root.user_id) is DEFAULT_PERSONA


async def test_the_table_has_no_other_answers(desk: Desk) -> None:
    row = {**NEW, "id": new_id(), "owner_id": None, "created_at": START, "updated_at": START, "answers": "maybe"}
    with pytest.raises(IntegrityError):
        async with desk.database.write() as session:
            await AgentRepository(session).add(row)


async def test_a_chat_gets_an_agent_that_its_owner_may_use_and_no_other(desk: Desk) -> None:
    ada, bob, root = await desk.user(), await desk.user("bob"), await desk.user("root", admin=True)
    mine, shared = await desk.agents.create(ada, NEW), await desk.agents.create(root, NEW, shared=True)
    chats = Chats(desk.database, clock=desk.clock, publish=lambda *what: None)
    for owner, agent_id in ((ada, mine.id), (ada, shared.id), (ANONYMOUS, shared.id)):
        chat = await chats.create(owner.user_id, agent_id=agent_id)
        assert (await chats.get(chat.id, owner.user_id)).agent_id == agent_id
    make: Callable[..., Any] = chats.create
    for owner, agent_id in ((bob, mine.id), (ANONYMOUS, mine.id), (ada, new_id())):
        with pytest.raises(NotFound, match=r"^No such agent\.$"):
            await make(owner.user_id, agent_id=agent_id)
    assert (await chats.page(bob.user_id, 1, 10)).total == 0
