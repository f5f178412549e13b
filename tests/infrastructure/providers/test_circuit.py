"""When an endpoint is left alone, and when it is asked again."""

import pytest

from infrastructure.errors import ProviderUnavailable
from infrastructure.providers.circuit import CLOSED, HALF_OPEN, OPEN, Circuit, CircuitOpen, Ending
from tests.infrastructure.providers.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def states() -> list[int]:
    """The states that were told of."""
    return []


@pytest.fixture
def circuit(clock: Clock, states: list[int]) -> Circuit:
    return Circuit(30.0, clock=clock, on_change=states.append)


def call(circuit: Circuit, *endings: Ending) -> None:
    for ending in endings:
        circuit.settle(circuit.admit(), ending)


def opened(circuit: Circuit) -> None:
    call(circuit, *["failed"] * 5)
    assert circuit.state == OPEN


def test_it_opens_after_five_failures_in_a_row_and_not_before(circuit: Circuit, states: list[int]) -> None:
    call(circuit, *["failed"] * 4, "ok", *["failed"] * 4)
    assert (circuit.state, states) == (CLOSED, [])
    call(circuit, "failed")
    assert (circuit.state, states) == (OPEN, [OPEN])


def test_it_opens_when_half_of_ten_failed_within_a_minute(circuit: Circuit) -> None:
    call(circuit, *["ok", "failed"] * 4, "ok")
    assert circuit.state == CLOSED
    call(circuit, "failed")
    assert circuit.state == OPEN


def test_half_of_nine_is_too_few_to_judge_by(circuit: Circuit) -> None:
    call(circuit, "failed", *["ok", "failed"] * 4)
    assert circuit.state == CLOSED


def test_what_is_older_than_a_minute_does_not_count(circuit: Circuit, clock: Clock) -> None:
    call(circuit, *["failed", "ok"] * 4)
    clock.now += 60.0
    call(circuit, "ok", "failed")
    assert circuit.state == CLOSED


def test_neither_a_refusal_nor_a_caller_who_left_is_a_failure(circuit: Circuit) -> None:
    call(circuit, *["refused", "left"] * 20, *["failed"] * 4, "refused", "left")
    assert circuit.state == CLOSED
    call(circuit, "failed")  # nor are they a success
    assert circuit.state == OPEN


def test_open_it_lets_nothing_through_and_says_for_how_long(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 12.0
    for ask in (circuit.check, circuit.admit):
        with pytest.raises(CircuitOpen) as refused:
            ask()
        assert refused.value.retry_after == 18.0
        assert isinstance(refused.value, ProviderUnavailable)


def test_half_open_it_lets_one_probe_through(circuit: Circuit, clock: Clock, states: list[int]) -> None:
    opened(circuit)
    clock.now += 30.0
    circuit.check()
    probe = circuit.admit()
    assert circuit.state == HALF_OPEN
    for ask in (circuit.check, circuit.admit):
        with pytest.raises(CircuitOpen):
            ask()
    circuit.settle(probe, "ok")
    circuit.check()
    assert states == [OPEN, HALF_OPEN, CLOSED]


def test_a_probe_that_fails_opens_it_for_as_long_again(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 30.0
    call(circuit, "failed")
    clock.now += 29.0
    with pytest.raises(CircuitOpen):
        circuit.check()
    clock.now += 1.0
    circuit.check()


def test_a_probe_that_is_refused_shows_that_the_endpoint_lives(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 30.0
    call(circuit, "refused")
    assert circuit.state == CLOSED


def test_a_probe_whose_caller_left_makes_room_for_the_next(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 30.0
    call(circuit, "left")
    assert circuit.state == HALF_OPEN
    call(circuit, "ok")
    assert circuit.state == CLOSED


def test_a_call_from_before_says_nothing_of_now(circuit: Circuit, clock: Clock) -> None:
    early = [circuit.admit() for _ in range(7)]
    opened(circuit)
    circuit.settle(early[0], "ok")
    assert circuit.state == OPEN
    clock.now += 30.0
    probe = circuit.admit()
    circuit.settle(early[1], "failed")
    assert circuit.state == HALF_OPEN
    circuit.settle(probe, "ok")
    for late in early[2:]:
        circuit.settle(late, "failed")
    assert circuit.state == CLOSED


def test_closed_again_it_begins_to_count_anew(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 30.0
    call(circuit, "ok", *["failed"] * 4)
    assert circuit.state == CLOSED
