"""Every setting, its type and its default: from the environment, else `.env`, else here.

`environment_template.txt` lists them for people. Older names are accepted as aliases; the first name given here wins.
"""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.model_settings import ModelSettings
from backend.setting_values import HTTP_URL, Csv, also, an_address, split_csv
from backend.worker_settings import WorkerSettings
from infrastructure.errors import InvalidInput
from services.embedding_specs import WORDLLAMA, ModelSpec, parse_spec
from services.link_policy import HOST

LOCAL_ORIGINS = ("http://localhost:3000", "http://127.0.0.1:3000")
DATABASE_URL = re.compile(r"(sqlite|postgres(ql)?)(\+\w+)?://")
BUCKET_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[a-z0-9-]+)*/?")
EXAMPLE_SECRETS = {"change-me", "changeme", "secret", "your-secret-key", "please-change-this-secret-key-in-production"}


class KnowledgeSettings(BaseSettings):
    """What is known, and how it is found."""

    knowledge_dir: Path = Field(Path("knowledge"), validation_alias=also("KNOWLEDGE_DIR", "KNOWLEDGE_BASE_PATH"))
    chunk_size: int = Field(1200, ge=200, le=20_000)
    chunk_overlap: int = Field(150, ge=0)
    search_backend: Literal["embedded", "postgres"] = "embedded"
    agent_similarity_threshold: float = Field(0.7, ge=0, le=1)
    agent_max_results: int = Field(6, ge=1, le=50)
    cache_enabled: bool = True
    cache_dir: Path = Path("cache")
    cache_max_size: int = Field(512 * 1024 * 1024, ge=0)
    cache_expiry_days: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _overlap_is_smaller(self) -> "KnowledgeSettings":
        if self.chunk_overlap >= self.chunk_size:
            raise ValueError("CHUNK_OVERLAP must be smaller than CHUNK_SIZE")
        return self


class EmbeddingSettings(BaseSettings):
    """What embeds, and what reranks."""

    agent_embedding_model: str | None = None
    embeddings_base_url: str | None = Field(None, validation_alias=also("EMBEDDINGS_BASE_URL", "EMBEDDINGS_BASEURL"))
    embeddings_api_key: SecretStr | None = None
    ollama_embed_model: str = "nomic-embed-text"
    reranker: str = "none"
    reranker_base_url: str | None = None
    reranker_model: str | None = None
    reranker_api_key: SecretStr | None = None

    @property
    def embedding_spec(self) -> ModelSpec:
        """The embedding model; the default one where none is set."""
        return parse_spec(self.agent_embedding_model or WORDLLAMA, ollama_model=self.ollama_embed_model)

    @field_validator("agent_embedding_model")
    @classmethod
    def _a_model(cls, value: str | None) -> str | None:
        try:
            parse_spec(value or WORDLLAMA, ollama_model="any")
        except InvalidInput as fault:
            raise ValueError(fault.message) from None
        return value

    @field_validator("embeddings_base_url", "reranker_base_url")
    @classmethod
    def _addresses_of_models(cls, value: str | None) -> str | None:
        return an_address(value)

    @field_validator("reranker")
    @classmethod
    def _a_reranker(cls, value: str) -> str:
        kind, _, model = value.strip().partition(":")
        if (kind in ("none", "http") and not model) or (kind == "fastembed" and model):
            return value.strip()
        raise ValueError("must be none, http or fastembed:<model>")

    @model_validator(mode="after")
    def _a_reranker_that_can_be_asked(self) -> "EmbeddingSettings":
        if self.reranker == "http" and not (self.reranker_base_url and self.reranker_model):
            raise ValueError("RERANKER=http needs RERANKER_BASE_URL and RERANKER_MODEL")
        return self


