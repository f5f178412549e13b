"""A refresh, a cut or another tab in the midst of an answer: the page finds its way back, and nothing is lost."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.cable import Cable
from tests.browser.conftest import NewPage, Watch
from tests.browser.person import ask, come, connected, ended, words
from tests.e2e.service import Service
from tests.model_server import Gate, ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKENS = [f"w{number} " for number in range(40)]
ALL = "".join(TOKENS).strip()
GONE = ["net::ERR_", "WebSocket connection"]


async def half_said(page: Page, url: str, model: ModelServer) -> Gate:
    """An answer of which the first half is on the page."""
    gate = model.gate()
    model.tokens(TOKENS, gate=gate)
    await come(page, url)
    turn = await ask(page)
    gate.release(20)
    await expect(words(turn)).to_contain_text("w19")
    return gate


async def test_a_refresh_in_mid_answer(page: Page, shared: Service, scripted: ModelServer) -> None:
    gate = await half_said(page, shared.url, scripted)
    await page.reload()
    turn = page.locator(".turn")
    await expect(words(turn)).to_contain_text("w19")
    gate.open()
    await ended(turn)
    await expect(words(turn)).to_have_text(ALL)
    await expect(turn).to_have_count(1)
    assert len(scripted.requests) == 1
    await page.reload()
    await expect(words(turn)).to_have_text(ALL)


async def test_a_refresh_before_the_run_has_a_name(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed.append("404")  # there is no such chat yet
    scripted.tokens(TOKENS)
    await come(page, shared.url)
    await page.evaluate("WebSocket.prototype.send = () => {}")  # what is asked is lost on its way
    await ask(page)
    await page.reload()
    turn = page.locator(".turn")
    await ended(turn)
    await expect(words(turn)).to_have_text(ALL)
    await expect(turn).to_have_count(1)
    assert len(scripted.requests) == 1


async def test_a_cut_in_mid_answer(page: Page, shared: Service, scripted: ModelServer, watch: Watch) -> None:
    watch.allowed += GONE
    async with Cable(shared.port) as cable:
        gate = await half_said(page, cable.url, scripted)
        await cable.cut()
        await expect(page.locator("#connection")).not_to_have_attribute("data-state", "connected")
        gate.release(10)
        cable.mend()
        await connected(page)
        await expect(words(page.locator(".turn"))).to_contain_text("w29")
        gate.open()
        await ended(page.locator(".turn"))
        await expect(words(page.locator(".turn"))).to_have_text(ALL)
        assert len(scripted.requests) == 1


async def test_a_question_that_is_asked_without_a_connection_is_asked_when_there_is_one(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed += GONE
    scripted.tokens(TOKENS)
    async with Cable(shared.port) as cable:
        await come(page, cable.url)
        await cable.cut()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
        turn = await ask(page)
        cable.mend()
        await ended(turn)
        await expect(words(turn)).to_have_text(ALL)
        assert len(scripted.requests) == 1


async def test_a_dead_line_is_noticed(page: Page, shared: Service, scripted: ModelServer) -> None:
    gate = await half_said(page, shared.url, scripted)
    await page.context.set_offline(True)
    await page.context.set_offline(False)
    gate.open()
    await ended(page.locator(".turn"))
    await expect(words(page.locator(".turn"))).to_have_text(ALL)


async def test_a_chat_left_in_mid_answer_is_found_again(page: Page, shared: Service, scripted: ModelServer) -> None:
    gate = await half_said(page, shared.url, scripted)
    await page.get_by_role("button", name="New chat").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await page.locator("#chats .chat").first.click()
    turn = page.locator(".turn")
    await expect(words(turn)).to_contain_text("w19")
    gate.open()
    await ended(turn)
    await expect(words(turn)).to_have_text(ALL)


async def test_an_answer_can_be_stopped_after_a_refresh(page: Page, shared: Service, scripted: ModelServer) -> None:
    await half_said(page, shared.url, scripted)
    await page.reload()
    turn = page.locator(".turn")
    await expect(words(turn)).to_contain_text("w19")
    await page.get_by_role("button", name="Stop").click()
    await ended(turn, "incomplete")
    await scripted.closed()


async def test_another_browser_joins_an_answer(
    page: Page, new_page: NewPage, shared: Service, scripted: ModelServer
) -> None:
    gate = await half_said(page, shared.url, scripted)
    async with new_page() as other:
        await other.goto(page.url)
        turn = other.locator(".turn")
        await expect(words(turn)).to_contain_text("w19")
        gate.open()
        for one in (page, other):
            await ended(one.locator(".turn"))
            await expect(words(one.locator(".turn"))).to_have_text(ALL)
    assert len(scripted.requests) == 1
