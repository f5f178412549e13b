"""The secrets that this service was given, so that no log line holds one."""

import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, unquote

from pydantic import SecretStr

from backend.mcp_servers import McpSettingsError, configured
from backend.secret_key import BadSecretKey, load_secret_key
from backend.settings import Settings

PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
LEAST_CHARS_OF_ENV = 8  # of an MCP server's variable: shorter ones are switches


def secret_values(settings: Settings) -> set[str]:
    """Keys, tokens and passwords of the settings, of their URLs and of the MCP servers' file; the kept SECRET_KEY.

    Reads small files. What cannot be read is left out: whoever needs it says so.
    """
    found = set(_of_settings(settings))
    with suppress(BadSecretKey, OSError):
        found.add(load_secret_key(settings, warn=False))
    with suppress(McpSettingsError):
        found.update(_of_mcp(settings))
    return found | {quote(secret, safe="") for secret in found}


def _of_settings(settings: Settings) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, str) and "://" in value:
            for password in PASSWORD_IN_URL.findall(value):
                yield from (password, unquote(password))
    if settings.s3_access_key_id is not None:
        yield settings.s3_access_key_id


def _of_mcp(settings: Settings) -> Iterator[str]:
    for server in configured(settings).values():
        for value in server.headers.values():
            yield from (value, value.rpartition(" ")[2])  # `Bearer <key>`: the key by itself, too
        for value in server.env.values():
            if len(value) >= LEAST_CHARS_OF_ENV and "/" not in value:  # paths and addresses are none
                yield value
