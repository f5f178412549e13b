"""Terraform itself, on copies in a folder of their own: without a provider, a cloud, or any other host."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.hcl import TERRAFORM
from tests.deploy.installed import machines_own, said

HOW = "install it (1.11 or newer; no package registry that the project uses has it)"
GIVEN: dict[str, Any] = {
    "hcloud_token": "t" * 64,
    "ssh_public_keys": {"ada": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBlank ada@example.org"},
    "admin_ips": ["203.0.113.7/32", "2001:db8:1::/48"],
    "cluster_token": "0123456789abcdef" * 4,
    "acme_email": "ada@example.org",
    "host": "askgraph.example.org",
    "image": "ghcr.io/example/askgraph",
    "image_tag": "0.1.0",
    "storage_url": "s3://uploads/askgraph",
    "secret_key": "0123456789abcdef" * 2,
    "postgres_admin_password": "0123456789abcdef" * 2,
    "postgres_password": "fedcba9876543210" * 2,
    "redis_password": "00112233445566778899aabbccddeeff",
    "s3_access_key_id": "key",
    "s3_secret_access_key": "secret",
}
"""A value that is taken for each variable that has no default."""


@dataclass
class Workspace:
    """A folder with a configuration. The file `terraformrc` beside it may say where providers are."""

    folder: Path

    def run(self, *arguments: str, status: int = 0, given: str = "", more: dict[str, str] | None = None) -> str:
        rc = self.folder / "terraformrc"
        rc.touch()
        own = {
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(rc),
            "TF_IN_AUTOMATION": "1",
            "HOME": str(self.folder),
        }
        kept = {name: os.environ[name] for name in ("PATH",)}
        program = machines_own("terraform", HOW)
        return said(program, *arguments, cwd=self.folder, env=kept | own | (more or {}), status=status, given=given)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")

    def plan(self, values: dict[str, Any], status: int = 0) -> str:
        """With the variables' values in the environment, as secrets are to be given."""
        given = {f"TF_VAR_{key}": each if isinstance(each, str) else json.dumps(each) for key, each in values.items()}
        return self.run("plan", "-input=false", "-no-color", status=status, more=given)

    def outputs(self, source: str) -> dict[str, Any]:
        """The values of the outputs that `source` declares."""
        self.write("outputs.tf", source)
        self.run("init", "-input=false", "-no-color")
        self.run("apply", "-input=false", "-no-color", "-auto-approve")
        found = json.loads(self.run("output", "-json"))
        return {name: each["value"] for name, each in found.items()}


def template(name: str, **values: Any) -> str:
    """An output `text` that fills in a template of a module."""
    return f'output "text" {{\n  value = templatefile("{TERRAFORM / "modules" / name}", {json.dumps(values)})\n}}\n'
