"""Asking at the page: the answer as it comes, its sources, stop, again, edit, and what people say of it."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.person import QUESTION, answered, ask, come, ended, tool, words
from tests.e2e.service import Service
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_comes_with_its_sources(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["A position **can be ", "liquidated**", " then [1]."])
    await come(page, shared.url)
    turn = await answered(page)
    await expect(words(turn).locator("strong")).to_have_text("can be liquidated")
    await expect(turn.locator(".steps summary")).to_have_text("1 step")
    await expect(turn.get_by_role("list", name="Sources").get_by_role("button")).to_have_count(1)
    await expect(turn.locator(".about")).to_contain_text("scripted")
    await expect(page.locator("#polite")).to_contain_text("1 source")
    await expect(page).to_have_title(f"{QUESTION} · AskGraph")


async def test_a_chip_opens_the_passage_with_the_quote_marked(
    page: Page, shared: Service, scripted: ModelServer
) -> None:
    scripted.tokens(["It can be liquidated [1]."])
    await come(page, shared.url)
    turn = await answered(page)
    chip = words(turn).locator("button.citation")
    await chip.click()
    panel = page.get_by_role("complementary", name="defi-qa.json")
    await expect(panel.locator("mark")).to_be_in_viewport()
    await expect(panel.locator(".passage")).to_contain_text("What is a flash loan?")  # stands elsewhere in the document
    await expect(panel.locator("mark")).to_contain_text("health factor")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(chip).to_be_focused()


async def test_what_is_done_shows_while_it_is_done(page: Page, shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tool_call("search_knowledge_base", {"query": "health factor"})
    scripted.tokens(["Done."], gate=gate)
    await come(page, shared.url)
    turn = await ask(page)
    await expect(turn.locator(".steps summary")).to_have_text("Searching the knowledge")
    await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    gate.open()
    await ended(turn)
    await expect(turn.locator(".step")).to_have_count(2)
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden()


async def test_stop_keeps_what_was_written(page: Page, shared: Service, scripted: ModelServer) -> None:
    gate = scripted.gate()
    scripted.tokens(["One two ", "three ", "four "], gate=gate)
    scripted.tokens(["Anew."])
    await come(page, shared.url)
    turn = await ask(page)
    gate.release()
    await expect(words(turn)).to_have_text("One two")
    await page.keyboard.press("Escape")
    await ended(turn, "incomplete")
    await scripted.closed()
    await expect(turn.locator(".note")).to_have_text("Stopped before it was finished.")
    await page.reload()
    await expect(words(turn)).to_have_text("One two")
    await tool(turn, "Answer again").click()
    await ended(turn)
    await expect(words(turn)).to_have_text("Anew.")


async def test_an_answer_is_written_anew(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["First."])
    scripted.tokens(["Second."])
    await come(page, shared.url)
    turn = await answered(page)
    await tool(turn, "Answer again").click()
    await expect(words(turn)).to_have_text("Second.")
    await ended(turn)
    await page.reload()
    await expect(words(page.locator(".turn"))).to_have_text("Second.")


async def test_an_edited_question_takes_the_place_of_the_old_one(
    page: Page, shared: Service, scripted: ModelServer
) -> None:
    for text in ("One.", "Two.", "Three."):
        scripted.tokens([text])
    await come(page, shared.url)
    first = await answered(page)
    await answered(page, "And above one?")
    turns = page.locator(".turn")
    await expect(turns).to_have_count(2)
    first = turns.first
    await first.locator(".asked").hover()
    await tool(first, "Edit the question").click()
    await first.get_by_role("textbox", name="Edit the question").fill("What do people say of it?")
    await page.keyboard.press("Enter")
    await expect(turns).to_have_count(1)
    await expect(words(first)).to_have_text("Three.")
    await ended(first)
    await page.reload()
    await expect(turns.locator(".question")).to_have_text(["What do people say of it?"])


async def test_people_say_what_they_think(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Perhaps."])
    await come(page, shared.url)
    turn = await answered(page)
    async with page.expect_response(re.compile(r"/feedback$")) as said:
        await tool(turn, "Good answer").click()
    assert (await said.value).status == 201
    await expect(tool(turn, "Good answer")).to_have_attribute("aria-pressed", "true")
    await tool(turn, "Bad answer").click()
    await turn.get_by_role("textbox", name="What was wrong").fill("Too short")
    async with page.expect_response(re.compile(r"/feedback$")) as said:
        await page.keyboard.press("Enter")
    assert (await (await said.value).json())["feedback_text"] == "Too short"
    await expect(tool(turn, "Good answer")).to_have_attribute("aria-pressed", "false")


async def test_an_answer_is_copied_as_it_was_written(page: Page, shared: Service, scripted: ModelServer) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    scripted.tokens(["A **bold** word."])
    await come(page, shared.url)
    turn = await answered(page)
    await tool(turn, "Copy the answer").click()
    await expect(tool(turn, "Copy the answer")).to_have_attribute("title", "Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == "A **bold** word."


async def test_a_model_that_breaks_leaves_the_text_and_a_reason(
    page: Page, shared: Service, scripted: ModelServer
) -> None:
    scripted.cut(["So far "])
    await come(page, shared.url)
    turn = await ask(page)
    await ended(turn, "error")
    await expect(words(turn)).to_have_text("So far")
    await expect(turn.locator(".note.bad")).not_to_be_empty()
    await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


async def test_keys(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Yes."])
    await come(page, shared.url)
    field = page.get_by_role("textbox", name="Your question")
    await expect(field).to_be_focused()
    await page.keyboard.type("One")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await expect(field).to_have_value("One\ntwo")
    await page.keyboard.press("Enter")
    await ended(page.locator(".turn"))
    await expect(page.locator(".question")).to_have_text("One\ntwo")
    await page.keyboard.press("Control+k")
    search = page.get_by_role("searchbox", name="Search chats")
    await expect(search).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#chats .chat").first).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(search).to_be_focused()
    await page.keyboard.press("Control+Shift+o")
    await expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    await expect(field).to_be_focused()


async def test_an_example_asks_itself(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Yes."])
    await come(page, shared.url)
    examples = page.get_by_role("list", name="Examples").get_by_role("button")
    await expect(examples).to_have_count(3)
    await examples.last.click()
    await ended(page.locator(".turn"))
    await expect(page.locator(".question")).to_have_text("What is impermanent loss?")


async def test_a_question_that_is_refused_can_be_asked_again(
    page: Page, shared: Service, scripted: ModelServer
) -> None:
    scripted.tokens(["Yes."])
    await come(page, shared.url)
    await page.evaluate("document.getElementById('question').maxLength = 9000")
    turn = await ask(page, "why " * 600)
    await expect(turn.locator(".note.bad")).to_contain_text("at most 2000")
    await tool(turn, "Ask again").click()
    await expect(page.get_by_role("textbox", name="Your question")).to_have_value(re.compile("^why why"))
    turn = await answered(page, "Why?")
    await expect(page.locator(".turn")).to_have_count(1)
    await tool(turn, "Good answer").click()
    await expect(tool(turn, "Good answer")).to_have_attribute("aria-pressed", "true")


async def test_a_quote_is_found_in_a_long_text_that_counts_code_points(page: Page, shared: Service) -> None:
    """Ten million characters: only what stands around the quote is taken."""
    await page.goto(shared.url)
    found = await page.evaluate(
        """async () => {
            const { passageOf } = await import("/static/chat/passage.js");
            const quote = "The \\u{1f9ad} sings", after = " well.\\n".repeat(10_000);
            const before = "\\u{1f9ad} newts.\\n".repeat(1_000_000);
            const start = [..."\\u{1f9ad} newts.\\n"].length * 1_000_000;
            const whole = passageOf(before + quote + after, { start, end: start + 11, quote });
            const moved = passageOf("x " + quote, { start: 0, end: 11, quote });
            return [whole, moved, passageOf("gone", { start: 0, end: 11, quote })];
        }"""
    )
    whole, moved, gone = found
    assert whole["quote"] == moved["quote"] == "The \U0001f9ad sings"
    assert whole["before"].endswith("\U0001f9ad newts.\n")
    assert whole["after"].startswith(" well.\n")
    assert (whole["cutBefore"], whole["cutAfter"]) == (True, True)
    assert len(whole["before"]) + len(whole["after"]) < 30_000
    assert (moved["before"], moved["cutBefore"], gone) == ("x ", False, None)
