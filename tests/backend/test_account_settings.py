"""The settings of the accounts, and their bounds."""

import pytest
from pydantic import ValidationError

from backend.settings import Settings

NAMES = ("AUTH_REQUIRED", "JWT_ALGORITHM", "JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "JWT_REFRESH_TOKEN_EXPIRE_DAYS",
         "DATABASE_POOL_SIZE")  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_anonymous_callers_are_let_in_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    it = Settings(_env_file=None)
    assert (it.auth_required, it.jwt_algorithm, it.database_pool_size) == (False, "HS256", None)
    assert (it.jwt_access_token_expire_minutes, it.jwt_refresh_token_expire_days) == (30, 30)
    monkeypatch.setenv("AUTH_REQUIRED", "true")
    monkeypatch.setenv("DATABASE_POOL_SIZE", "1")
    it = Settings(_env_file=None)
    assert (it.auth_required, it.database_pool_size) == (True, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_ALGORITHM", "none"), ("JWT_ALGORITHM", "RS256"), ("JWT_ALGORITHM", "hs256"),
        ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "0"), ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "inf"),
        ("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "-1"), ("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "1e9"),
        ("AUTH_REQUIRED", "perhaps"), ("DATABASE_POOL_SIZE", "0"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_refuses_to_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings(_env_file=None)
