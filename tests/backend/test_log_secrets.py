"""Everything secret that the settings name is known to the log."""

import json
from pathlib import Path

from backend.log_secrets import secret_values
from backend.settings import Settings


def test_keys_passwords_in_addresses_and_mcp_servers_secrets_are_known(tmp_path: Path) -> None:
    servers = {
        "a": {"url": "https://host/mcp", "headers": {"Authorization": "Token of-header"}},
        "b": {"command": "x", "env": {"KEY": "of-variable", "MODE": "on", "HOME": "/home/somebody"}},
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    settings = Settings(
        _env_file=None, data_dir=tmp_path, mcp_config=tmp_path / "mcp.json", openai_api_key="of-openai",
        operations_token="of-operations", s3_access_key_id="of-s3", s3_secret_access_key="of-s3-too",
        DATABASE_URL="postgresql://ada:of%40database@host/askgraph",
    )  # type: ignore[call-arg]  # fmt: skip
    found = secret_values(settings)
    assert {"of-openai", "of-operations", "of-s3", "of-s3-too", "of@database", "of%40database", "of-variable",
            "Token of-header", "of-header"} <= found  # fmt: skip
    assert (tmp_path / "secret_key").read_text().strip() in found
    assert not {"on", "/home/somebody", "ada", "https://host/mcp"} & found


def test_files_that_cannot_be_read_are_somebody_elses_to_tell(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short")
    settings = Settings(_env_file=None, data_dir=tmp_path, mcp_config=tmp_path / "none.json")  # type: ignore[call-arg]
    assert secret_values(settings) == set()
