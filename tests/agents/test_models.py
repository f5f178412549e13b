"""Which models a request may choose."""

import pytest

from agents.models import ModelBook, Offer
from infrastructure.errors import InvalidInput
from infrastructure.providers.types import Emit, ModelReply, ModelRequest

OFFERS = (
    Offer("openai", "gpt-4o-mini", default=True),
    Offer("ollama", "llama3.2"),
    Offer("ollama", "qwen3:4b"),
    Offer("aihub", "vikhr"),
)


class Named:
    """A model that is nothing but its name."""

    def __init__(self, name: str, model: str, alone: bool = False) -> None:
        self.name = name
        self.model = model
        self.alone = alone

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError


def opened(name: str, model: str, alone: bool) -> Named:
    if name not in ("openai", "ollama", "aihub"):
        raise KeyError(name)
    return Named(name, model, alone)


def book(*patterns: str) -> ModelBook:
    return ModelBook(Named("openai", "gpt-4o-mini"), OFFERS, patterns, opened)


def chosen(book: ModelBook, provider: str | None, model: str | None) -> str:
    found = book.choose(provider, model)
    return f"{found.name}/{found.model}"


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        (None, None, "openai/gpt-4o-mini"),
        ("", "", "openai/gpt-4o-mini"),
        ("openai", None, "openai/gpt-4o-mini"),
        ("ollama", None, "ollama/llama3.2"),
        ("ollama", "qwen3:4b", "ollama/qwen3:4b"),
        (None, "gpt-4o-mini", "openai/gpt-4o-mini"),
        (None, "vikhr", "aihub/vikhr"),
        (None, "ollama/qwen3:4b", "ollama/qwen3:4b"),
    ],
)
def test_what_the_settings_name_may_be_chosen(provider: str | None, model: str | None, found: str) -> None:
    assert chosen(book(), provider, model) == found


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5"), ("ollama", "vikhr"), ("local", None), ("nowhere", None), (None, "gpt-5"),
        (None, "nowhere/x"), ("openai", "gpt-4o-mini\n"), ("extractive", None), (None, "openai/"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_what_may_be_chosen_is_named(provider: str | None, model: str | None) -> None:
    with pytest.raises(InvalidInput) as refused:
        book().choose(provider, model)
    assert refused.value.message == (
        "That model may not be chosen. Choose one of: "
        "openai/gpt-4o-mini, ollama/llama3.2, ollama/qwen3:4b, aihub/vikhr."
    )


@pytest.mark.parametrize(
    ("patterns", "provider", "model", "found"),
    [
        (("ollama/*",), "ollama", "any:7b", "ollama/any:7b"),
        (("openai/gpt-4*",), None, "gpt-4.1", "openai/gpt-4.1"),
        (("*",), "aihub", "anything", "aihub/anything"),
        (("*",), None, "org/model", "openai/org/model"),
        (("ollama/*",), None, None, "openai/gpt-4o-mini"),  # the default always may
        (("ollama/*",), "openai", "gpt-4o-mini", "openai/gpt-4o-mini"),
    ],
)
def test_patterns_allow_more(patterns: tuple[str, ...], provider: str | None, model: str | None, found: str) -> None:
    assert chosen(book(*patterns), provider, model) == found


@pytest.mark.parametrize(
    ("patterns", "provider", "model"),
    [
        (("ollama/*",), "aihub", "vikhr"),
        (("ollama/*",), "openai", "gpt-5"),
        (("*",), "local", "x"),
        (("*",), "ollama", "x" * 201),
        (("*",), "ollama", "x\ny"),
    ],
)
def test_and_no_more_than_they_say(patterns: tuple[str, ...], provider: str, model: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        book(*patterns).choose(provider, model)
    assert refused.value.message == (
        f"That model may not be chosen. Choose one of: openai/gpt-4o-mini, {', '.join(patterns)}."
    )


def test_the_default_is_one_model_for_all_and_alone_it_has_nothing_behind_it() -> None:
    it = book()
    assert it.choose() is it.default is it.choose("openai", "gpt-4o-mini")
    alone = it.choose(alone=True)
    assert isinstance(alone, Named)
    assert alone.alone


def test_the_catalogue_names_what_may_be_chosen_the_default_first() -> None:
    assert book().catalogue() == OFFERS
    assert book("aihub/*").catalogue() == (OFFERS[0], OFFERS[3])
    assert book("*").catalogue() == OFFERS


def test_a_refusal_names_twenty_at_most() -> None:
    offers = [Offer("openai", f"m{n}") for n in range(30)]
    crowded = ModelBook(Named("openai", "m0"), offers, (), opened)
    with pytest.raises(InvalidInput, match=r"openai/m19 and more\.$"):
        crowded.choose("openai", "nothing")
