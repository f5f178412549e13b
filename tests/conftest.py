"""Fixtures that every room's tests may ask for."""

from tests.databases import database, database_url, empty_database_url, postgres, sqlite_template

__all__ = ["database", "database_url", "empty_database_url", "postgres", "sqlite_template"]
