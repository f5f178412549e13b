"""The knowledge: what the shared folder holds, what it says, and where."""

from typing import Annotated

from fastapi import APIRouter, Path

from backend.dependencies import Admin, Parts, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.ask import error_responses
from backend.schemas.knowledge import (
    KnowledgeFiles,
    KnowledgeText,
    ReindexBegun,
    SearchRequest,
    SearchResults,
    SearchScope,
    knowledge_files,
    knowledge_text,
    search_results,
)
from backend.schemas.text import CleanText
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.principals import Principal

router = APIRouter(
    prefix="/api/v1/knowledge",
    tags=["knowledge"],
    route_class=StrictJsonRoute,
    responses=error_responses(401, 422, 429),
)


@router.get("/files")
async def list_knowledge(parts: Parts) -> KnowledgeFiles:
    """The files of the shared knowledge, by name; those that could not be read say why."""
    return knowledge_files(await parts.library.list_documents(failed=True))


@router.get("/files/{name:path}", responses=error_responses(404))
async def read_knowledge(name: Annotated[CleanText, Path(max_length=1000)], parts: Parts) -> KnowledgeText:
    """A file's extracted text. The name is looked up among the files that were read; it is never a path."""
    return knowledge_text(await parts.library.read_document(name))


@router.post("/search", responses=error_responses(404))
async def search_knowledge(body: SearchRequest, parts: Parts, who: Who) -> SearchResults:
    """Passages, best first: from the shared knowledge and your own files, or from what `scope` chooses."""
    return search_results(await parts.search.search(body.query, body.limit, await _scope(body, parts, who)))


@router.post("/reindex", status_code=202, responses=error_responses(403), dependencies=[Admin])
async def reindex(parts: Parts) -> ReindexBegun:
    """Read every file of the knowledge folder anew, changed or not. It goes on when this is answered."""
    parts.indexer.reindex()
    return ReindexBegun()


async def _scope(body: SearchRequest, parts: Parts, who: Principal) -> Scope:
    if body.scope == "shared":
        return SHARED_SCOPE
    if not isinstance(body.scope, SearchScope):
        return await parts.scopes.of(who.user_id)
    chat_id = str(body.scope.chat_id) if body.scope.chat_id else None
    if chat_id is not None:
        await parts.chats.get(chat_id, who.user_id)
    return await parts.scopes.of(who.user_id, chat_id, [str(file_id) for file_id in body.scope.file_ids])
