"""What tests of several workers share."""

import pytest

from tests.databases import PostgresServer


@pytest.fixture
def workers_database(postgres: PostgresServer) -> str:
    """The URL of a new database with all tables."""
    return postgres.migrated()
