"""Vectors as OpenAI's clients read them."""

import base64
from collections.abc import Callable

import orjson

from backend.openai_models import embeds
from backend.schemas.openai import EmbeddingRequest
from infrastructure.openai_errors import BadParameter, UnknownModel
from infrastructure.providers.types import Usage
from services.embeddings import Embeddings, Vectors

CHARS_PER_TOKEN = 4  # OpenAI's rule of thumb for English


async def embedded(body: EmbeddingRequest, embeddings: Embeddings, used: Callable[[Usage], None]) -> bytes:
    """The answer's JSON. `used` is told what it took, which is estimated: no embedder tells it.

    Raises:
        UnknownModel: it is not the model that serves.
        BadParameter: vectors of another length are asked for.
        ProviderError: the model gave none.
    """
    if not embeds(embeddings) or body.model not in (embeddings.model, embeddings.model.partition(":")[2]):
        raise UnknownModel
    if body.dimensions not in (None, embeddings.dimensions):
        raise BadParameter(f"The model's vectors have {embeddings.dimensions} dimensions.", "dimensions")
    vectors = await embeddings.embed(body.input)
    tokens = sum(-(-len(text) // CHARS_PER_TOKEN) for text in body.input)
    used(Usage(prompt_tokens=tokens))
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(_encoded(vectors, body.encoding_format == "base64"))
            ],
            "model": body.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _encoded(vectors: Vectors, as_base64: bool) -> list[object]:
    if as_base64:
        return [base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode() for row in vectors]
    return list(vectors)
