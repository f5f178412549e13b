"""Runs that wait for a person."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_checkpoint",
        sa.Column("run_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("FK__run_checkpoint__run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("PK__run_checkpoint")),
    )


def downgrade() -> None:
    op.drop_table("run_checkpoint")
