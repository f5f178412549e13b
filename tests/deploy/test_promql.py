"""The reader of PromQL that the other tests here stand on."""

import pytest

from tests.deploy.known import unknown
from tests.deploy.promql import grouped_by, selectors

EXPRESSIONS = {
    "up == 0": {"up"},
    'sum by (job, le) (rate(a_bucket{x="b{c}", y=~"\\"d\\""}[5m])) / 2': {"a_bucket"},
    "0 * own:rate5m or vector(0)": {"own:rate5m"},
    "a > 1.5 * (a offset 1d) and on (job) count(b) > 0 unless c offset 15m": {"a", "b", "c"},
    "histogram_quantile(0.95, sum by (le) (rate(a_bucket[$__rate_interval])))": {"a_bucket"},
    "a / ignoring (kind) group_left () (b > 0)": {"a", "b"},
}


@pytest.mark.parametrize(("expression", "metrics"), EXPRESSIONS.items())
def test_the_metrics_of_an_expression_are_found(expression: str, metrics: set[str]) -> None:
    assert {one.metric for one in selectors(expression)} == metrics


def test_labels_are_found_where_they_select_and_where_they_group() -> None:
    (one,) = selectors('sum by (job, le) (rate(a{x="y=1", z!~"b"}[5m]))')
    assert one.labels == {"x", "z"}
    assert grouped_by("sum by (job, le) (a) / on(instance) b") == {"job", "le", "instance"}


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("agent_querys_total", "no metric agent_querys_total"),
        ('agent_runs_total{result="ok"}', "agent_runs_total has no label result"),
        ("sum by (status) (rate(http_requests_total[5m]))", "nothing has the label status"),
        ("rate(http_requests[5m])", "no metric http_requests"),
    ],
)
def test_what_the_service_does_not_have_is_told(expression: str, fault: str) -> None:
    assert unknown(expression) == [fault]
