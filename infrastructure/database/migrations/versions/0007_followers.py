"""What each change of a partition was about, and who takes in the knowledge folder, for many processes."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# States of anonymous files that are gone. What is a user's stays: a count that began anew could be taken for the old.
_LEFT_OVER = """
    DELETE FROM partition_state WHERE partition <> ''
    AND NOT EXISTS (SELECT 1 FROM document WHERE document.partition = partition_state.partition)
    AND NOT EXISTS (SELECT 1 FROM "user" WHERE {user} = partition_state.partition)
    AND NOT EXISTS (SELECT 1 FROM file WHERE {file} = partition_state.partition)
"""
_SPELT = {
    "postgresql": "CAST({}.id AS text)",
    "sqlite": "substr({0}.id, 1, 8) || '-' || substr({0}.id, 9, 4) || '-' || substr({0}.id, 13, 4) || '-' || "
    "substr({0}.id, 17, 4) || '-' || substr({0}.id, 21)",
}


def upgrade() -> None:
    op.create_table(
        "partition_change",
        sa.Column("partition", sa.String(36), nullable=False),
        sa.Column("generation", _BIG, autoincrement=False, nullable=False),
        sa.Column("document_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("partition", "generation", "document_id", name=op.f("PK__partition_change")),
    )
    op.create_table(
        "folder_keeper",
        sa.Column("folder", sa.String(20), nullable=False),
        sa.Column("keeper", sa.String(64), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked", sa.Boolean(), nullable=False),
        sa.Column("asked", _BIG, nullable=False),
        sa.Column("done", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("folder", name=op.f("PK__folder_keeper")),
    )
    spelt = _SPELT[op.get_bind().dialect.name]
    op.execute(_LEFT_OVER.format(user=spelt.format('"user"'), file=spelt.format("file")))


def downgrade() -> None:
    op.drop_table("folder_keeper")
    op.drop_table("partition_change")
