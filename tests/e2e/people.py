"""Users of the running service."""

from uuid import uuid4

from tests.e2e.service import Service


async def signed_in(service: Service) -> dict[str, str]:
    """The headers of a new user."""
    name = f"user{uuid4().hex[:12]}"
    account = {"username": name, "email": f"{name}@example.com", "password": f"pass {uuid4().hex}"}
    async with service.client() as client:
        made = await client.post("/api/v1/auth/register", json=account)
        assert made.status_code == 201, made.text
        login = {name: account[name] for name in ("username", "password")}
        token = (await client.post("/api/v1/auth/login", json=login)).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}
