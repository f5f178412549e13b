"""Accounts, their keys, chats with messages and runs, and feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.Uuid(as_uuid=False)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _user()
    _api_key()
    _refresh_token()
    _chat()
    _chat_message()
    _run()
    _feedback()


def _user() -> None:
    op.create_table(
        "user",
        sa.Column("id", _ID, nullable=False),
        sa.Column("username", sa.String(50), nullable=False),
        sa.Column("username_key", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(1000), nullable=False),
        sa.Column("fullname", sa.String(200)),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__user")),
        sa.UniqueConstraint("username_key", name=op.f("UQ__user__username_key")),
        sa.UniqueConstraint("email_key", name=op.f("UQ__user__email_key")),
    )


def _api_key() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("prefix", sa.String(20), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("FK__api_key__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__api_key")),
        sa.UniqueConstraint("prefix", name=op.f("UQ__api_key__prefix")),
    )
    op.create_index(op.f("IX__api_key__user_id"), "api_key", ["user_id"])


def _refresh_token() -> None:
    op.create_table(
        "refresh_token",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("family_id", _ID, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME),
        sa.Column("ended_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("FK__refresh_token__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__refresh_token")),
        sa.UniqueConstraint("digest", name=op.f("UQ__refresh_token__digest")),
    )
    for column in ("user_id", "family_id", "expires_at"):
        op.create_index(op.f(f"IX__refresh_token__{column}"), "refresh_token", [column])


def _chat() -> None:
    op.create_table(
        "chat",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID),
        sa.Column("agent_id", _ID),
        sa.Column("title", sa.String(255)),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("is_archived", sa.Boolean(), nullable=False),
        sa.Column("message_count", sa.Integer(), nullable=False),
        sa.Column("last_position", _BIG, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("FK__chat__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__chat")),
    )
    op.create_index(op.f("IX__chat__user_id_updated_at_id"), "chat", ["user_id", "updated_at", "id"])
    op.create_index(op.f("IX__chat__updated_at"), "chat", ["updated_at"])


def _chat_message() -> None:
    op.create_table(
        "chat_message",
        sa.Column("id", _ID, nullable=False),
        sa.Column("chat_id", _ID, nullable=False),
        sa.Column("position", _BIG, nullable=False),
        sa.Column("parent_id", _ID),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("run_id", _ID),
        sa.Column("tool_calls", sa.JSON()),
        sa.Column("tool_call_id", sa.String(200)),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("superseded_at", _TIME),
        sa.CheckConstraint("role IN ('user', 'assistant', 'system', 'tool')", name=op.f("CK__chat_message__role")),
        sa.CheckConstraint("status IN ('complete', 'incomplete', 'error')", name=op.f("CK__chat_message__status")),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("FK__chat_message__chat"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__chat_message")),
        sa.UniqueConstraint("chat_id", "position", name=op.f("UQ__chat_message__chat_id_position")),
    )


def _run() -> None:
    op.create_table(
        "run",
        sa.Column("id", _ID, nullable=False),
        sa.Column("chat_id", _ID, nullable=False),
        sa.Column("user_message_id", _ID, nullable=False),
        sa.Column("answer_id", _ID, nullable=False),
        sa.Column("answer_position", _BIG, nullable=False),
        sa.Column("request_id", sa.String(128)),
        sa.Column("request_digest", sa.String(64)),
        sa.Column("worker", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(64)),
        sa.Column("model", sa.String(200)),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("completion_tokens", sa.Integer()),
        sa.Column("confidence", sa.Float()),
        sa.Column("grounded", sa.Boolean()),
        sa.Column("citations", sa.JSON()),
        sa.Column("finish_reason", sa.String(64)),
        sa.Column("error_message", sa.Text()),
        sa.Column("last_seq", sa.Integer()),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("first_token_ms", sa.Float()),
        sa.Column("duration_ms", sa.Float()),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("FK__run__chat"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__run")),
        sa.UniqueConstraint("chat_id", "request_id", name=op.f("UQ__run__chat_id_request_id")),
    )
    op.create_index(
        op.f("IX__run__unfinished"), "run", ["started_at"],
        sqlite_where=sa.text("outcome IS NULL"), postgresql_where=sa.text("outcome IS NULL"),
    )  # fmt: skip


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", _ID, nullable=False),
        sa.Column("message_id", _ID, nullable=False),
        sa.Column("is_positive", sa.Boolean(), nullable=False),
        sa.Column("feedback_text", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["chat_message.id"], name=op.f("FK__feedback__chat_message"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__feedback")),
        sa.UniqueConstraint("message_id", name=op.f("UQ__feedback__message_id")),
    )


def downgrade() -> None:
    for table in ("feedback", "run", "chat_message", "chat", "refresh_token", "api_key", "user"):
        op.drop_table(table)