class FileSettings(BaseSettings):
    """What may be uploaded, and where it is kept."""

    max_filesize_mb: int = Field(50, ge=1, le=10_000)
    user_file_quota_mb: int = Field(1024, ge=1)
    storage_url: str | None = None
    s3_endpoint_url: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None

    @field_validator("storage_url")
    @classmethod
    def _a_bucket(cls, value: str | None) -> str | None:
        if value is not None and not BUCKET_URL.fullmatch(value):
            raise ValueError("must be s3://bucket or s3://bucket/prefix; unset, files are kept in DATA_DIR")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _a_server(cls, value: str | None) -> str | None:
        if value is not None and not HTTP_URL.match(value):
            raise ValueError("must be http(s)://host[:port]")
        return value

    @model_validator(mode="after")
    def _both_keys_or_none(self) -> "FileSettings":
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY go together")
        return self


class AgentSettings(BaseSettings):
    """How a question is worked on, and what a conversation keeps."""

    question_max_chars: int = Field(2000, ge=3, le=30_000)
    max_tool_iterations: int = Field(5, ge=0, le=50)
    tool_seconds: float = Field(20.0, gt=0)
    approval_seconds: float = Field(600.0, gt=0)
    mcp_config: Path | None = None
    link_hosts: Csv = ()
    run_max_seconds: float = Field(180.0, gt=0)
    run_max_tokens: int = Field(100_000, ge=1)
    run_log_seconds: float = Field(900.0, gt=0)
    run_log_max_bytes: int = Field(4 * 1024 * 1024, ge=4096)
    max_active_runs: int = Field(1000, ge=1)
    tokens_per_user_per_day: int | None = Field(None, ge=0)
    agent_cache_enabled: bool = False
    agent_cache_seconds: float = Field(3600.0, gt=0)
    max_session_history: int = Field(50, ge=0, validation_alias=also("MAX_SESSION_HISTORY"))
    history_max_tokens: int = Field(2000, ge=0)
    full_file_max_tokens: int = Field(12_000, ge=100)
    max_sessions: int = Field(10_000, ge=1)
    session_concurrency: Literal["queue", "reject", "interrupt"] = "queue"
    session_ttl_days: float = Field(30.0, gt=0)
    cleanup_interval_seconds: float = Field(600.0, gt=0)

    @field_validator("link_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return split_csv(value.lower() if isinstance(value, str) else value)

    @field_validator("link_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(HOST.fullmatch(host) for host in value):
            raise ValueError(
                "must be hosts, as in docs.example.com or *.example.com, without scheme, port or path; or *"
            )
        return value


class AccountSettings(BaseSettings):
    """Who must sign in, and for how long that is good."""

    auth_required: bool = False
    secret_key: SecretStr | None = Field(None, validation_alias=also("SECRET_KEY", "JWT_SECRET_KEY"))
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    jwt_access_token_expire_minutes: float = Field(30.0, gt=0, le=525_600)
    jwt_refresh_token_expire_days: float = Field(30.0, gt=0, le=3650)


class EdgeSettings(BaseSettings):
    """Who may connect, how often, and how the process lives."""

    environment: Literal["development", "test", "production"] = "development"
    debug: bool = False
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    reload: bool = False
    use_https: bool = False
    allowed_origins: Csv = LOCAL_ORIGINS
    trusted_proxies: Csv = ()
    operations_token: SecretStr | None = None
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    rate_limit_requests_per_minute: int = Field(200, ge=1)
    rate_limit_window_seconds: int = Field(60, ge=1)
    ws_max_connections_per_address: int = Field(100, ge=1)
    ws_heartbeat_seconds: float = Field(30.0, gt=0)
    ws_send_timeout_seconds: float = Field(10.0, gt=0)
    sse_comment_seconds: float = Field(15.0, gt=0)
    shutdown_grace_seconds: float = Field(20.0, ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] | None = None
    log_dir: Path | None = None
    enable_json_logs: bool | None = None
    enable_console_logs: bool | None = None

    @field_validator("allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_csv(value)

    @field_validator("allowed_origins")
    @classmethod
    def _as_browsers_send_them(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin.rstrip("/").lower() for origin in value)

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in value:
            try:
                ip_network(proxy, strict=False)
            except ValueError:  # its message repeats the value
                raise ValueError("must be addresses or networks, as in 10.0.0.0/8") from None
        return value


class TracingSettings(BaseSettings):
    """Where traces of runs go, besides what OpenTelemetry's own variables say."""

    langfuse_public_key: SecretStr | None = None
    langfuse_secret_key: SecretStr | None = None
    langfuse_host: str = "https://cloud.langfuse.com"

    @field_validator("langfuse_host")
    @classmethod
    def _address_of_langfuse(cls, value: str) -> str:
        return an_address(value) or value

    @model_validator(mode="after")
    def _both_keys_of_langfuse(self) -> "TracingSettings":
        if (self.langfuse_public_key is None) != (self.langfuse_secret_key is None):
            raise ValueError("LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY go together")
        return self


class Settings(
    ModelSettings, KnowledgeSettings, EmbeddingSettings, FileSettings, AgentSettings, AccountSettings, EdgeSettings,
    WorkerSettings, TracingSettings,
):  # fmt: skip
    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        protected_namespaces=(),
        hide_input_in_errors=True,
        allow_inf_nan=False,
        frozen=True,
    )

    data_dir: Path = Path("data")
    database_url_setting: str | None = Field(None, validation_alias=also("DATABASE_URL", "ALEMBIC_DATABASE_URL"))
    database_pool_size: int | None = Field(None, ge=1, le=1000)

    @field_validator("database_url_setting")
    @classmethod
    def _a_database_that_is_known(cls, value: str | None) -> str | None:
        if value is not None and not DATABASE_URL.match(value):
            raise ValueError("must be sqlite:///path or postgresql://user:password@host/name")
        return value

    @property
    def database_url(self) -> str:
        return self.database_url_setting or f"sqlite:///{(self.data_dir / 'askgraph.db').as_posix()}"

    @property
    def log_style(self) -> Literal["json", "console"] | None:
        """How log lines look; None: as the terminal decides. The two older switches count where LOG_FORMAT is unset."""
        if self.log_format is not None:
            return self.log_format
        if self.enable_json_logs:
            return "json"
        return "console" if self.enable_console_logs else None

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @model_validator(mode="after")
    def _one_way_in_for_each_endpoint(self) -> "Settings":
        openai = self.openai_api_key
        for name, url, key in (
            ("OPENAI_BASE_URL", self.openai_base_url, openai or self.embeddings_api_key),
            ("AIHUB_URL", self.aihub_url, self.aihub_client_id),
            ("EMBEDDINGS_BASE_URL", self.embeddings_base_url, self.embeddings_api_key or openai),
            ("RERANKER_BASE_URL", self.reranker_base_url, self.reranker_api_key),
        ):
            if url and key and "@" in urlsplit(url).netloc:
                raise ValueError(f"{name} holds a user name, and there is a key: an endpoint takes one of them")
        return self

    @model_validator(mode="after")
    def _what_many_workers_need(self) -> "Settings":
        if self.web_concurrency > 1 and (self.redis_url is None or not self.database_url.startswith("postgres")):
            raise ValueError("WEB_CONCURRENCY over 1 needs a PostgreSQL DATABASE_URL and a REDIS_URL")
        return self

    @model_validator(mode="after")
    def _a_database_that_can_search(self) -> "Settings":
        if self.search_backend == "postgres" and not self.database_url.startswith("postgres"):
            raise ValueError("SEARCH_BACKEND=postgres needs a PostgreSQL DATABASE_URL")
        return self

    @model_validator(mode="after")
    def _a_secret_worth_the_name(self) -> "Settings":
        key = self.secret_key.get_secret_value() if self.secret_key else None
        if self.production and key is not None and (len(key) < 32 or key.lower() in EXAMPLE_SECRETS):
            raise ValueError("SECRET_KEY must be at least 32 characters and not a template's example")
        return self
