"""Which embedding model is wanted when the service starts, and which can serve at once."""

from collections.abc import Callable
from datetime import datetime

import structlog
from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.embedding_models import EmbeddingModelRepository, EmbeddingRepository
from infrastructure.errors import ProviderError
from services.embedding_specs import ModelSpec, spec_of_kept
from services.embeddings import Embeddings
from services.serving_model import WORDS_ONLY, words_only

_logger: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

Opener = Callable[[ModelSpec], Embeddings]
"""Makes a model without asking it anything. It may block for some 0.1 s.

Raises:
    ProviderRejected: a package that it needs is not installed.
"""


async def settle_default(
    database: Database, configured: ModelSpec, *, explicit: bool, clock: Callable[[], datetime]
) -> ModelSpec:
    """The default of the table: the configured model where it was set by hand or there is no default yet, else what an
    admin chose last."""
    try:
        return await _settle(database, configured, explicit, clock())
    except IntegrityError:  # another process was quicker to put it there
        return await _settle(database, configured, explicit, clock())


async def _settle(database: Database, configured: ModelSpec, explicit: bool, now: datetime) -> ModelSpec:
    async with database.write() as session:
        repository = EmbeddingModelRepository(session)
        rows = await repository.all()
        default = next((row for row in rows if row.is_default), None)
        if default is not None and not explicit:
            return ModelSpec(default.provider, default.name)
        model = next((row for row in rows if row.name == configured.name), None)
        if model is None:
            model_id = new_id()
            await repository.add(model_values(model_id, configured, None, None, now))
            await repository.make_default(model_id, now)
        elif not model.is_default or model.provider != configured.provider:
            await repository.change(model.id, {"provider": configured.provider})
            await repository.make_default(model.id, now)
    return configured


def model_values(
    model_id: str, spec: ModelSpec, description: str | None, dimensions: int | None, now: datetime
) -> dict[str, object]:
    """The columns of a model that is not the default."""
    return {
        "id": model_id, "name": spec.name, "description": description, "provider": spec.provider,
        "dimensions": dimensions, "is_default": False, "created_at": now, "updated_at": now,
    }  # fmt: skip


async def open_serving(database: Database, wanted: Embeddings, opener: Opener) -> Embeddings:
    """What can be searched with at once: `wanted` if it has embedded most of what there is, else the model that has, if
    it can be had, else words alone. It is never the reason that a service does not start.
    """
    async with database.read() as session:
        repository = EmbeddingRepository(session)
        embedded, chunks = await repository.embedded(), await repository.chunks()
    others = {kept: count for kept, count in embedded.items() if kept not in (wanted.model, WORDS_ONLY)}
    mine = embedded.get(wanted.model, 0)
    if mine >= max(others.values(), default=0) and 2 * mine >= chunks and await _opened(wanted):
        return wanted
    for kept in sorted(others, key=lambda name: -others[name]):
        found = await _open_kept(kept, opener)
        if found is not None:
            _logger.warning("embedding_model_changes", serving=found.model, wanted=wanted.model)
            return found
    _logger.warning("words_alone_are_searched", wanted=wanted.model, until="it is ready")
    return words_only()


async def _open_kept(kept: str, opener: Opener) -> Embeddings | None:
    spec = spec_of_kept(kept)
    try:
        embeddings = opener(spec) if spec else None
    except ProviderError:
        return None
    if embeddings is None or await _opened(embeddings):
        return embeddings
    await embeddings.aclose()
    return None


async def _opened(embeddings: Embeddings) -> bool:
    try:
        await embeddings.open()
    except ProviderError as error:
        _logger.warning("embedding_model_away", model=embeddings.model, reason=error.message)
        return False
    return True
