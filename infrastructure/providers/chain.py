"""Models in order: the next one answers when one fails before its first word."""

from collections.abc import Sequence

import structlog

from infrastructure.errors import ProviderError
from infrastructure.providers.guarded import GuardedModel
from infrastructure.providers.retry import Retries
from infrastructure.providers.types import Emit, ModelReply, ModelRequest

log = structlog.get_logger(__name__)


class FallbackModel:
    """Fits the port of a model, under the name of its first. All of them share the call's retries."""

    def __init__(self, first: GuardedModel, others: Sequence[GuardedModel], max_retries: int) -> None:
        self._first = first
        self._others = tuple(others)
        self._max_retries = max_retries

    @property
    def name(self) -> str:
        return self._first.name

    @property
    def model(self) -> str:
        return self._first.model

    @property
    def names(self) -> tuple[str, ...]:
        """`provider/model`, in order."""
        return tuple(f"{model.name}/{model.model}" for model in (self._first, *self._others))

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer `request`; see `agents.ports.Model`. `request.taken_over` is told of each one that follows.

        Raises:
            ProviderError: the first one's, when all have failed: it is the one that was asked for. At once, whatever
                one raises that had begun to speak.
        """
        retries = Retries(self._max_retries)
        try:
            return await self._first.ask(request, emit, retries)
        except ProviderError as error:
            if error.said or not request.may_fall_back:
                raise
            reply = await self._fall_back(request, emit, retries, error)
            if reply is None:
                raise
            return reply

    async def aclose(self) -> None:
        """Give back the connections of all."""
        for model in (self._first, *self._others):
            await model.aclose()

    async def _fall_back(
        self, request: ModelRequest, emit: Emit, retries: Retries, error: ProviderError
    ) -> ModelReply | None:
        """The reply of the first that gives one; None where none does."""
        failed = self._first
        for model in self._others:
            log.warning("model_fell_back", provider=failed.name, to=model.name, kind=error.kind)
            if request.taken_over is not None:
                request.taken_over(model.name, model.model)
            try:
                return await model.ask(request, emit, retries)
            except ProviderError as next_error:
                if next_error.said:
                    raise
                failed, error = model, next_error
        return None
