"""Fixtures for tests of the knowledge."""

from tests.services.knowledge.postgres_knowledge import knowledge_database, knowledge_url, opened, search, way

__all__ = ["knowledge_database", "knowledge_url", "opened", "search", "way"]
