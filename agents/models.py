"""The models that may be asked, and the choice among them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agents.ports import Model
from infrastructure.errors import InvalidInput

MAX_NAME = 200
MOST_NAMED = 20  # choices that a refusal names

OpenModel = Callable[[str, str, bool], Model]
"""A provider's model, by their names; `alone`: nothing stands in for it. KeyError: no such provider is configured."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that the operator has named, in the settings."""

    provider: str
    model: str
    default: bool = False

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


class ModelBook:
    """What a request may choose: the offers, or what the operator's patterns allow of the configured providers.

    A pattern is `provider/model`, in which `*` stands for anything; `*` alone is every model of every configured
    provider.
    """

    def __init__(self, default: Model, offers: Sequence[Offer], patterns: Sequence[str], open_model: OpenModel) -> None:
        """`offers` names the default one, and of each provider its own default first."""
        self._default = default
        self._offers = tuple(offers)
        self._patterns = tuple(patterns)
        self._open = open_model

    @property
    def default(self) -> Model:
        """What answers when a request chooses nothing; models that stand in for it are behind it."""
        return self._default

    @property
    def offers(self) -> tuple[Offer, ...]:
        """All models that the operator has named; of each provider its own default first."""
        return self._offers

    def catalogue(self) -> tuple[Offer, ...]:
        """The named models that may be chosen, the default one first. Patterns may allow more: ask `allows`."""
        found = [offer for offer in self._offers if self.allows(offer.provider, offer.model)]
        return tuple(sorted(found, key=lambda offer: not offer.default))

    def allows(self, provider: str, model: str) -> bool:
        """Whether that may be chosen. The default always may."""
        if (provider, model) == (self._default.name, self._default.model):
            return True
        if self._patterns:
            return any(fnmatchcase(f"{provider}/{model}", pattern) for pattern in self._patterns)
        return any((offer.provider, offer.model) == (provider, model) for offer in self._offers)

    def choose(self, provider: str | None = None, model: str | None = None, *, alone: bool = False) -> Model:
        """The model to ask. A provider without a model: its default. A model without a provider: the default
        provider's, else whose it is among the offers, else as `provider/model`. With `alone` nothing stands in for it.

        Raises:
            InvalidInput: it may not be chosen, or there is none; the message says what may.
        """
        chosen = self._place(provider or None, model or None)
        if chosen is None or not chosen[1].isprintable() or len(chosen[1]) > MAX_NAME or not self.allows(*chosen):
            raise InvalidInput(self._refusal())
        if chosen == (self._default.name, self._default.model) and not alone:
            return self._default
        try:
            return self._open(*chosen, alone)
        except KeyError:
            raise InvalidInput(self._refusal()) from None

    def _place(self, provider: str | None, model: str | None) -> tuple[str, str] | None:
        if provider is None and model is None:
            return self._default.name, self._default.model
        if model is None:
            return next(((offer.provider, offer.model) for offer in self._offers if offer.provider == provider), None)
        if provider is not None:
            return provider, model
        return self._place_by_model(model)

    def _place_by_model(self, model: str) -> tuple[str, str] | None:
        if self.allows(self._default.name, model):
            return self._default.name, model
        for offer in self._offers:
            if offer.model == model and self.allows(offer.provider, model):
                return offer.provider, model
        named, slash, rest = model.partition("/")
        return (named, rest) if slash else None

    def _refusal(self) -> str:
        own = str(Offer(self._default.name, self._default.model))
        named = [own, *(self._patterns or (str(offer) for offer in self.catalogue()))]
        choices = list(dict.fromkeys(named))
        more = " and more" if len(choices) > MOST_NAMED else ""
        return f"That model may not be chosen. Choose one of: {', '.join(choices[:MOST_NAMED])}{more}."
