"""Requests of the OpenAI-compatible API. What is not named here is ignored, as OpenAI's own clients expect."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from backend.schemas.ask import EXAMPLE_QUESTION
from backend.schemas.text import CleanText, valid_text

MAX_MESSAGES = 2048
MAX_TOOLS = 128  # OpenAI's own bound
MAX_STOPS = 4  # and here
MAX_INPUTS = 256
MAX_INPUT_CHARS = 32_000
MAX_DEPTH = 64  # of a JSON Schema


def plain_text(value: Any) -> Any:
    """A message's content as one text: parts of text are joined by line ends.

    Raises:
        PydanticCustomError: a part is of another type than text.
    """
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if not isinstance(part, Mapping) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise PydanticCustomError("part", "must be text, or a list of parts of type text")
        texts.append(part["text"])
    return "\n".join(texts)


def plain_json(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object that is handed on.

    Raises:
        PydanticCustomError: it is too deep, or has texts that are none.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        for text in (part for part in level if isinstance(part, str)):
            valid_text(text)
        level = [inner for part in level for inner in _inside(part)]
        if not level:
            return value
    raise PydanticCustomError("too_deep", f"must be nested at most {MAX_DEPTH} deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def not_tokens(value: Any) -> Any:
    """
    Raises:
        PydanticCustomError: it is made of token numbers, which only the model that they belong to can read.
    """
    first = value[0] if isinstance(value, list) and value else value
    if isinstance(first, int) or (isinstance(first, list) and first and isinstance(first[0], int)):
        raise PydanticCustomError("tokens", "must be a string or a list of strings; tokens are not taken")
    return one_or_more(value)


MessageText = Annotated[
    CleanText, BeforeValidator(plain_text, json_schema_input_type=str | list[dict[Literal["type", "text"], str]])
]
PlainJson = Annotated[dict[str, Any], AfterValidator(plain_json)]
ModelName = Annotated[CleanText, Field(min_length=1, max_length=256)]
Name = Annotated[CleanText, Field(min_length=1, max_length=256)]
Effort = Annotated[str, Field(pattern=r"^[a-z]{1,16}$", description="A word that the model knows, as `low`.")]
Stops = Annotated[
    list[Annotated[CleanText, Field(min_length=1, max_length=256)]],
    Field(min_length=1, max_length=MAX_STOPS),
    BeforeValidator(one_or_more, json_schema_input_type=str | list[str]),
]
Inputs = Annotated[
    list[Annotated[CleanText, Field(min_length=1, max_length=MAX_INPUT_CHARS)]],
    Field(min_length=1, max_length=MAX_INPUTS),
    BeforeValidator(not_tokens, json_schema_input_type=str | list[str]),
]


class Strict(BaseModel):
    """A number is a number, and not its digits as text."""

    model_config = ConfigDict(strict=True)


class CalledFunction(Strict):
    name: Name
    arguments: CleanText


class ToolCallBody(Strict):
    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(Strict):
    """One turn. `content` is text, or a list of parts of type `text`."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: MessageText | None = None
    tool_calls: Annotated[list[ToolCallBody], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ChatMessage":
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise PydanticCustomError("content", "must have content")
        if self.role == "tool" and self.tool_call_id is None:
            raise PydanticCustomError("tool_call_id", "must have tool_call_id")
        return self


class FunctionBody(Strict):
    name: Name
    description: CleanText | None = None
    parameters: PlainJson = {}
    strict: bool | None = None


class ToolBody(Strict):
    type: Literal["function"]
    function: FunctionBody


class ChosenFunction(Strict):
    name: Name


class ChosenTool(Strict):
    type: Literal["function"]
    function: ChosenFunction


def one_choice(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """
    Raises:
        PydanticCustomError: neither a word nor a named function. It says so once, and not once for each of the two.
    """
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError("tool_choice", "must be none, auto, required or a named function") from None


ToolChoice = Annotated[Literal["none", "auto", "required"] | ChosenTool, WrapValidator(one_choice)]


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: PlainJson | None = None


class StreamOptions(Strict):
    include_usage: bool | None = None


class CompletionRequest(Strict):
    """A conversation to be continued. With `askgraph` the last message is the question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "askgraph", "messages": [{"role": "user", "content": EXAMPLE_QUESTION}]},
                {
                    "model": "askgraph",
                    "messages": [
                        {"role": "system", "content": "Answer in one sentence."},
                        {"role": "user", "content": "What is a health factor?"},
                        {"role": "assistant", "content": "It says how safe a loan is. [1]"},
                        {"role": "user", "content": "And what happens when it is below one?"},
                    ],
                    "stream": True,
                    "stream_options": {"include_usage": True},
                },
            ]
        }
    )

    model: ModelName = Field(description="`askgraph`, or another of `GET /v1/models`.")
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    reasoning_effort: Effort | None = None
    max_tokens: int | None = Field(None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000)
    stop: Stops | None = None
    tools: list[ToolBody] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    n: int | None = Field(None, ge=1, le=1, description="One answer.")
    logprobs: Literal[False] | None = None

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with what it used."""
        return bool(self.stream_options and self.stream_options.include_usage)


class EmbeddingRequest(Strict):
    """Texts to be embedded, each as a passage."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"model": "wordllama-l2-supercat-256", "input": ["A health factor below one", "staking"]}]
        }
    )

    model: ModelName = Field(description="The model that serves now, as `GET /v1/models` names it.")
    input: Inputs = Field(description="A text, or up to 256 of them; each of 1 to 32000 characters.")
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, ge=1, description="Nothing but the model's own.")
