"""Accounts in the running service: what a client goes through, and what is left on the disk and in the log."""

import asyncio
import stat
from pathlib import Path

from tests.e2e.service import Service, running
from tests.e2e.test_settings_at_start import askgraph

PASSWORD = "canary battery staple"
ADA = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
WAYS = "/api/v1/auth"


async def tokens_of(service: Service) -> dict[str, str]:
    async with service.client() as client:
        response = await client.post(f"{WAYS}/login", json={"username": "ada", "password": PASSWORD})
        assert response.status_code == 200, response.text
        return dict(response.json())


async def test_a_login_outlives_the_process_and_leaves_no_secret_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path, {"ENVIRONMENT": "production"}) as service:
        async with service.client() as client:
            assert (await client.post(f"{WAYS}/register", json=ADA)).status_code == 201
        tokens = await tokens_of(service)
        await service.logged("SECRET_KEY is not set: a key was made, and is kept in the data folder")
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        async with service.client(headers=bearer) as client:
            made = await client.post(f"{WAYS}/api-keys", json={"name": "report"})
            key = made.json()["key"]
            assert (await client.get(f"{WAYS}/me", headers={"Authorization": f"Bearer {key}"})).status_code == 200
    written = "".join(service.raw)
    for secret in (PASSWORD, key, "ada@example.com", *(tokens[name] for name in ("access_token", "refresh_token"))):
        assert secret not in written
    kept = tmp_path / "data" / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    async with running(tmp_path, {"ENVIRONMENT": "production"}) as service, service.client() as client:
        for shown in (tokens["access_token"], key):
            me = await client.get(f"{WAYS}/me", headers={"Authorization": f"Bearer {shown}"})
            assert me.json()["username"] == "ada"
        renewed = await client.post(f"{WAYS}/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert renewed.status_code == 200


async def test_with_sign_in_required_the_ways_to_sign_in_are_open_and_me_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, {"AUTH_REQUIRED": "true", "DATABASE_POOL_SIZE": "1"}) as service:
        async with service.client() as client:
            assert (await client.get(f"{WAYS}/me")).status_code == 401
            assert (await client.post(f"{WAYS}/register", json=ADA | {"is_admin": True})).json()["is_admin"] is False
            form = {"username": "ada", "password": PASSWORD}
            assert (await client.post(f"{WAYS}/token", data=form)).status_code == 200
        grants = await asyncio.gather(*(tokens_of(service) for _ in range(10)))
        async with service.client(headers={"Authorization": f"Bearer {grants[0]['access_token']}"}) as client:
            assert (await client.post(f"{WAYS}/logout")).status_code == 204
            assert (await client.get(f"{WAYS}/me")).status_code == 401


async def test_wrong_logins_are_stopped_whatever_the_headers_say(tmp_path: Path) -> None:
    async with running(tmp_path) as service, service.client() as client:
        statuses = []
        for n in range(50):
            body = {"username": f"user{n}", "password": "wrong password"}
            made_up = {"X-Forwarded-For": f"203.0.113.{n}"}
            statuses.append((await client.post(f"{WAYS}/login", json=body, headers=made_up)).status_code)
        assert set(statuses[:20]) == {401}
        assert set(statuses[25:]) == {429}


async def test_a_key_that_is_too_short_stops_the_start_and_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "secret_key").write_text("short-canary")
    status, out, err = await askgraph(tmp_path, "serve", settings={"DATA_DIR": str(folder), "PORT": "0"})
    assert status != 0
    assert "secret_key must hold 32 characters" in out + err
    assert "short-canary" not in out + err
