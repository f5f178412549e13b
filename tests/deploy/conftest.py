"""The mark of tests that need tools of their own: `make test-deploy` runs them, `make test` does not."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "deploy: needs the tools of .venv-deploy; `make test-deploy`")
