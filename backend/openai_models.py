"""The models that OpenAI's clients may name: the agent, the providers' own, and the one that embeds."""

from agents.models import ModelBook, Offer
from agents.ports import Model
from backend.schemas.openai_answers import OpenAIModel
from infrastructure.errors import InvalidInput
from infrastructure.openai_errors import UnknownModel
from services.embeddings import Embeddings
from services.serving_model import WORDS_ONLY

AGENT = "askgraph"
EXTRACTIVE = "extractive"  # it answers from passages, and there are none without the agent


def listed_models(book: ModelBook, embeddings: Embeddings) -> list[OpenAIModel]:
    """The agent first, then the providers' models, then what embeds."""
    chat = [OpenAIModel(id=name, owned_by=offer.provider) for name, offer in bare_names(book).items()]
    embedding = [OpenAIModel(id=embeddings.model, owned_by=AGENT)] if embeds(embeddings) else []
    return [OpenAIModel(id=AGENT, owned_by=AGENT), *chat, *embedding]


def bare_names(book: ModelBook) -> dict[str, Offer]:
    """Providers' models by the names that they are listed under: `provider/model` where the model is also another's."""
    found: dict[str, Offer] = {AGENT: Offer(AGENT, AGENT)}
    for offer in book.catalogue():
        if offer.provider != EXTRACTIVE:
            found[str(offer) if offer.model in found else offer.model] = offer
    del found[AGENT]
    return found


def bare_model(book: ModelBook, name: str) -> Model:
    """The provider's model of that name, for which nothing stands in.

    Raises:
        UnknownModel: there is none that may be chosen.
    """
    offer = bare_names(book).get(name)
    provider, model = (offer.provider, offer.model) if offer else (None, name)
    try:
        found = book.choose(provider, model, alone=True)
    except InvalidInput:
        raise UnknownModel from None
    if found.name == EXTRACTIVE:
        raise UnknownModel
    return found


def find_model(book: ModelBook, embeddings: Embeddings, name: str) -> OpenAIModel:
    """One model, also one that only the operator's patterns name.

    Raises:
        UnknownModel: there is none that may be chosen.
    """
    for model in listed_models(book, embeddings):
        if model.id == name:
            return model
    return OpenAIModel(id=name, owned_by=bare_model(book, name).name)


def embeds(embeddings: Embeddings) -> bool:
    """Whether there is a model that gives vectors: while none is to be had, words alone find."""
    return embeddings.model != WORDS_ONLY
