"""Uploads and the chats that they belong to; documents in partitions; embeddings of several models side by side."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.Uuid(as_uuid=False)
_TIME = sa.DateTime(timezone=True)
_WAITING = sa.text("status IN ('uploaded', 'processing')")
_SHARED_ONLY = sa.text("file_id IS NULL")
_DEFAULT_ONLY = sa.text("is_default")


def upgrade() -> None:
    _file()
    _chat_file()
    _document()
    _chunk_embedding()
    _embedding_model()
    _partition_state()


def _file() -> None:
    op.create_table(
        "file",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner_id", _ID),
        sa.Column("original_filename", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.String(200), nullable=False),
        sa.Column("size_bytes", _BIG, nullable=False),
        sa.Column("checksum", sa.String(64), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("stage", sa.String(20)),
        sa.Column("chunks_processed", sa.Integer(), nullable=False),
        sa.Column("total_chunks_expected", sa.Integer()),
        sa.Column("chunks_count", sa.Integer(), nullable=False),
        sa.Column("error_message", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("leased_until", _TIME),
        sa.Column("retry_at", _TIME),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("status IN ('uploaded', 'processing', 'ready', 'failed')", name=op.f("CK__file__status")),
        sa.ForeignKeyConstraint(["owner_id"], ["user.id"], name=op.f("FK__file__user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__file")),
        sa.UniqueConstraint("owner_id", "checksum", name=op.f("UQ__file__owner_id_checksum")),
    )
    op.create_index(op.f("IX__file__owner_id_created_at_id"), "file", ["owner_id", "created_at", "id"])
    op.create_index("IX__file__waiting", "file", ["created_at"], sqlite_where=_WAITING, postgresql_where=_WAITING)


def _chat_file() -> None:
    op.create_table(
        "chat_file",
        sa.Column("chat_id", _ID, nullable=False),
        sa.Column("file_id", _ID, nullable=False),
        sa.Column("attached_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("FK__chat_file__chat"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["file_id"], ["file.id"], name=op.f("FK__chat_file__file"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("chat_id", "file_id", name=op.f("PK__chat_file")),
    )
    op.create_index(op.f("IX__chat_file__file_id"), "chat_file", ["file_id"])


def _document() -> None:
    with op.batch_alter_table("document") as document:
        document.add_column(sa.Column("file_id", _ID))
        document.add_column(sa.Column("partition", sa.String(36), nullable=False, server_default=""))
        document.add_column(sa.Column("pages", sa.JSON(none_as_null=True)))
        document.alter_column("media_type", existing_type=sa.String(100), type_=sa.String(200))
        document.drop_constraint(op.f("UQ__document__name"), type_="unique")
        document.drop_constraint(op.f("CK__document__status"), type_="check")
        document.create_check_constraint(op.f("CK__document__status"), "status IN ('indexing', 'ready', 'failed')")
        document.create_foreign_key(op.f("FK__document__file"), "file", ["file_id"], ["id"], ondelete="CASCADE")
    with op.batch_alter_table("document") as document:
        document.alter_column("partition", existing_type=sa.String(36), server_default=None)
    op.create_index(op.f("IX__document__file_id"), "document", ["file_id"])
    op.create_index(op.f("IX__document__partition"), "document", ["partition"])
    op.create_index(
        "IX__document__shared_name", "document", ["name"], unique=True,
        sqlite_where=_SHARED_ONLY, postgresql_where=_SHARED_ONLY,
    )  # fmt: skip


def _chunk_embedding() -> None:
    op.create_table(
        "chunk_embedding",
        sa.Column("chunk_row", _BIG, autoincrement=False, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["chunk_row"], ["chunk.row"], name=op.f("FK__chunk_embedding__chunk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chunk_row", "model", name=op.f("PK__chunk_embedding")),
    )
    op.execute(
        'INSERT INTO chunk_embedding (chunk_row, model, embedding) SELECT "row", embedding_model, embedding FROM chunk'
    )
    op.drop_column("chunk", "embedding")
    op.drop_column("chunk", "embedding_model")


def _embedding_model() -> None:
    op.create_table(
        "embedding_model",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("provider", sa.String(20), nullable=False),
        sa.Column("dimensions", sa.Integer()),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__embedding_model")),
    )
    op.create_index("UQ__embedding_model__name", "embedding_model", ["name"], unique=True)
    op.create_index(
        "UQ__embedding_model__default", "embedding_model", ["is_default"], unique=True,
        sqlite_where=_DEFAULT_ONLY, postgresql_where=_DEFAULT_ONLY,
    )  # fmt: skip


def _partition_state() -> None:
    op.create_table(
        "partition_state",
        sa.Column("partition", sa.String(36), nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("PK__partition_state")),
    )
    op.execute("INSERT INTO partition_state (partition, generation) SELECT '', generation FROM index_state")
    op.drop_table("index_state")


def downgrade() -> None:
    _index_state()
    op.drop_table("embedding_model")
    op.execute("DELETE FROM document WHERE file_id IS NOT NULL OR status = 'indexing'")
    op.execute("DELETE FROM chunk WHERE document_id NOT IN (SELECT id FROM document)")
    _embeddings_of_chunks()
    _shared_documents()
    op.drop_table("chat_file")
    op.drop_table("file")


def _index_state() -> None:
    state = op.create_table(
        "index_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("CK__index_state__one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("PK__index_state")),
    )
    op.bulk_insert(state, [{"id": 1, "generation": 0}])
    op.execute(
        "UPDATE index_state SET generation = "
        "COALESCE((SELECT generation + 1 FROM partition_state WHERE partition = ''), 0)"
    )
    op.drop_table("partition_state")


def _embeddings_of_chunks() -> None:
    """Chunks get one model's embedding back; documents without any are read anew, as their recipe says no more."""
    row = '"row"'
    op.add_column("chunk", sa.Column("embedding_model", sa.String(200), nullable=False, server_default=""))
    op.add_column("chunk", sa.Column("embedding", sa.LargeBinary(), nullable=False, server_default=""))
    for column, source in (("embedding_model", "model"), ("embedding", "embedding")):
        op.execute(
            f"UPDATE chunk SET {column} = e.{source} FROM chunk_embedding e "  # noqa: S608  names of ours
            f"WHERE e.chunk_row = chunk.{row} AND e.model = (SELECT MIN(model) FROM chunk_embedding m "
            f"WHERE m.chunk_row = chunk.{row})"
        )
    op.drop_table("chunk_embedding")


def _shared_documents() -> None:
    for index in ("IX__document__shared_name", "IX__document__partition", "IX__document__file_id"):
        op.drop_index(index, "document")
    with op.batch_alter_table("document") as document:
        document.drop_constraint(op.f("FK__document__file"), type_="foreignkey")
        document.drop_constraint(op.f("CK__document__status"), type_="check")
        document.create_check_constraint(op.f("CK__document__status"), "status IN ('ready', 'failed')")
        document.drop_column("pages")
        document.drop_column("partition")
        document.drop_column("file_id")
        document.alter_column("media_type", existing_type=sa.String(200), type_=sa.String(100))
        document.create_unique_constraint(op.f("UQ__document__name"), ["name"])
