"""Documents, their chunks, and the index's generation."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _document()
    _chunk()
    state = op.create_table(
        "index_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("CK__index_state__one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__index_state")),
    )
    op.bulk_insert(state, [{"id": 1, "generation": 0}])


def _document() -> None:
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("modified_ns", _BIG, nullable=False),
        sa.Column("recipe", sa.String(50), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("error_message", sa.Text()),
        sa.Column("chunks_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('ready', 'failed')", name=op.f("CK__document__status")),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__document")),
        sa.UniqueConstraint("name", name=op.f("UQ__document__name")),
    )


def _chunk() -> None:
    op.create_table(
        "chunk",
        sa.Column("row", _BIG, autoincrement=True, nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("document_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("section", sa.Text()),
        sa.Column("page", sa.Integer()),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("end", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text()),
        sa.Column("answer_start", sa.Integer()),
        sa.Column("answer_end", sa.Integer()),
        sa.Column("embedding_model", sa.String(200), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name=op.f("FK__chunk__document"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("row", name=op.f("PK__chunk")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("IX__chunk__document_id"), "chunk", ["document_id"])


def downgrade() -> None:
    op.drop_table("index_state")
    op.drop_table("chunk")
    op.drop_table("document")
