"""Alembic's entry. It runs within the connection that `infrastructure.database.migrate` opened, and reads no file."""

from alembic import context

from infrastructure.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
