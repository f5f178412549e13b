"""Files brought to a chat, agents and models to choose from, and tools that ask first."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Watch
from tests.browser.person import answered, ask, come, ended, words
from tests.e2e.people import signed_in
from tests.e2e.service import Service
from tests.e2e.test_approvals import ARGUMENTS, PROGRAM, script
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS: dict[str, Any] = {"MODEL_FALLBACKS": "openai/second,extractive"}
FACT = "Theodore the walrus \U0001f9ad eats forty kilograms of clams on every weekday."
WALRUS = f"# Keeping Theodore \U0001f9ad\n\n{FACT}\n"
DROP = """([name, text, times]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([text.repeat(times)], name));
    for (const kind of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: carried }));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def notes_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MCP server with a tool that has side effects; it is set before the service starts."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / "server.py").write_text(PROGRAM)
    server = {"command": sys.executable, "args": [str(folder / "server.py"), str(folder / "notes.txt")]}
    server |= {"env": {"PYTHONPATH": "${PYTHONPATH}"}}  # type: ignore[dict-item]
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"notes": server}}))
    SETTINGS["MCP_CONFIG"] = str(folder / "mcp.json")
    return folder / "notes.txt"


def notes(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def test_a_dropped_file_is_read_and_cited(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed.append("404")  # the shared knowledge, which is asked first, has no such document
    scripted.tokens(["Theodore the walrus eats forty kilograms of clams on every weekday [1]."])
    await come(page, shared.url)
    await page.evaluate(DROP, ["walrus.md", WALRUS, 1])
    file = page.get_by_role("list", name="Files of this chat").get_by_role("listitem")
    await expect(file).to_have_attribute("data-status", "ready")
    turn = await answered(page, "What does Theodore the walrus eat on a weekday?")
    await words(turn).locator("button.citation").click()
    panel = page.get_by_role("complementary", name="walrus.md")
    await expect(panel.locator(".passage")).to_contain_text("Keeping Theodore")
    await expect(panel.locator("mark")).to_have_text(FACT)
    await page.reload()
    await expect(file).to_contain_text("walrus.md")
    await file.get_by_role("button", name="Remove walrus.md").click()
    await expect(file).to_have_count(0)


async def test_progress_shows_while_a_file_is_sent(page: Page, shared: Service) -> None:
    await come(page, shared.url)

    async def held(route: Route) -> None:
        await expect(page.get_by_role("progressbar", name="Bringing long.txt")).to_be_visible()
        await route.continue_()

    await page.route("**/files/upload", held)
    await page.locator("#file-input").set_input_files(
        [{"name": "long.txt", "mimeType": "text/plain", "buffer": b"All about newts. " * 50_000}]
    )
    file = page.locator(".file")
    await expect(file).to_have_attribute("data-status", "ready", timeout=20_000)
    await expect(page.get_by_role("progressbar")).to_have_count(0)


async def test_a_file_that_cannot_be_read_says_why(page: Page, shared: Service, watch: Watch) -> None:
    watch.allowed.append("415")
    await come(page, shared.url)
    await page.evaluate(DROP, ["<b>evil</b>.md", "\x7fELF\x02\x01\x01\0\0\0", 10])
    file = page.locator(".file")
    await expect(file).to_have_attribute("data-status", "failed")
    await expect(file.locator(".name")).to_have_text("<b>evil</b>.md")
    await expect(file.locator(".state")).not_to_be_empty()


async def test_a_file_that_is_too_large_is_not_sent(page: Page, shared: Service) -> None:
    await come(page, shared.url)
    await page.evaluate(DROP, ["big.txt", "x" * 1024 * 1024, 51])
    await expect(page.locator(".file .state")).to_have_text("more than 50 MB")


async def test_a_model_is_chosen(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Hello."])
    await come(page, shared.url)
    models = page.get_by_role("combobox", name="Model")
    await expect(models.get_by_role("option")).to_have_text(["scripted", "second", "extractive"])
    await models.select_option("second")
    await answered(page, "Who are you?")
    assert scripted.requests[-1].body["model"] == "second"
    await page.reload()
    await expect(models).to_have_value("openai/second")
    await models.select_option("")
    await answered(page, "And who are you now?")
    assert scripted.requests[-1].body["model"] == "scripted"


async def test_an_agent_answers_its_chats(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.tokens(["As you wish."])
    who = await signed_in(shared)
    agent = {
        "name": "Lending <i>desk</i>",
        "prompt": "Speak like a pirate.",
        "starter_messages": [{"name": "Ask of ships", "message": "Which ships are there?"}],
    }
    async with shared.client(headers=who) as client:
        assert (await client.post("/api/v1/agents", json=agent)).status_code == 201
    token = who["Authorization"].split()[1]
    login = json.dumps({"username": "ada", "access": token, "refresh": "none", "ends": 4e12})
    await page.add_init_script(f"localStorage.setItem('askgraph.login', {json.dumps(login)})")
    await come(page, shared.url)
    agents = page.get_by_role("combobox", name="Agent")
    await agents.select_option(label="Lending <i>desk</i>")
    await page.get_by_role("button", name="Ask of ships").click()
    await ended(page.locator(".turn"))
    await expect(page.locator(".question")).to_have_text("Which ships are there?")
    assert "Speak like a pirate." in json.dumps(scripted.requests[0].body)
    await page.reload()
    await expect(page.locator(".turn")).to_have_count(1)
    await expect(agents).to_be_disabled()
    await expect(agents.locator("option:checked")).to_have_text("Lending <i>desk</i>")


@pytest.mark.parametrize("button", ["Allow", "Decline"])
async def test_a_tool_asks_first(
    page: Page, shared: Service, scripted: ModelServer, button: str, notes_server: Path
) -> None:
    written = len(notes(notes_server))
    await shared.logged("mcp server connected")
    script(scripted)
    await come(page, shared.url)
    turn = await ask(page, "Please write a note.")
    asked = turn.get_by_role("group", name="May notes  write be run?")
    await expect(asked).to_contain_text(ARGUMENTS["text"])
    await page.reload()  # who waits is found again
    await asked.get_by_role("button", name=button).click()
    await ended(turn)
    await expect(asked).to_have_count(0)
    assert len(notes(notes_server)) == written + (button == "Allow")
