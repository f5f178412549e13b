"""Bodies of the knowledge routes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from backend.schemas.chats import not_blank
from backend.schemas.text import CleanText
from infrastructure.passages import Passage
from services.knowledge.library import DocumentInfo, DocumentText
from services.knowledge.search import Retrieval

MAX_QUERY_CHARS = 4000
MAX_RESULTS = 50
_ID = "0199f3a0-7c3e-7d63-9a53-0f2f0c8f5a11"


class KnowledgeFile(BaseModel):
    """A file of the shared knowledge. `failed` ones say why, and cannot be searched."""

    name: str
    title: str
    chunks_count: int
    updated_at: datetime
    status: Literal["ready", "failed"]
    error_message: str | None


class KnowledgeFiles(BaseModel):
    items: list[KnowledgeFile]
    total: int


class KnowledgeText(BaseModel):
    """The extracted text, which citations count in."""

    name: str
    title: str
    text: str


class SearchScope(BaseModel):
    """What is searched: one chat's knowledge, its files first; or just the chosen files."""

    chat_id: UUID | None = None
    file_ids: list[UUID] = Field([], max_length=100)


class SearchRequest(BaseModel):
    """A search. `scope` is `all` (the shared knowledge and your files), `shared`, or an object."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": "health factor", "limit": 5},
                {"query": "notice period", "scope": {"file_ids": [_ID]}},
            ]
        }
    )

    query: Annotated[CleanText, Field(min_length=1, max_length=MAX_QUERY_CHARS), AfterValidator(not_blank)]
    limit: int = Field(8, ge=1, le=MAX_RESULTS)
    scope: Literal["all", "shared"] | SearchScope = "all"


class SearchResult(BaseModel):
    """A passage: `text` is exactly `[start, end)` of the document's extracted text."""

    document: str
    document_id: str
    chunk_id: str
    text: str
    score: float
    page: int | None = None
    section: str | None = None
    start: int
    end: int

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in serialize(self).items() if value is not None}


class SearchResults(BaseModel):
    results: list[SearchResult]
    took_ms: float


class ReindexBegun(BaseModel):
    """The knowledge folder is being read; what has changed is found as soon as it is there."""

    status: Literal["accepted"] = "accepted"


def knowledge_files(documents: list[DocumentInfo]) -> KnowledgeFiles:
    items = [
        KnowledgeFile(
            name=one.name, title=one.title, chunks_count=one.chunks_count, updated_at=one.updated_at,
            status="ready" if one.status == "ready" else "failed", error_message=one.error_message,
        )
        for one in documents
    ]  # fmt: skip
    return KnowledgeFiles(items=items, total=len(items))


def knowledge_text(document: DocumentText) -> KnowledgeText:
    return KnowledgeText(name=document.name, title=document.title, text=document.text)


def search_results(found: Retrieval) -> SearchResults:
    return SearchResults(results=[_result(one) for one in found.passages], took_ms=round(found.took_ms, 3))


def _result(passage: Passage) -> SearchResult:
    return SearchResult(
        document=passage.document, document_id=passage.document_id, chunk_id=passage.chunk_id, text=passage.text,
        score=round(passage.score, 4), page=passage.page, section=passage.section, start=passage.start,
        end=passage.end,
    )  # fmt: skip
