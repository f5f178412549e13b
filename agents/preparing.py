"""What a run is given before its graph starts, and what is counted when it has ended."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agents.policies import narrowed
from agents.ports import Model
from agents.run import Ask, Run
from agents.saved_run import Manner
from agents.state import Budget, RunContext
from agents.summaries import Summaries
from infrastructure.database.patience import patiently
from infrastructure.errors import InvalidInput
from infrastructure.providers.types import Usage
from services.agents import Agents
from services.budgets import Budgets, counted_under
from services.knowledge.scopes import Scopes
from services.personas import DEFAULT_PERSONA

Choose = Callable[[str, str], Model]
"""The model of a provider, by their names. Raises InvalidInput where it may not be chosen."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """The parts that decide how a question is answered. Without `agents` there is one manner, without `budgets` no end
    to what may be used, without `summaries` what does not fit of a conversation is left out.
    """

    scopes: Scopes
    agents: Agents | None = None
    budgets: Budgets | None = None
    summaries: Summaries | None = None
    choose: Choose | None = None

    async def admit(self, ask: Ask) -> None:
        """
        Raises:
            RateLimited: who asks has used up today's tokens.
            NotFound: a chosen file or agent is not there, or somebody else's.
        """
        if self.budgets is not None:
            await self.budgets.check(counted_under(ask.owner, ask.caller))
        if ask.file_ids:
            await self.scopes.check(ask.owner, ask.file_ids)
        if ask.agent_id and self.agents is not None:
            await self.agents.require(ask.agent_id, ask.owner)

    async def context(self, run: Run, budget: Budget) -> RunContext:
        """All that the nodes of the run's graph share."""
        ask = run.ask
        manner = run.saved.manner if run.saved is not None else None
        if manner is None:
            manner = await patiently(partial(self._manner, run))
        turns = run.session.history() or ask.turns
        return RunContext(
            run.question,
            turns,
            run.session.id,
            run.writer,
            budget,
            manner.scope,
            ask.rag_mode,
            chosen=bool(ask.file_ids),
            model=ask.model or self.model(manner.model),
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
            stop=ask.stop,
            options=ask.options,
            wishes=ask.instructions,
            caller=run.owner or run.session.id or ask.caller,
            tools=manner.persona.tools,
            persona=manner.persona,
            summary=self.summaries.of(run.session.id, turns) if self.summaries else "",
            trace=run.trace,
            anew=bool(ask.edits or ask.regenerates),
        )

    async def _manner(self, run: Run) -> Manner:
        """How a run that begins is to answer."""
        ask, persona = run.ask, DEFAULT_PERSONA
        if run.agent_id is not None and self.agents is not None:
            persona = await self.agents.persona(run.agent_id, ask.owner)
        owner = ask.owner if ask.file_ids else run.owner  # an anonymous chat, which others read, has no one's files
        no_files = ask.fresh or (run.begun is not None and not run.begun.has_files)
        scope = await self.scopes.of(owner, run.session.id, ask.file_ids, fresh=no_files)
        return Manner(persona, narrowed(scope, persona.scope), persona.model)

    def ended(self, run: Run, model: str, outcome: str) -> None:
        """Count what a run has used, and have its conversation summed up where it has outgrown its share."""
        key = counted_under(run.ask.owner, run.ask.caller)
        if self.budgets is not None:
            self.budgets.note(key, model or "unknown", run.budget.usage if run.budget else Usage())
        if self.summaries is not None and run.session.id is not None and outcome == "complete":
            self.summaries.consider(run.session.id, run.session.history(), key)

    def forget(self, session_id: str) -> None:
        """A chat is gone."""
        if self.summaries is not None:
            self.summaries.forget(session_id)

    def model(self, name: str | None) -> Model | None:
        """The model of that name, `provider/model`; None where it may no longer be chosen."""
        if name is None or self.choose is None:
            return None
        provider, _, model = name.partition("/")
        try:
            return self.choose(provider, model)
        except InvalidInput:
            return None
