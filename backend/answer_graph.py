"""What a question goes through: the graph over the knowledge and the models, with its tools."""

from agents.approvals import Approvals
from agents.finding import Finder
from agents.generation import Generation
from agents.graph import AnswerGraph, GraphSettings
from agents.policies import CHARS_PER_TOKEN
from agents.toolbox import Toolbox
from agents.tools.list_knowledge_files import list_knowledge_files
from agents.tools.read_knowledge_file import read_knowledge_file
from agents.tools.registry import Registry
from agents.tools.remote import RemoteTools
from agents.tools.search_knowledge_base import search_knowledge_base
from backend.answers import open_answers
from backend.assembly import Knowledge
from backend.models import Models
from backend.settings import Settings
from infrastructure.mcp.servers import McpServers
from infrastructure.monitoring import Metrics
from services.knowledge.citation_check import CitationCheck
from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.grounding import Grounder
from services.knowledge.whole import WholeDocuments
from services.link_policy import LinkPolicy


def open_tools(settings: Settings, knowledge: Knowledge, mcp_servers: McpServers) -> Registry:
    """The tools that a model may be offered."""
    built_in = (
        search_knowledge_base(knowledge.search.search, settings.agent_max_results),
        list_knowledge_files(knowledge.library),
        read_knowledge_file(knowledge.library),
    )
    return Registry(built_in, (RemoteTools(mcp_servers.tools),) if mcp_servers.names else ())


def make_graph(
    settings: Settings, knowledge: Knowledge, models: Models, metrics: Metrics, tools: Registry, approvals: Approvals,
    traced: bool,
) -> AnswerGraph:  # fmt: skip
    """The way of a question, compiled."""
    search = knowledge.search
    generation = Generation(
        models.model,
        models.extractive,
        Toolbox(tools, seconds=settings.tool_seconds),
        "extractive" in settings.model_fallbacks,
        settings.max_answer_tokens,
        models.on_call,
        LinkPolicy(settings.link_hosts),
    )
    finder = Finder(
        search.search,
        WholeDocuments(knowledge.stored),
        settings.agent_max_results,
        settings.full_file_max_tokens * CHARS_PER_TOKEN,
        models.model.name != "extractive",
    )
    check = CitationCheck(knowledge.database, search)
    return AnswerGraph(
        finder.find,
        generation,
        Grounder(search.analysis).ground,
        check,
        GraphSettings(
            curated_threshold=settings.agent_similarity_threshold,
            support_threshold=ANSWER_THRESHOLD,
            history_tokens=settings.history_max_tokens,
            max_steps=settings.max_tool_iterations,
        ),
        approvals,
        traced=traced,
        known=open_answers(settings, knowledge, generation, check, metrics),
    )
