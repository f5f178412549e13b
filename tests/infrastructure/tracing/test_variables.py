"""OpenTelemetry's standard variables."""

import pytest
from structlog.testing import capture_logs

from infrastructure.tracing.export import Batching
from infrastructure.tracing.variables import batching, captures_content, collector, pairs, resource, sampled_share

URL = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def test_without_an_address_there_is_no_collector() -> None:
    assert collector({}) is None


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        (URL, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://far/in"}, "https://far/in"),
        (URL | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://far/in"}, "https://far/in"),
        (URL | {"OTEL_TRACES_EXPORTER": "console, otlp"}, "http://collector:4318/v1/traces"),
    ],
)
def test_traces_go_to_the_address_as_the_specification_has_it(variables: dict[str, str], url: str) -> None:
    found = collector(variables)
    assert found is not None
    assert found.url == url
    assert not found.alone


@pytest.mark.parametrize(
    "variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_TRACES_EXPORTER": "zipkin"}]
)
def test_each_of_the_switches_turns_it_off(variables: dict[str, str]) -> None:
    assert collector(URL | variables) is None


def test_what_is_said_of_traces_goes_before_what_is_said_of_all() -> None:
    found = collector(
        URL | {"OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=top%20secret,b=2",
               "OTEL_EXPORTER_OTLP_TIMEOUT": "3", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
               "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem"}
    )  # fmt: skip
    assert found is not None
    assert found.headers == {"api-key": "top secret", "b": "2"}
    assert (found.timeout, found.compression, found.certificate) == (3.0, "gzip", "/ca.pem")
    assert "secret" not in repr(found)


def test_an_address_that_is_none_is_named_and_not_used() -> None:
    with capture_logs() as lines:
        assert collector({"OTEL_EXPORTER_OTLP_ENDPOINT": "canary:4317"}) is None
    assert [line["variable"] for line in lines] == ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "canary" not in str(lines)


def test_another_protocol_is_named() -> None:
    with capture_logs() as lines:
        assert collector(URL | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) is not None
    assert lines[0]["variable"] == "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, Batching(2048, 512, 5.0)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_SCHEDULE_DELAY": "250"}, Batching(100, 100, 0.25)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}, Batching(2048, 7, 5.0)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "OTEL_BSP_SCHEDULE_DELAY": "soon"}, Batching(2048, 512, 5.0)),
        ({"OTEL_BSP_SCHEDULE_DELAY": "nan"}, Batching(2048, 512, 5.0)),
    ],
)
def test_batches_are_as_the_variables_say(variables: dict[str, str], wanted: Batching) -> None:
    assert batching(variables) == wanted


@pytest.mark.parametrize(
    ("sampler", "argument", "share"),
    [
        ("", "", 1.0), ("always_on", "0.1", 1.0), ("always_off", "", 0.0), ("parentbased_always_off", "", 0.0),
        ("traceidratio", "0.25", 0.25), ("parentbased_traceidratio", "0", 0.0), ("TraceIdRatio", "", 1.0),
        ("traceidratio", "2", 1.0), ("traceidratio", "much", 1.0), ("traceidratio", "nan", 1.0), ("canary", "", 1.0),
    ],
)  # fmt: skip
def test_runs_are_sampled_as_the_variables_say(sampler: str, argument: str, share: float) -> None:
    assert sampled_share({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}) == share


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("", False), ("false", False), ("true", True), ("TRUE", True), ("span_only", True), ("event_only", False)],
)
def test_texts_are_told_where_the_conventions_variable_says_so(value: str, wanted: bool) -> None:
    assert captures_content({"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value}) is wanted


def test_the_service_is_called_what_the_variables_say() -> None:
    known = {"service__name": "askgraph", "service__version": "1"}
    assert resource({}, **known) == {"service.name": "askgraph", "service.version": "1"}
    variables = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,team=a%2Cb", "OTEL_SERVICE_NAME": "mine"}
    assert resource(variables, **known) == {"service.name": "mine", "service.version": "1", "team": "a,b"}


def test_pairs_that_are_none_are_left_out() -> None:
    assert pairs(" a = 1 ,,b, =2,c=d=e") == {"a": "1", "c": "d=e"}
