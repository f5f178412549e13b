"""The file that names MCP servers: what it may say, and that what it may not is told without its keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.mcp.config import MAX_FILE_BYTES, McpConfigError, McpServerConfig, read_config

SECRET = "sk-canary-1234567890"


def read(folder: Path, servers: Any, **environment: str) -> dict[str, McpServerConfig]:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return read_config(path, environment)


def test_servers_are_read_with_what_they_take_from_the_environment(tmp_path: Path) -> None:
    servers = read(
        tmp_path,
        {
            "notes": {
                "command": "notes", "args": ["--key", "${KEY}"], "env": {"A": "x${KEY}y"}, "allow": ["find"],
                "side_effects": ["write"], "type": "stdio",
            },
            "far": {"url": "https://h/${KEY}", "headers": {"Authorization": "Bearer ${KEY}"}, "side_effects": False},
            "off": {"command": "x", "env": {"A": "${MISSING}"}, "disabled": True},
        },
        KEY="k1",
    )  # fmt: skip
    assert set(servers) == {"notes", "far"}
    assert servers["notes"] == McpServerConfig(
        command="notes", args=("--key", "k1"), env={"A": "xk1y"}, allow={"find"}, side_effects={"write"}
    )
    assert servers["far"].url == "https://h/k1"
    assert servers["far"].headers == {"Authorization": "Bearer k1"}
    assert servers["far"].side_effects is False


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ({"a": {}}, "either command or url"),
        ({"a": {"command": "x", "url": "http://h"}}, "either command or url"),
        ({"a": {"url": f"ftp://{SECRET}"}}, "url"),
        ({"a b": {"command": SECRET}}, "mcpServers"),
        ({"x" * 30: {"command": SECRET}}, "mcpServers"),
        ({"a": {"command": "x", "headers": {"A": f"{SECRET}\r\nB: c"}}}, "single lines"),
        ({"a": {"command": "x", "env": {"A": f"{SECRET}\0"}}}, "single lines"),
        ({"a": {"command": "x", "env": {"A": 5}}}, "env"),
        ({"a": {"command": "x", "env": {"A": "${GONE}"}}}, "mcpServers.a: the variable GONE is not set"),
        ({"a": {"command": "x", "side_effects": SECRET}}, "side_effects"),
        ({f"s{n}": {"command": "x"} for n in range(51)}, "mcpServers"),
        ([SECRET], "mcpServers"),
        (None, "mcpServers"),
    ],
)
def test_what_makes_no_sense_is_named_and_no_value_is_shown(tmp_path: Path, servers: Any, told: str) -> None:
    with pytest.raises(McpConfigError, match=told) as refused:
        read(tmp_path, servers)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 50_000, b" " * (MAX_FILE_BYTES + 1)])
def test_a_file_that_is_none_is_told_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(content)
    with pytest.raises(McpConfigError):
        read_config(path, {})


def test_a_file_that_is_not_there_is_told_so_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(McpConfigError, match="cannot be read") as refused:
        read_config(tmp_path / "canary.json", {})
    assert "canary" not in str(refused.value)
