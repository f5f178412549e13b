"""The latest errors: faults and refusals apart, each once for a request, with its ids and nothing else."""

from dataclasses import asdict

from infrastructure.log_ids import begin_ids
from infrastructure.recent_errors import KEPT, OF_CALLERS, RecentErrors, is_fault
from infrastructure.run_figures import RunFigures


def test_an_error_has_its_ids_and_its_route() -> None:
    errors = RecentErrors(clock=lambda: 5.0)
    begin_ids(request_id="r-1", user_id="somebody")
    errors.seen("storage_unavailable")
    errors.answered("/api/v1/chats/{chat_id}")
    assert [asdict(error) for error in errors.latest()] == [
        {"at": 5.0, "kind": "storage_unavailable", "where": "/api/v1/chats/{chat_id}", "request_id": "r-1",
         "run_id": None, "count": 1}
    ]  # fmt: skip


def test_another_requests_route_is_not_taken_for_its_own() -> None:
    errors = RecentErrors()
    begin_ids(many=True, request_id="socket")
    errors.seen("validation_error")
    begin_ids(request_id="other")
    errors.answered("/ask")
    assert [error.where for error in errors.latest()] == ["websocket"]


def test_a_flood_of_refusals_hides_no_fault() -> None:
    errors = RecentErrors()
    begin_ids(request_id="fault")
    errors.seen("internal_error")
    for number in range(3 * KEPT):
        begin_ids(request_id=f"r-{number}")
        errors.seen("rate_limited")
    found = errors.latest()
    assert len(found) == KEPT + 1
    assert found[0].request_id == f"r-{3 * KEPT - 1}"
    assert "fault" in {error.request_id for error in found}


def test_the_same_again_on_one_connection_is_one_entry() -> None:
    errors = RecentErrors()
    begin_ids(many=True, request_id="socket")
    for _ in range(5):
        errors.seen("validation_error")
    errors.seen("not_found")
    assert [(error.kind, error.count) for error in errors.latest()] == [("not_found", 1), ("validation_error", 5)]


def test_a_run_that_failed_is_told_once_with_the_route_of_its_request() -> None:
    errors = RecentErrors()
    begin_ids(request_id="r", run_id="run-1")
    errors.of_run("provider_unavailable")
    begin_ids(request_id="r")
    errors.seen("provider_unavailable")
    errors.answered("/ask")
    (found,) = errors.latest()
    assert (found.where, found.run_id, found.count) == ("/ask", "run-1", 1)


def test_runs_without_a_request_are_told_apart() -> None:
    errors = RecentErrors()
    for run in ("a", "b"):
        begin_ids(run_id=run)
        errors.of_run("interrupted")
    assert [error.run_id for error in errors.latest()] == ["b", "a"]


def test_what_says_no_to_a_caller_is_no_fault() -> None:
    assert not is_fault("not_found")
    assert is_fault("internal_error")
    assert is_fault("provider_unavailable")
    assert "validation_error" in OF_CALLERS


def test_requests_are_counted_and_only_errors_remembered() -> None:
    figures = RunFigures(clock=lambda: 0.0)
    begin_ids(request_id="r")
    figures.answered("/health", 200)
    figures.errors.seen("internal_error")
    figures.answered("/ask", 500)
    window = figures.recent.window(60, 1.0)
    assert (window.count("requests"), window.count("server_errors")) == (2, 1)
    assert [error.where for error in figures.errors.latest()] == ["/ask"]
