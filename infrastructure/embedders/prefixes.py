"""The words that a model was trained to see before a question and before a passage, by the family in its name.

From the models' own cards: intfloat/e5-*, nomic-ai/nomic-embed-text-v1.5, BAAI/bge-*-en-v1.5,
mixedbread-ai/mxbai-embed-large-v1, Snowflake/snowflake-arctic-embed, Qwen/Qwen3-Embedding, google/embeddinggemma-300m.
Other words are another model: whoever changes a line here has the vectors of that family embedded anew.
"""

from dataclasses import dataclass
from typing import Final, Literal

_SEARCH: Final = "Represent this sentence for searching relevant passages: "
_QWEN: Final = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"


@dataclass(frozen=True, slots=True)
class Prefixes:
    query: str = ""
    passage: str = ""

    def before(self, purpose: Literal["query", "passage"]) -> str:
        return self.query if purpose == "query" else self.passage


_FAMILIES: Final = (  # the first that is in the name
    ("e5-mistral", Prefixes(_QWEN + " ")),
    ("multilingual-e5", Prefixes("query: ", "passage: ")),
    ("e5-small", Prefixes("query: ", "passage: ")),
    ("e5-base", Prefixes("query: ", "passage: ")),
    ("e5-large", Prefixes("query: ", "passage: ")),
    ("nomic-embed-text", Prefixes("search_query: ", "search_document: ")),
    ("bge-small-en", Prefixes(_SEARCH)),
    ("bge-base-en", Prefixes(_SEARCH)),
    ("bge-large-en", Prefixes(_SEARCH)),
    ("bge-large", Prefixes(_SEARCH)),
    ("mxbai-embed-large", Prefixes(_SEARCH)),
    ("snowflake-arctic-embed2", Prefixes("query: ")),
    ("snowflake-arctic-embed-l-v2", Prefixes("query: ")),
    ("snowflake-arctic-embed-m-v2", Prefixes("query: ")),
    ("snowflake-arctic-embed", Prefixes(_SEARCH)),
    ("qwen3-embedding", Prefixes(_QWEN)),
    ("embeddinggemma", Prefixes("task: search result | query: ", "title: none | text: ")),
)


def prefixes(model: str) -> Prefixes:
    """Those of `model`'s family; none for a family that is not known here."""
    name = model.lower()
    return next((found for family, found in _FAMILIES if family in name), Prefixes())
