"""The pictures of the guides: the real service with the shipped knowledge and no key, in Chromium.

    python -m tests.browser.screenshots [FOLDER]     FOLDER: docs/images

Takes eight minutes, as the charts of /dashboard need a history.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import CHROMIUM
from tests.browser.person import answered, come
from tests.e2e.service import ROOT, Service, running

IMAGES = ROOT / "docs" / "images"
NAMES = ("chat", "chat-dark", "chat-phone", "dashboard", "dashboard-dark")
MOST_BYTES = 300_000  # of a picture
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 760}, "device_scale_factor": 1.25}
PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 740}, "device_scale_factor": 2, "has_touch": True}
BOARD: dict[str, Any] = {"viewport": {"width": 1280, "height": 1000}, "device_scale_factor": 1.25}
HISTORY_SECONDS = 420
ASKED_BEFORE = ("What is impermanent loss?", "What is a flash loan?")
QUESTION = "What does a health factor below one mean?"
AND_THEN = "How can a borrower avoid being liquidated?"


async def take(folder: Path) -> None:
    """Write every picture of NAMES into `folder`."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with tempfile.TemporaryDirectory() as data:
            async with running(Path(data)) as service:
                await _chats(browser, service, folder)
        with tempfile.TemporaryDirectory() as data:
            async with running(Path(data)) as service:
                await _life(service)
                await _boards(browser, service, folder)
        await browser.close()


async def _chats(browser: Browser, service: Service, folder: Path) -> None:
    context = await browser.new_context(**DESK, color_scheme="light")
    page = await context.new_page()
    await come(page, service.url)
    for question in (*ASKED_BEFORE, QUESTION):
        await page.get_by_role("button", name="New chat").click()
        await answered(page, question)
    await answered(page, AND_THEN)
    await page.mouse.move(0, 0)
    await page.emulate_media(color_scheme="dark")
    await _shoot(page, folder / "chat-dark.png")
    await page.emulate_media(color_scheme="light")
    await page.locator("button.citation").last.click()
    await expect(page.locator("#panel")).not_to_contain_text("Reading…")
    await expect(page.locator("#panel mark")).to_be_in_viewport()
    await _shoot(page, folder / "chat.png")
    await context.close()
    phone = await browser.new_context(**PHONE, color_scheme="light")
    page = await phone.new_page()
    await come(page, service.url)
    await answered(page, QUESTION)
    await _shoot(page, folder / "chat-phone.png")
    await phone.close()


async def _life(service: Service) -> None:
    """Questions for a while, some of them twice, and a few errors: what a dashboard is for."""
    asked = [one["question"] for one in json.loads((ROOT / "tests/data/sample_questions.json").read_text("utf-8"))]
    ends = time.monotonic() + HISTORY_SECONDS
    async with service.client() as client:
        for number in range(10_000):
            if time.monotonic() > ends:
                break
            together = 1 + number // 20 % 3
            await asyncio.gather(*(_ask(client, asked[(number + more) % len(asked)]) for more in range(together)))
            if number % 25 == 10:
                await client.get("/api/v1/chats/00000000-0000-7000-8000-000000000000")
            await asyncio.sleep(1.0)


async def _ask(client: httpx.AsyncClient, question: str) -> None:
    (await client.post("/ask", json={"question": question})).raise_for_status()


async def _boards(browser: Browser, service: Service, folder: Path) -> None:
    for name, scheme in (("dashboard", "light"), ("dashboard-dark", "dark")):
        context = await browser.new_context(**BOARD, color_scheme=scheme)
        page = await context.new_page()
        await page.goto(f"{service.url}/dashboard")
        await expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")
        await _shoot(page, folder / f"{name}.png")
        await context.close()


async def _shoot(page: Page, file: Path) -> None:
    await page.evaluate("document.activeElement?.blur()")
    data = await page.screenshot(path=file, animations="disabled", caret="hide")
    print(f"{file.name}: {len(data) // 1000} KB")
    if len(data) > MOST_BYTES:
        raise SystemExit(f"{file} is too large for a guide")


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES))
