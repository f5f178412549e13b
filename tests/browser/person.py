"""What a person does at the chat page, and what there is to see of it."""

from playwright.async_api import Locator, Page, expect

QUESTION = "What does a health factor below one mean?"


async def come(page: Page, url: str) -> None:
    """Open the page, and wait until it can be asked."""
    await page.goto(url)
    await connected(page)


async def connected(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_attribute("data-state", "connected")


async def ask(page: Page, question: str = QUESTION) -> Locator:
    """Ask by the keyboard; the turn."""
    await page.get_by_role("textbox", name="Your question").fill(question)
    await page.keyboard.press("Enter")
    return page.locator(".turn").last


async def answered(page: Page, question: str = QUESTION) -> Locator:
    """Ask, and wait for the end of the answer; the turn. Its messages' names are known then."""
    async with page.expect_response(lambda response: response.url.endswith("/messages") and response.ok):
        turn = await ask(page, question)
        await ended(turn)
    return turn


async def ended(turn: Locator, status: str = "complete") -> None:
    await expect(turn).to_have_attribute("data-status", status)


def words(turn: Locator) -> Locator:
    """The answer's text."""
    return turn.locator(".answer")


def tool(turn: Locator, name: str) -> Locator:
    return turn.get_by_role("button", name=name)
