"""A real Chromium at the real service. `page` fails the test on a request off the host, on a console error and on
anything that the content policy had to stop.

Tests here run in their module's loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
"""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Request, async_playwright

from tests.e2e.conftest import far_end, scripted, shared

__all__ = ["Watch", "far_end", "scripted", "shared"]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 10_000
HOSTS = ("127.0.0.1", "localhost")
NewPage = Callable[..., AbstractAsyncContextManager[Page]]
POLICY_WATCH = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


class Watch:
    """What a page may not do. `allowed` are parts of console messages that a test expects."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.allowed: list[str] = []

    def follow(self, page: Page) -> None:
        page.on("console", lambda message: self._said(message.type, f"{message.text} ({message.location.get('url')})"))
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", self._asked)

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and not any(part in text for part in self.allowed):
            self.faults.append(f"console: {text}")

    def _asked(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.hostname not in HOSTS:
            self.faults.append(f"asked another host: {request.url}")

    async def settle(self, page: Page) -> None:
        if not page.is_closed():
            self.faults += [f"policy: {one}" for one in await page.evaluate("window.violations ?? []")]
        assert not self.faults, self.faults


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def new_page(browser: Browser, watch: Watch) -> NewPage:
    """Open a page in a context of its own; options are a context's."""

    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Page]:
        context: BrowserContext = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(POLICY_WATCH)
        context.on("page", watch.follow)
        page = await context.new_page()
        try:
            yield page
            await watch.settle(page)
        finally:
            await context.close()

    return opened


@pytest_asyncio.fixture(loop_scope="module")
async def page(new_page: NewPage) -> AsyncIterator[Page]:
    async with new_page() as opened:
        yield opened
