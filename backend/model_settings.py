"""The settings of the models that answer."""

import re
from collections.abc import Iterable
from typing import Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from backend.setting_values import Csv, also, an_address, split_csv

Provider = Literal["openai", "ollama", "aihub", "local", "langchain", "extractive"]
CHAT_PROVIDERS: Final[tuple[Provider, ...]] = ("openai", "ollama", "aihub", "local", "langchain")
EXTRACTIVE: Final = "extractive"
OPENAI_CHAT_MODEL: Final = "gpt-4o-mini"
OLLAMA_URL: Final = "http://127.0.0.1:11434"
OLLAMA_CHAT_MODEL: Final = "llama3.2"
PRICE: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
LOCAL_URL: Final = "http://127.0.0.1:8080/v1"  # where llama.cpp's server listens if it is not told otherwise


class ModelSettings(BaseSettings):
    """Which model answers, what stands in for it, what may be chosen, and how long it may take."""

    model_provider: Literal["auto", "openai", "ollama", "aihub", "local", "langchain", "extractive"] = Field(
        "auto", validation_alias=also("MODEL_PROVIDER", "DEFAULT_MODEL_SOURCE")
    )
    openai_api_key: SecretStr | None = Field(None, validation_alias=also("OPENAI_API_KEY", "LITELLM_API_KEY"))
    openai_base_url: str | None = Field(None, validation_alias=also("OPENAI_BASE_URL", "LITELLM_API_BASE"))
    openai_model: str | None = Field(None, validation_alias=also("OPENAI_MODEL", "LITELLM_MODEL"))
    agent_llm_model: str | None = None
    ollama_base_url: str = OLLAMA_URL
    ollama_chat_model: str | None = None
    aihub_url: str | None = None
    aihub_keycloak_host: str | None = None
    aihub_username: str | None = None
    aihub_password: SecretStr | None = None
    aihub_client_id: str | None = None
    aihub_client_secret: SecretStr | None = None
    aihub_verify_ssl: bool = True
    aihub_model: str | None = None
    local_model_url: str | None = None
    local_model: str | None = None
    langchain_model_class: str = "langchain_openai:ChatOpenAI"
    model_fallbacks: Csv = ("extractive",)
    model_choices: Csv = ()
    provider_max_retries: int = Field(2, ge=0, le=10)
    provider_max_concurrent: int = Field(512, ge=1)
    circuit_open_seconds: float = Field(30.0, gt=0)
    provider_connect_timeout_seconds: float = Field(5.0, gt=0)
    provider_first_byte_timeout_seconds: float = Field(30.0, gt=0)
    provider_idle_timeout_seconds: float = Field(20.0, gt=0)
    provider_total_timeout_seconds: float = Field(120.0, gt=0)
    max_answer_tokens: int | None = Field(None, ge=1)
    model_prices: Csv = ()

    @property
    def provider(self) -> Provider:
        """What `auto` comes to: the first that is configured, else the knowledge by itself."""
        if self.model_provider != "auto":
            return self.model_provider
        if self.openai_api_key or self.openai_base_url:
            return "openai"
        if self.aihub_url:
            return "aihub"
        if self.local_model_url:
            return "local"
        return "ollama" if self.ollama_chat_model else "extractive"

    @property
    def chat_model(self) -> str:
        """The model that answers."""
        return self.model_of(self.provider)

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Those that are configured: they have an address or a key, or are named. `extractive` always is."""
        there = {self.provider, *(name for name, _ in self.named_models)}
        if self.openai_api_key or self.openai_base_url:
            there.add("openai")
        if self.aihub_url:
            there.add("aihub")
        if self.local_model_url:
            there.add("local")
        if self.ollama_chat_model or self.ollama_base_url != OLLAMA_URL:
            there.add("ollama")
        return tuple(name for name in CHAT_PROVIDERS if name in there)

    @property
    def fallback_models(self) -> tuple[tuple[Provider, str], ...]:
        """The providers and models that stand in, in order, without `extractive`."""
        return tuple(self._named(entry) for entry in self.model_fallbacks if entry != EXTRACTIVE)

    @property
    def named_models(self) -> tuple[tuple[Provider, str], ...]:
        """Those that the fallbacks name, and the choices without a `*`."""
        choices = (entry for entry in self.model_choices if entry != "*" and not entry.endswith("/*"))
        plain = (entry for entry in choices if "*" not in entry and entry.partition("/")[0] in CHAT_PROVIDERS)
        return (*self.fallback_models, *(self._named(entry) for entry in plain))

    @property
    def prices(self) -> dict[str, tuple[float, float]]:
        """What models cost, by `model` or `provider/model`: dollars for a million tokens of prompt, and of answer."""
        return dict(_price(entry) for entry in self.model_prices)

    def model_of(self, provider: str) -> str:
        """A provider's own default model. AGENT_LLM_MODEL goes first for the provider that answers."""
        if self.agent_llm_model and provider == self.provider != EXTRACTIVE:
            return self.agent_llm_model
        openai = self.openai_model or OPENAI_CHAT_MODEL
        return {
            "ollama": self.ollama_chat_model or OLLAMA_CHAT_MODEL,
            "aihub": self.aihub_model or openai,
            "local": self.local_model or "local",
            EXTRACTIVE: EXTRACTIVE,
        }.get(provider, openai)

    def _named(self, entry: str) -> tuple[Provider, str]:
        name, _, model = entry.partition("/")
        found = next(provider for provider in CHAT_PROVIDERS if provider == name)
        return found, model or self.model_of(name)

    @field_validator("openai_base_url", "ollama_base_url", "aihub_url", "aihub_keycloak_host", "local_model_url")
    @classmethod
    def _model_addresses(cls, value: str | None) -> str | None:
        return an_address(value)

    @field_validator("model_fallbacks", "model_choices", mode="before")
    @classmethod
    def _split_models(cls, value: object) -> object:
        names = split_csv(value)
        return () if names == ("none",) else names

    @field_validator("model_prices", mode="before")
    @classmethod
    def _split_prices(cls, value: object) -> object:
        return split_csv(value)

    @field_validator("model_prices")
    @classmethod
    def _prices_are_numbers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            _price(entry)
        return value

    @field_validator("model_fallbacks")
    @classmethod
    def _known_fallbacks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if EXTRACTIVE in value[:-1]:
            raise ValueError("extractive never fails: nothing can stand behind it")
        _check_providers(entry for entry in value if entry != EXTRACTIVE)
        return value

    @field_validator("model_choices")
    @classmethod
    def _known_choices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _check_providers(entry for entry in value if entry not in ("*", "extractive/extractive"))
        return value

    @model_validator(mode="after")
    def _aihub_can_be_asked(self) -> "ModelSettings":
        if "aihub" in self.providers and not (self.aihub_url and self.aihub_keycloak_host and self.aihub_client_id):
            raise ValueError("aihub needs AIHUB_URL, AIHUB_KEYCLOAK_HOST and AIHUB_CLIENT_ID")
        return self


def _price(entry: str) -> tuple[str, tuple[float, float]]:
    """`gpt-4o-mini=0.15/0.60` → the name, and what it costs.

    Raises:
        ValueError: it is not of that form.
    """
    name, _, price = entry.rpartition("=")
    prompt, _, answer = price.partition("/")
    if not (name.strip() and PRICE.fullmatch(prompt.strip()) and PRICE.fullmatch(answer.strip())):
        raise ValueError("must be model=prompt/answer, as in gpt-4o-mini=0.15/0.60: dollars for a million tokens")
    return name.strip(), (float(prompt), float(answer))


def _check_providers(entries: Iterable[str]) -> None:
    if any(entry.partition("/")[0] not in CHAT_PROVIDERS for entry in entries):
        raise ValueError(f"unknown provider; known: {', '.join(CHAT_PROVIDERS)}, {EXTRACTIVE}, none")
