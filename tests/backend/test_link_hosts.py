"""LINK_HOSTS names hosts."""

import pytest
from pydantic import ValidationError

from backend.settings import Settings


def test_hosts_are_read_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_HOSTS", " Docs.Example.com, *.example.org ")
    assert Settings(_env_file=None).link_hosts == ("docs.example.com", "*.example.org")
    monkeypatch.delenv("LINK_HOSTS")
    assert Settings(_env_file=None).link_hosts == ()


@pytest.mark.parametrize("hosts", ["https://docs.example.com", "docs.example.com:80", "a/b", "*.", "a b"])
def test_what_is_no_host_is_refused(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_HOSTS", hosts)
    with pytest.raises(ValidationError, match="must be hosts"):
        Settings(_env_file=None)
