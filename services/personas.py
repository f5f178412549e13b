"""Personas: what an agent's settings come to in a run."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from infrastructure.database.models import SHARED
from infrastructure.database.repositories.scopes import FileOwner
from services.knowledge.scope import SHARED_SCOPE, Scope, partition_of

Answers = Literal["open", "knowledge_only"]


@dataclass(frozen=True, slots=True)
class AgentScope:
    """Where an agent looks: within `only`, ids of documents, which are in `partitions`.

    `all_shared`: that is the shared knowledge, all of it and nothing else.
    """

    partitions: tuple[str, ...]
    only: frozenset[str]
    all_shared: bool = False

    @property
    def scope(self) -> Scope:
        return SHARED_SCOPE if self.all_shared else Scope(self.partitions, only=self.only)


@dataclass(frozen=True, slots=True)
class Persona:
    """How a run answers. `id` None: no agent's, but the service's own manner.

    `prompt`: what the operator's instructions say. `model`: `provider/model`; None: as the request or the service
    chooses. `tools`: names of those that are offered; None: all. `scope` None: all that the one who asks may see.
    `knowledge_only`: where nothing is found, nothing is said.
    """

    id: str | None = None
    prompt: str = ""
    model: str | None = None
    tools: frozenset[str] | None = None
    scope: AgentScope | None = None
    answers: Answers = "open"


DEFAULT_PERSONA = Persona()


def agent_scope(files: Sequence[FileOwner], shared_documents: Collection[str] | None) -> AgentScope:
    """The scope of an agent that looks into these files, and into the shared documents unless these are None.

    One whose files are all gone finds nothing.
    """
    shared = shared_documents is not None
    own = tuple(dict.fromkeys(partition_of(file_id, owner) for file_id, owner in files))
    only = frozenset(file_id for file_id, _ in files).union(shared_documents or ())
    return AgentScope((SHARED, *own) if shared or not own else own, only, all_shared=shared and not own)
