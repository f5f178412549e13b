"""Which MCP servers there are: a JSON file in the shape that other MCP clients read, with two fields more.

{"mcpServers": {
    "notes": {"command": "notes-server", "args": ["--stdio"], "env": {"NOTES_KEY": "${NOTES_KEY}"},
              "allow": ["find", "write"], "side_effects": ["write"]},
    "weather": {"url": "https://weather.example/mcp", "headers": {"Authorization": "Bearer ${WEATHER_KEY}"},
                "side_effects": false}}}
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

MAX_FILE_BYTES = 256 * 1024
NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
ServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,23}$")]


class McpConfigError(ValueError):
    """The file cannot be used. The message names the place, never a value: headers hold keys."""


class McpServerConfig(BaseModel):
    """One server: a `command` to run, or a `url` to ask.

    `allow` None is all of its tools. `side_effects`: of all of its tools, of none, or those that have some; None is as
    the tools' own annotations say.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    command: str | None = Field(None, min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = Field(None, pattern=r"^https?://\S+$")
    headers: dict[str, str] = {}
    allow: frozenset[str] | None = None
    side_effects: bool | frozenset[str] | None = None
    disabled: bool = False

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> "McpServerConfig":
        if (self.command is None) == (self.url is None):
            raise ValueError("needs either command or url")
        return self

    @field_validator("headers", "env")
    @classmethod
    def _one_line_each(cls, value: dict[str, str]) -> dict[str, str]:
        if any(mark in text for pair in value.items() for text in pair for mark in ("\0", "\r", "\n")):
            raise ValueError("must be single lines")
        return value


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    mcpServers: dict[ServerName, McpServerConfig] = Field(max_length=50)  # as the file spells it


def read_config(path: Path, environment: Mapping[str, str]) -> dict[str, McpServerConfig]:
    """The servers of the file by name, with `${NAME}` in `env`, `headers`, `url` and `args` taken from `environment`.

    Raises:
        McpConfigError: there is no such file, it is not as it should be, or it names a variable that is not set.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise McpConfigError("the file is too large")
        found = _File.model_validate(json.loads(text))
    except OSError as error:
        raise McpConfigError(f"the file cannot be read ({type(error).__name__})") from None
    except ValidationError as error:
        raise McpConfigError("; ".join(_problem(one) for one in error.errors(include_input=False)[:5])) from None
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, McpConfigError) else McpConfigError("the file is no JSON") from None
    return {
        name: _filled(name, server, environment) for name, server in found.mcpServers.items() if not server.disabled
    }


def _problem(error: Mapping[str, object]) -> str:
    place = error["loc"]
    return f"{'.'.join(map(str, place)) if isinstance(place, tuple) else place}: {error['msg']}"


def _filled(name: str, server: McpServerConfig, environment: Mapping[str, str]) -> McpServerConfig:
    def fill(text: str) -> str:
        missing = [one for one in NAMED.findall(text) if one not in environment]
        if missing:
            raise McpConfigError(f"mcpServers.{name}: the variable {missing[0]} is not set")
        return NAMED.sub(lambda match: environment[match[1]], text)

    return server.model_copy(
        update={
            "args": tuple(map(fill, server.args)),
            "env": {key: fill(value) for key, value in server.env.items()},
            "headers": {key: fill(value).strip() for key, value in server.headers.items()},
            "url": server.url and fill(server.url),
        }
    )
