"""The figures of the last hour that `/performance-stats` and the dashboard are made of, as they are told by Metrics."""

import time
from collections.abc import Callable

from infrastructure.providers.types import Usage
from infrastructure.recent_errors import RecentErrors
from infrastructure.windows import Recent

RUN, FIRST_TOKEN, NEXT_TOKEN, LOOP_LAG = "run", "first_token", "next_token", "loop_lag"
"""Names of distributions, in seconds."""
QUESTIONS, REQUESTS, SERVER_ERRORS = "questions", "requests", "server_errors"
PROMPT_TOKENS, COMPLETION_TOKENS = "prompt_tokens", "completion_tokens"
OUTCOME = "run:"
"""Before the outcome of a run, in the names of counts."""
NO_FAULT = frozenset({"complete", "no_relevant_answer", "cancelled"})


class RunFigures:
    """What is told of runs and requests, in windows of time, and the latest errors."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.recent = Recent((RUN, FIRST_TOKEN, NEXT_TOKEN, LOOP_LAG), clock())
        self.errors = RecentErrors()
        observed = self.recent.observed
        self._run = observed[RUN].observe
        self.first_token = observed[FIRST_TOKEN].observe
        self.next_token = observed[NEXT_TOKEN].observe
        self.loop_lag = observed[LOOP_LAG].observe

    def run_finished(self, outcome: str, seconds: float, usage: Usage) -> None:
        """`outcome`: `complete`, `no_relevant_answer`, `cancelled` or an error's kind."""
        self._run(seconds)
        count = self.recent.count
        count(f"{OUTCOME}{outcome}")
        if usage.prompt_tokens or usage.completion_tokens:
            count(PROMPT_TOKENS, usage.prompt_tokens)
            count(COMPLETION_TOKENS, usage.completion_tokens)
        if outcome not in NO_FAULT:
            self.errors.of_run(outcome)

    def answered(self, route: str, status: int) -> None:
        """An HTTP request was answered to its last byte."""
        self.recent.count(REQUESTS)
        if status >= 400:
            self.errors.answered(route)
            if status >= 500:
                self.recent.count(SERVER_ERRORS)
