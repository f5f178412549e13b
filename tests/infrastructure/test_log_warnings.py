"""A library's warning is told without its text."""

import warnings

import structlog

from infrastructure.log_warnings import log_warnings


def test_a_warning_is_a_line_without_its_text() -> None:
    with warnings.catch_warnings(), structlog.testing.capture_logs() as lines:
        warnings.simplefilter("always")
        log_warnings()
        warnings.warn("canary: input_value='Bearer canary'", UserWarning, stacklevel=1)
    assert [(line["event"], line["kind"], line["module"]) for line in lines] == [
        ("a library warns", "UserWarning", "test_log_warnings")
    ]
    assert "canary" not in str(lines)
