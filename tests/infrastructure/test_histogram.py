"""The histogram of the hot path says what the library's own would say."""

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from infrastructure.histogram import LoopHistogram

BUCKETS = (0.001, 0.01, 0.1, 1.0)


@settings(deadline=None)
@given(st.lists(st.one_of(st.sampled_from(BUCKETS), st.floats(0, 5))))
def test_it_is_exposed_as_the_librarys_own_is(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = LoopHistogram("seconds", "Some.", BUCKETS, ours)
    reference = Histogram("seconds", "Some.", buckets=BUCKETS, registry=theirs)
    for value in values:
        mine.observe(value)
        reference.observe(value)
    lines = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == lines
