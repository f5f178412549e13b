"""Agents, and what answering uses on each day."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.Uuid(as_uuid=False)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _agent()
    _usage_day()


def _agent() -> None:
    op.create_table(
        "agent",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner_id", _ID),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("model", sa.String(300)),
        sa.Column("tools", sa.JSON(none_as_null=True)),
        sa.Column("knowledge_scope", sa.JSON(none_as_null=True)),
        sa.Column("answers", sa.String(20), nullable=False),
        sa.Column("starter_messages", sa.JSON(), nullable=False),
        sa.Column("is_visible", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("answers IN ('open', 'knowledge_only')", name=op.f("CK__agent__answers")),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name=op.f("FK__agent__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__agent")),
    )
    op.create_index(op.f("IX__agent__owner_id"), "agent", ["owner_id"])


def _usage_day() -> None:
    op.create_table(
        "usage_day",
        sa.Column("caller", sa.String(36), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("user_id", _ID),
        sa.Column("prompt_tokens", _BIG, nullable=False),
        sa.Column("completion_tokens", _BIG, nullable=False),
        sa.Column("questions", _BIG, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("FK__usage_day__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("caller", "day", "model", name=op.f("PK__usage_day")),
    )
    op.create_index(op.f("IX__usage_day__day"), "usage_day", ["day"])
    op.create_index(op.f("IX__usage_day__user_id"), "usage_day", ["user_id"])


def downgrade() -> None:
    op.drop_table("usage_day")
    op.drop_table("agent")
    op.execute("UPDATE chat SET agent_id = NULL WHERE agent_id IS NOT NULL")
