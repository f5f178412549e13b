"""What a browser gets: pages that need no other host, under headers that let them do no more than they must."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
LINKS = ("src", "href", "action", "srcset", "data")


async def get(service: Service, path: str, **headers: str) -> httpx.Response:
    async with service.client() as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/nowhere", "/static/page.js"])
async def test_every_answer_has_the_security_headers(path: str, embedded: Service) -> None:
    headers = (await get(embedded, path, Accept="text/html")).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


async def test_the_root_is_a_page_for_browsers_and_json_for_programs(embedded: Service) -> None:
    page = await get(embedded, "/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["content-type"].startswith("text/html")
    for accept in ("application/json", "*/*"):
        body = (await get(embedded, "/", Accept=accept)).json()
        assert set(body) == {"message", "docs", "health"}
        assert (await get(embedded, body["docs"])).status_code == 200


class _Links(HTMLParser):
    """Everything that a page points at, and its inline scripts, which the content policy would not run."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if value and name in LINKS and not value.startswith("#")]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)


@pytest.mark.parametrize("path", ["/", "/dashboard", "/docs"])
async def test_a_page_loads_nothing_from_another_host(path: str, embedded: Service) -> None:
    links = _Links()
    links.feed((await get(embedded, path, Accept="text/html")).text)
    assert links.targets
    for target in links.targets:
        assert re.match(r"/(?!/)", target), target
        file = await get(embedded, target, Accept="*/*")
        assert file.status_code == 200
        if target.endswith(".css"):
            assert not re.search(r"url\(\s*['\"]?(?!data:)(?:https?:)?//|@import", file.text)


async def test_the_api_is_described(embedded: Service) -> None:
    schema = (await get(embedded, "/openapi.json")).json()
    assert schema["openapi"].startswith("3.1")
    described = {"/ask", "/v2/ask", "/ask-stream", "/v2/ask-stream", "/runs/{run_id}/events", "/health", "/ws/schema"}
    assert described <= set(schema["paths"])
    names = [operation["operationId"] for path in schema["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    for ref in re.findall(r"'\$ref': '#/components/schemas/(\w+)'", str(schema)):
        assert ref in schema["components"]["schemas"]
