"""Workers with their leases, and runs that another worker may take over."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("apart", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__worker")),
    )
    op.add_column("run", sa.Column("fence", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("run", sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("run", sa.Column("asked", sa.JSON(), nullable=True))


def downgrade() -> None:
    for column in ("asked", "attempts", "fence"):
        op.drop_column("run", column)
    op.drop_table("worker")
