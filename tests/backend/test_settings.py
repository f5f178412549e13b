"""Settings: from the environment, else `.env`, else the defaults; what makes no sense refuses to start."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend.settings import LOCAL_ORIGINS, Settings, split_csv

SECRET = "s" * 32
AIHUB = {
    "AIHUB_URL": "http://127.0.0.1:1/v1",
    "AIHUB_KEYCLOAK_HOST": "http://127.0.0.1:1/realms/hub",
    "AIHUB_CLIENT_ID": "askgraph",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing set, and no `.env` but one that the test writes."""
    for name in list(os.environ):
        if name not in ("PATH", "HOME") and not name.startswith(("PYTEST", "COV", "COVERAGE")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_with_nothing_set_it_answers_from_its_knowledge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Settings()
    assert it.provider == "extractive"
    assert it.model_fallbacks == ("extractive",)
    assert (it.host, it.port, it.environment, it.production) == ("127.0.0.1", 8000, "development", False)
    assert it.allowed_origins == LOCAL_ORIGINS
    assert it.trusted_proxies == ()
    assert it.database_url == "sqlite:///data/askgraph.db"
    assert (it.question_max_chars, it.session_concurrency) == (2000, "queue")
    assert (it.rate_limit_requests_per_minute, it.rate_limit_window_seconds) == (200, 60)
    assert it.log_style is None
    assert (it.chat_model, it.providers) == ("extractive", ())
    assert settings(monkeypatch, OPENAI_API_KEY="k").chat_model == "gpt-4o-mini"


OLDER_NAMES = [
    ("LITELLM_API_KEY", "OPENAI_API_KEY", "openai_api_key"),
    ("LITELLM_API_BASE", "OPENAI_BASE_URL", "openai_base_url"),
    ("LITELLM_MODEL", "OPENAI_MODEL", "openai_model"),
    ("JWT_SECRET_KEY", "SECRET_KEY", "secret_key"),
    ("KNOWLEDGE_BASE_PATH", "KNOWLEDGE_DIR", "knowledge_dir"),
    ("ALEMBIC_DATABASE_URL", "DATABASE_URL", "database_url"),
    ("EMBEDDINGS_BASEURL", "EMBEDDINGS_BASE_URL", "embeddings_base_url"),
]
SCHEMES = {"OPENAI_BASE_URL": "http://", "EMBEDDINGS_BASE_URL": "http://", "DATABASE_URL": "sqlite:///"}


def plain(value: Any) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


@pytest.mark.parametrize(("older", "name", "field"), OLDER_NAMES)
def test_an_older_name_is_taken_and_the_newer_one_wins(
    monkeypatch: pytest.MonkeyPatch, older: str, name: str, field: str
) -> None:
    first, second = (f"{SCHEMES.get(name, '')}{word}" for word in ("older", "newer"))
    assert plain(getattr(settings(monkeypatch, **{older: first}), field)) == first
    assert plain(getattr(settings(monkeypatch, **{name: second}), field)) == second


def test_the_environment_wins_over_the_file_and_an_empty_value_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nHOST=0.0.0.0\nOPENAI_MODEL=from-file\nUNKNOWN_THING=x\n")
    it = settings(monkeypatch, PORT="9002", HOST="", OPENAI_API_KEY="")
    assert (it.port, it.openai_model, it.openai_api_key) == (9002, "from-file", None)


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({"OPENAI_API_KEY": "k"}, "openai"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "openai"),
        ({"OPENAI_API_KEY": "k", "MODEL_PROVIDER": "extractive"}, "extractive"),
        ({"MODEL_PROVIDER": "langchain"}, "langchain"),
        ({"DEFAULT_MODEL_SOURCE": "openai"}, "openai"),
        ({"DEFAULT_MODEL_SOURCE": "ollama"}, "ollama"),
        ({"OLLAMA_CHAT_MODEL": "llama3.2"}, "ollama"),
        ({"LOCAL_MODEL_URL": "http://127.0.0.1:1/v1", "OLLAMA_CHAT_MODEL": "llama3.2"}, "local"),
        ({"MODEL_PROVIDER": "local"}, "local"),
        ({**AIHUB, "LOCAL_MODEL_URL": "http://127.0.0.1:1/v1"}, "aihub"),
        ({**AIHUB, "OPENAI_API_KEY": "k"}, "openai"),
    ],
)
def test_which_provider_it_comes_to(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], provider: str
) -> None:
    assert settings(monkeypatch, **environment).provider == provider


def test_the_agents_own_model_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, OPENAI_API_KEY="k", OPENAI_MODEL="a").chat_model == "a"
    assert settings(monkeypatch, AGENT_LLM_MODEL="b").chat_model == "b"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    it = settings(
        monkeypatch, ALLOWED_ORIGINS=" https://A.example/, https://b.example ,,", TRUSTED_PROXIES="10.0.0.0/8, ::1"
    )
    assert it.allowed_origins == ("https://a.example", "https://b.example")
    assert it.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings(monkeypatch, ALLOWED_ORIGINS="*").allowed_origins == ("*",)
    assert split_csv(("as", "it", "is")) == ("as", "it", "is")


