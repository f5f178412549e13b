"""A server at which nobody may ask before they sign in."""

from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Watch
from tests.browser.person import answered, connected, words
from tests.e2e.service import Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"AUTH_REQUIRED": "true", "JWT_ACCESS_TOKEN_EXPIRE_MINUTES": "1.05"}
PASSWORD = "correct horse battery staple"


async def test_the_door_opens_with_a_sign_up(page: Page, shared: Service, scripted: ModelServer, watch: Watch) -> None:
    """The token here is good for 63 seconds, so it is renewed while the page is open, three seconds after it came."""
    scripted.tokens(["Welcome."])
    await page.goto(shared.url)
    dialog = page.get_by_role("dialog", name="Sign in")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_visible()
    assert await violations(page) == []
    await dialog.get_by_role("button", name="I have no account").click()
    name = f"u{uuid4().hex[:10]}"
    dialog = page.get_by_role("dialog", name="Sign up")
    await dialog.get_by_label("User name").fill(name)
    await dialog.get_by_label("Email").fill(f"{name}@example.com")
    await dialog.get_by_label("Password").fill(PASSWORD)
    async with page.expect_response("**/auth/refresh") as renewed:
        await dialog.get_by_role("button", name="Sign up", exact=True).click()
        await connected(page)
        turn = await answered(page, "May I come in?")
        await expect(words(turn)).to_have_text("Welcome.")
    assert (await renewed.value).ok
    await answered(page, "And still?")
    await page.reload()
    await connected(page)
    await expect(words(page.locator(".turn").first)).to_have_text("Welcome.")
    assert not [asked for asked in scripted.requests if name in str(asked.headers)]
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.locator("#connection")).to_have_attribute("data-state", "closed")
