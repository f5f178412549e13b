"""The list of chats at the side, and who is signed in."""

import re
from uuid import uuid4

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import NewPage, Watch
from tests.browser.person import answered, ask, come, connected, ended, words
from tests.e2e.service import Service
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse battery staple"
HOSTILE = '<img src="http://evil.example/x" onerror="window.ran=1"> \u202e[x](javascript:alert(1))'


def chats(page: Page) -> Locator:
    return page.locator("#chats .chat")


async def menu(page: Page, title: str, item: str) -> None:
    await page.locator("#chats li", has_text=title).hover()
    await page.get_by_role("button", name=f"More for {title}").click()
    await page.get_by_role("menuitem", name=item).click()


async def sign_up(page: Page) -> str:
    name = f"u{uuid4().hex[:10]}"
    await page.get_by_role("button", name="Sign up").click()
    dialog = page.get_by_role("dialog", name="Sign up")
    await dialog.get_by_label("User name").fill(name)
    await dialog.get_by_label("Email").fill(f"{name}@example.com")
    await dialog.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account")).to_contain_text(name)
    await connected(page)
    return name


async def sign_in(page: Page, name: str) -> None:
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("User name").fill(name)
    await dialog.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#account")).to_contain_text(name)


async def two_chats(page: Page, model: ModelServer) -> None:
    async def answer(exchange: Exchange) -> None:
        """Yes; and where a title is asked for, the question."""
        asked = str(exchange.request.body)
        title = f"What about {'pears' if 'pears' in asked else 'apples'}?" if "title" in asked else "Yes."
        await exchange.write(STREAM_HEAD)
        await exchange.event({"content": title})
        await exchange.end()

    model.script(answer)
    await answered(page, "What about apples?")
    await page.get_by_role("button", name="New chat").click()
    await answered(page, "What about pears?")
    await expect(chats(page)).to_have_text(["What about pears?", "What about apples?"])


async def walk_through(page: Page) -> None:
    """Search, rename, open and delete, among two chats."""
    search = page.get_by_role("searchbox", name="Search chats")
    await search.fill("APPLES")
    await expect(chats(page)).to_have_text(["What about apples?"])
    await search.fill("")
    await expect(chats(page)).to_have_count(2)
    await menu(page, "What about apples?", "Rename")
    await page.get_by_role("textbox", name="Title").fill(HOSTILE)
    await page.keyboard.press("Enter")
    renamed = chats(page).filter(has_text="<img src=")
    await renamed.click()
    await expect(page.locator(".question")).to_have_text("What about apples?")
    await expect(page.locator("#title")).to_contain_text("<img src=")
    assert "\u202e" not in await page.locator("#title").inner_text()
    await page.locator("#chats li", has_text="<img").get_by_role("button", name="More for").click()
    await page.get_by_role("menuitem", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(chats(page)).to_have_text(["What about pears?"])
    await expect(page.locator("#welcome")).to_be_visible()
    assert await page.evaluate("window.ran") is None


async def test_an_anonymous_reader_keeps_their_own_list(page: Page, shared: Service, scripted: ModelServer) -> None:
    await come(page, shared.url)
    await two_chats(page, scripted)
    await page.reload()
    await expect(chats(page)).to_have_count(2)
    await walk_through(page)
    await menu(page, "What about pears?", "Forget here")
    await expect(chats(page)).to_have_count(0)
    await page.reload()
    await expect(page.locator("#chats-note")).to_have_text("No chats yet.")


async def test_a_chat_is_exported(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["An *answer*."])
    await come(page, shared.url)
    await answered(page, "What about apples?")
    for kind, ending in (("Markdown", "md"), ("JSON", "json")):
        async with page.expect_download() as saved:
            await menu(page, "What about apples?", f"Export as {kind}")
        file = await saved.value
        assert file.suggested_filename.endswith(ending)
        assert "An *answer*." in (await file.path()).read_text()


async def test_a_users_chats_are_the_servers(
    page: Page, new_page: NewPage, shared: Service, scripted: ModelServer
) -> None:
    await come(page, shared.url)
    name = await sign_up(page)
    await expect(chats(page)).to_have_count(0)
    await two_chats(page, scripted)
    async with new_page() as other:
        await come(other, shared.url)
        await other.get_by_role("button", name="Sign in").click()
        await sign_in(other, name)
        await expect(chats(other)).to_have_text(["What about pears?", "What about apples?"])
    await menu(page, "What about apples?", "Archive")
    await expect(chats(page)).to_have_count(1)
    await page.get_by_label("Archived chats").check()
    await expect(chats(page)).to_have_text(["What about apples?"])
    await menu(page, "What about apples?", "Unarchive")
    await page.get_by_label("Archived chats").uncheck()
    await expect(chats(page)).to_have_count(2)
    await walk_through(page)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await expect(chats(page)).to_have_count(0)
    assert await page.evaluate("Object.values(localStorage).some((value) => value.includes('refresh'))") is False


async def test_a_chat_stays_open_over_a_refresh_of_a_signed_in_page(
    page: Page, shared: Service, scripted: ModelServer
) -> None:
    scripted.tokens(["Mine."])
    await come(page, shared.url)
    await sign_up(page)
    await answered(page, "What is mine?")
    await page.reload()
    await expect(words(page.locator(".turn"))).to_have_text("Mine.")
    await page.get_by_role("button", name="New chat").click()
    await page.go_back()
    await expect(words(page.locator(".turn"))).to_have_text("Mine.")


async def test_a_token_that_has_ended_is_renewed(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed.append("401")
    scripted.tokens(["Still here."])
    await come(page, shared.url)
    name = await sign_up(page)
    await page.evaluate(
        """() => {
            const login = JSON.parse(localStorage.getItem("askgraph.login"));
            localStorage.setItem("askgraph.login", JSON.stringify({ ...login, access: "a.b.c" }));
        }"""
    )
    await page.reload()
    await connected(page)
    await expect(page.locator("#account")).to_contain_text(name)
    await answered(page, "Am I here?")
    await expect(words(page.locator(".turn"))).to_have_text("Still here.")


async def test_a_login_that_was_ended_elsewhere_is_told(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed.append("401")
    scripted.tokens(["Hello."])
    await come(page, shared.url)
    await sign_up(page)
    await page.evaluate(
        """async () => {
            const { access } = JSON.parse(localStorage.getItem("askgraph.login"));
            await fetch("/api/v1/auth/logout", { method: "POST", headers: { Authorization: `Bearer ${access}` } });
        }"""
    )
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await connected(page)
    await ended(await ask(page, "And without a name?"))


async def test_a_wrong_password_is_told(page: Page, shared: Service, watch: Watch) -> None:
    watch.allowed.append("401")
    await come(page, shared.url)
    await page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("User name").fill("nobody")
    await dialog.get_by_label("Password").fill("wrong")
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_role("alert")).to_have_text("Wrong user name or password.")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()


async def test_a_chat_that_is_not_there_is_told(page: Page, shared: Service, watch: Watch) -> None:
    watch.allowed.append("404")
    await page.goto(f"{shared.url}/#/c/{uuid4()}")
    await expect(page.get_by_role("alert")).to_have_text("There is no such chat.")
    await expect(page).to_have_url(re.compile(r"/$"))