def test_fallbacks_can_be_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, MODEL_FALLBACKS="none").model_fallbacks == ()
    assert settings(monkeypatch, MODEL_FALLBACKS="extractive").model_fallbacks == ("extractive",)


def test_fallbacks_name_providers_and_their_models_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    it = settings(monkeypatch, OPENAI_API_KEY="k", MODEL_FALLBACKS="ollama/llama3, local, openai/org/m ,extractive")
    assert it.fallback_models == (("ollama", "llama3"), ("local", "local"), ("openai", "org/m"))
    assert it.providers == ("openai", "ollama", "local")


def test_choices_name_providers_that_are_there_then(monkeypatch: pytest.MonkeyPatch) -> None:
    it = settings(monkeypatch, MODEL_CHOICES="ollama/llama3,openai/gpt-*")
    assert (it.provider, it.providers, it.named_models) == ("extractive", ("ollama",), (("ollama", "llama3"),))
    assert settings(monkeypatch, MODEL_CHOICES="*").providers == ()


@pytest.mark.parametrize(
    ("environment", "model"),
    [
        ({"MODEL_PROVIDER": "ollama"}, "llama3.2"),
        ({"MODEL_PROVIDER": "ollama", "OLLAMA_CHAT_MODEL": "qwen3:4b"}, "qwen3:4b"),
        ({"MODEL_PROVIDER": "ollama", "AGENT_LLM_MODEL": "phi4", "OLLAMA_CHAT_MODEL": "qwen3:4b"}, "phi4"),
        ({"MODEL_PROVIDER": "local"}, "local"),
        ({"MODEL_PROVIDER": "local", "LOCAL_MODEL": "smol"}, "smol"),
        ({**AIHUB, "AIHUB_MODEL": "vikhr"}, "vikhr"),
        ({**AIHUB}, "gpt-4o-mini"),
    ],
)
def test_each_provider_has_a_model_of_its_own(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], model: str
) -> None:
    assert settings(monkeypatch, **environment).chat_model == model


@pytest.mark.parametrize(
    ("environment", "style"),
    [
        ({"ENABLE_JSON_LOGS": "true"}, "json"),
        ({"ENABLE_CONSOLE_LOGS": "true"}, "console"),
        ({"ENABLE_JSON_LOGS": "true", "ENABLE_CONSOLE_LOGS": "true"}, "json"),
        ({"ENABLE_JSON_LOGS": "true", "LOG_FORMAT": "console"}, "console"),
        ({"ENABLE_JSON_LOGS": "false"}, None),
    ],
)
def test_older_switches_of_logging_count_where_the_format_is_unset(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], style: str | None
) -> None:
    assert settings(monkeypatch, **environment).log_style == style


def test_the_database_is_in_the_data_folder_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, DATA_DIR="/srv/data").database_url == "sqlite:////srv/data/askgraph.db"
    assert settings(monkeypatch, DATABASE_URL="postgresql://h/db").database_url == "postgresql://h/db"


@pytest.mark.parametrize(
    "environment",
    [
        {"PORT": "70000"},
        {"PORT": "canary"},
        {"MODEL_PROVIDER": "canary"},
        {"MODEL_FALLBACKS": "extractive,canary"},
        {"MODEL_FALLBACKS": "extractive,ollama"},
        {"MODEL_FALLBACKS": "none,ollama"},
        {"MODEL_CHOICES": "canary/*"},
        {"MODEL_PROVIDER": "aihub"},
        {"MODEL_FALLBACKS": "aihub"},
        {"OLLAMA_BASE_URL": "canary"},
        {"LOCAL_MODEL_URL": "canary"},
        {"CIRCUIT_OPEN_SECONDS": "0"},
        {"PROVIDER_MAX_CONCURRENT": "0"},
        {"CHUNK_SIZE": "200", "CHUNK_OVERLAP": "200"},
        {"QUESTION_MAX_CHARS": "2"},
        {"SESSION_CONCURRENCY": "canary"},
        {"TRUSTED_PROXIES": "canary"},
        {"RATE_LIMIT_REQUESTS_PER_MINUTE": "0"},
        {"LOG_LEVEL": "canary"},
    ],
)
def test_what_makes_no_sense_refuses_to_start(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **environment)


@pytest.mark.parametrize("key", ["short", "x" * 31, "please-change-this-secret-key-in-production", "CHANGE-ME"])
def test_in_production_a_weak_secret_refuses_to_start_without_being_told(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(ValidationError, match="SECRET_KEY must be at least 32") as refused:
        settings(monkeypatch, ENVIRONMENT="production", SECRET_KEY=key)
    assert key not in str(refused.value)
    assert settings(monkeypatch, ENVIRONMENT="development", SECRET_KEY=key).secret_key


def test_in_production_a_sound_secret_or_none_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, ENVIRONMENT="production").production
    assert settings(monkeypatch, ENVIRONMENT="production", SECRET_KEY=SECRET).production


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    it = settings(monkeypatch, SECRET_KEY=SECRET, OPENAI_API_KEY="sk-canary", OPERATIONS_TOKEN="canary")
    assert SECRET not in repr(it)
    assert "canary" not in repr(it)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1
