"""The embedding models that are known, and which of them is the default. See `services.reembedding` for the change."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.embedding_models import EmbeddingModelRepository, EmbeddingModelRow
from infrastructure.errors import Conflict, InvalidInput, NotFound, ProviderError, ProviderRejected, ProviderUnavailable
from services.embedding_choice import Opener, model_values
from services.embedding_specs import ModelSpec, model_spec
from services.embeddings import Embeddings
from services.reembedding import Reembedding, Standing

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

NO_MODEL = "No such embedding model."
OPEN_SECONDS = 60.0  # that a request waits for a model to tell its dimensions; one may be downloaded first
LOOK_SECONDS = 2.0  # to see what another process has made the default


@dataclass(frozen=True, slots=True)
class EmbeddingModelView:
    """A model and how it stands with it."""

    row: EmbeddingModelRow
    standing: Standing


class EmbeddingModels:
    """What admins do with embedding models. A change of the default is prepared in the background."""

    def __init__(
        self, database: Database, reembedding: Reembedding, opener: Opener, *, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._reembedding = reembedding
        self._opener = opener
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def all(self) -> list[EmbeddingModelView]:
        async with self._database.read() as session:
            rows = await EmbeddingModelRepository(session).all()
        return [self._view(row) for row in rows]

    async def add(
        self, provider: str, name: str, description: str | None = None, is_default: bool = False
    ) -> EmbeddingModelView:
        """Make a model known, once it has answered.

        Raises:
            InvalidInput: there is no such provider or model, or it cannot be used here.
            Conflict: it is known already.
            ProviderUnavailable: it cannot be asked just now.
        """
        spec = model_spec(provider, name)
        async with self._one_at_a_time:
            async with self._database.read() as session:
                known = await EmbeddingModelRepository(session).all()
            if any(row.name == spec.name for row in known):
                raise Conflict("There is an embedding model of that name already.")
            embeddings = await self._open(spec)
            model_id, now = new_id(), self._clock()
            values = model_values(model_id, spec, description, embeddings.dimensions, now)
            try:
                async with self._database.write() as session:
                    repository = EmbeddingModelRepository(session)
                    await repository.add(values)
                    if is_default:
                        await repository.make_default(model_id, now)
            except IntegrityError as fault:
                await embeddings.aclose()
                raise Conflict("There is an embedding model of that name already.") from fault
            await self._begin(embeddings, is_default)
            return await self._get(model_id)

    async def change(self, model_id: str, changes: dict[str, Any]) -> EmbeddingModelView:
        """Change the `description`, or make it the default (`is_default` True): also once more, if that has failed.

        Raises:
            NotFound: no such model.
            Conflict: the default cannot be the default no more, but by making another one so.
            InvalidInput, ProviderUnavailable: as `add`; nothing has changed.
        """
        async with self._one_at_a_time:
            model, now = await self._get(model_id), self._clock()
            if model.row.is_default and changes.get("is_default") is False:
                raise Conflict("Make another embedding model the default instead.")
            embeddings = None
            if changes.get("is_default") and not (model.row.is_default and model.standing.state != "failed"):
                embeddings = await self._open(_spec(model.row))
            async with self._database.write() as session:
                repository = EmbeddingModelRepository(session)
                if "description" in changes:
                    await repository.change(model_id, {"description": changes["description"], "updated_at": now})
                if embeddings is not None:
                    await repository.make_default(model_id, now)
                    await repository.change(model_id, {"dimensions": embeddings.dimensions})
            if embeddings is not None:
                await self._begin(embeddings, True)
            return await self._get(model_id)

    async def remove(self, model_id: str) -> None:
        """
        Raises:
            NotFound: no such model.
            Conflict: it is the default, or serves until the default is ready.
        """
        async with self._one_at_a_time:
            model = await self._get(model_id)
            if model.row.is_default:
                raise Conflict("The default embedding model cannot be deleted.")
            if model.standing.state == "serving":
                raise Conflict("This embedding model serves until the default one is ready.")
            async with self._database.write() as session:
                await EmbeddingModelRepository(session).remove(model_id)

    async def follow(self) -> None:
        """Want what another process has made the default, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (SQLAlchemyError, ProviderError, InvalidInput) as error:
                _logger.warning("embedding_models_not_followed", error=type(error).__name__)

    async def look(self) -> None:
        """Want what the table has as its default.

        Raises:
            SQLAlchemyError: the database is away.
            InvalidInput, ProviderUnavailable: as `add`.
        """
        async with self._one_at_a_time:
            default = next((view.row for view in await self.all() if view.row.is_default), None)
            if default is not None and _spec(default).kept != self._reembedding.wanted.model:
                self._reembedding.want(await self._open(_spec(default)))

    async def _open(self, spec: ModelSpec) -> Embeddings:
        """The model, which has answered."""
        try:
            embeddings = await asyncio.to_thread(self._opener, spec)
        except ProviderRejected as fault:
            raise InvalidInput(fault.message) from fault
        try:
            async with asyncio.timeout(OPEN_SECONDS) as scope:
                await embeddings.open()
        except ProviderRejected as fault:
            await embeddings.aclose()
            raise InvalidInput(fault.message) from fault
        except (ProviderError, TimeoutError) as fault:
            await embeddings.aclose()
            if isinstance(fault, TimeoutError) and not scope.expired():
                raise
            raise ProviderUnavailable("The embedding model cannot be asked just now.") from fault
        return embeddings

    async def _begin(self, embeddings: Embeddings, is_default: bool) -> None:
        if is_default:
            self._reembedding.want(embeddings)
        else:
            await embeddings.aclose()

    async def _get(self, model_id: str) -> EmbeddingModelView:
        async with self._database.read() as session:
            row = await EmbeddingModelRepository(session).get(model_id)
        if row is None:
            raise NotFound(NO_MODEL)
        return self._view(row)

    def _view(self, row: EmbeddingModelRow) -> EmbeddingModelView:
        kept = _spec(row).kept
        row = replace(row, dimensions=row.dimensions or self._reembedding.dimensions(kept))
        return EmbeddingModelView(row, self._reembedding.standing(kept))


def _spec(row: EmbeddingModelRow) -> ModelSpec:
    return ModelSpec(row.provider, row.name)
