"""Rerankers behind HTTP: `/rerank` as Jina, Cohere, vLLM and llama.cpp have it, and as TEI has it."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, Final

from infrastructure.embedders.remote import BAD_SHAPE, Limits, Refused, Remote, without_surrogates
from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.endpoint import Token
from infrastructure.providers.retry import Backoff, Sleep
from infrastructure.rerankers.scores import are_logits, probability

IN_TIME: Final = Limits(connect=2.0, one_try=5.0, total=5.0, max_retries=1)  # somebody waits for the answer
MAX_TEXT = 8_000  # characters of each text; rerankers read 512 to 8,192 tokens
_NOT_UNDERSTOOD: Final = frozenset({400, 422})


class HttpReranker:
    """A `Reranker` named `http:<model>`. `base_url` + "/rerank" is asked, ".../v1" say.

    Some servers give probabilities and some logits, and do not say which. A score outside of [0, 1] tells: from then
    on all are taken for logits. `logits` says it from the beginning.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | Token | None,
        model: str,
        logits: bool = False,
        limits: Limits = IN_TIME,
        backoff: Backoff | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.name = f"http:{model}"
        self._model = model
        self._remote = Remote(base_url, "/rerank", api_key, "reranker", limits, backoff, sleep)
        self._logits = logits
        self._tei: bool | None = None  # whether the server speaks TEI's way; None: not known

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `services.knowledge.reranking.Reranker`."""
        if not texts:
            return []
        cut = [without_surrogates(text[:MAX_TEXT]) for text in texts]
        answer = await self._ask(without_surrogates(query[:MAX_TEXT]), cut)
        scores = _scores(answer, len(texts))
        self._logits = self._logits or are_logits(scores)
        return [probability(score) for score in scores] if self._logits else scores

    async def aclose(self) -> None:
        await self._remote.aclose()

    async def _ask(self, query: str, texts: list[str]) -> Any:
        tei = {"query": query, "texts": texts, "truncate": True}
        if self._tei:
            return await self._remote.ask(tei)
        body = {"model": self._model, "query": query, "documents": texts, "top_n": len(texts)}
        try:
            answer = await self._remote.ask(body)
            self._tei = False
        except Refused as fault:
            if self._tei is False or fault.status not in _NOT_UNDERSTOOD:
                raise
            answer = await self._remote.ask(tei)
            self._tei = True
        return answer


def _scores(answer: Any, count: int) -> list[float]:
    """The score of each text by its `index`.

    Raises:
        ProviderProtocolError: not every text has one score that is a finite number.
    """
    results = answer.get("results") if isinstance(answer, dict) else answer
    if not isinstance(results, list) or len(results) != count:
        raise ProviderProtocolError(BAD_SHAPE)
    scores: dict[int, float] = {}
    for result in results:
        index, score = _entry(result)
        if type(index) is not int or type(score) not in (int, float) or not math.isfinite(score):
            raise ProviderProtocolError(BAD_SHAPE)
        scores[index] = float(score)
    if scores.keys() != set(range(count)):
        raise ProviderProtocolError(BAD_SHAPE)
    return [scores[n] for n in range(count)]


def _entry(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, dict):
        return None, None
    return result.get("index"), result.get("relevance_score", result.get("score"))
