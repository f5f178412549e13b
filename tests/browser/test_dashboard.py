"""The operations page in a browser: live, readable without eyes or a mouse, and never silent about a lost wire."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.cable import Cable
from tests.browser.conftest import NewPage, Watch
from tests.e2e.service import Service, running
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"MODEL_FALLBACKS": "none", "PROVIDER_MAX_RETRIES": 0}
QUESTION = "How would a treasurer put loans without collateral to use in a quiet week?"  # one that is not curated
TOKEN = "operations-token-0123456789"
PHONE = {"viewport": {"width": 375, "height": 700}}
SLOT_MS = 20_000  # until a slot of ten seconds is closed and told
CHART = "import('/static/dashboard/chart.js').then(({ Chart }) => {"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running(tmp_path_factory.mktemp("guarded"), {"OPERATIONS_TOKEN": TOKEN}) as service:
        yield service


async def watching(page: Page, url: str) -> None:
    """Open the page, and wait for its first figures."""
    await page.goto(f"{url}/dashboard")
    await expect(page.get_by_role("main")).to_have_attribute("aria-busy", "false")


def tile(page: Page, name: str) -> Any:
    return page.locator("#tiles > div").filter(has_text=name)


async def test_a_question_is_seen_while_somebody_watches(page: Page, shared: Service, scripted: ModelServer) -> None:
    await watching(page, shared.url)
    await expect(page.get_by_role("status")).to_contain_text("of 100")
    for part in ("Agent", "Model", "Database", "Embeddings", "WebSocket", "Cache"):
        await expect(page.get_by_role("heading", name=part, exact=True)).to_be_visible()
    await expect(tile(page, "Questions a minute")).to_contain_text("0 since the start")
    async with shared.client() as client:
        assert (await client.post("/ask", json={"question": QUESTION})).status_code == 200
    await expect(tile(page, "Questions a minute")).to_contain_text("1 since the start")
    await expect(tile(page, "Time to first word")).to_contain_text("ms")
    runs = page.get_by_role("region", name="Runs since the start")
    await expect(runs.get_by_role("cell").first).to_have_text("complete")
    await expect(page.locator("#providers")).to_contain_text("closed: is asked")


async def test_errors_are_listed_with_their_ids(page: Page, shared: Service, scripted: ModelServer) -> None:
    scripted.status(400, body={"error": {"message": "<img src=x>"}})
    await watching(page, shared.url)
    async with shared.client() as client:
        await client.post("/ask", json={"question": f"So: {QUESTION}"}, headers={"X-Request-ID": "in-the-list"})
        await client.get("/nowhere", headers={"X-Request-ID": "a-refusal"})
    fault = page.get_by_role("row").filter(has_text="in-the-list")
    await expect(fault).to_contain_text("provider_unavailable")
    await expect(fault).to_contain_text("/ask")
    await expect(fault.locator(".bad")).to_have_count(1)
    await expect(page.get_by_role("row").filter(has_text="a-refusal").locator(".bad")).to_have_count(0)


async def test_a_lost_connection_is_said_and_found_again(
    page: Page, shared: Service, scripted: ModelServer, watch: Watch
) -> None:
    watch.allowed.append("ERR_")
    async with Cable(shared.port) as cable:
        await watching(page, cable.url)
        alert = page.get_by_role("alert")
        await expect(alert).to_be_hidden()
        await cable.cut()
        await expect(alert).to_contain_text("The connection is lost. These are the figures of")
        cable.mend()
        await expect(alert).to_be_hidden()


async def test_nobody_is_streamed_to_while_the_page_is_hidden(page: Page, shared: Service) -> None:
    await watching(page, shared.url)
    await page.evaluate(
        """() => {
            window.streams = 0;
            const Real = EventSource;
            window.EventSource = class extends Real { constructor(url) { super(url); window.streams += 1; } };
            Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
            for (const away of [true, false]) {
                window.away = away;
                document.dispatchEvent(new Event("visibilitychange"));
            }
        }"""
    )
    assert await page.evaluate("window.streams") == 1


async def test_the_browser_asks_for_the_token(new_page: NewPage, guarded: Service) -> None:
    async with new_page() as page:
        refused = await page.request.get(f"{guarded.url}/dashboard")
        assert (refused.status, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    async with new_page(http_credentials={"username": "anyone", "password": TOKEN}) as page:
        await watching(page, guarded.url)
        await expect(page.get_by_role("status")).to_contain_text("of 100")


async def test_a_chart_is_a_sentence_and_a_table_too(page: Page, shared: Service) -> None:
    await watching(page, shared.url)
    drawn = await page.evaluate(
        CHART
        + """
            const line = (name, field) => ({ name, value: (point) => point[field] });
            const chart = new Chart({ title: "Made", lines: [line("Half", "a"), line("Most", "b")],
                                      write: (value) => `${value ?? "none"}!`, least: 1 });
            document.querySelector("main").replaceChildren(chart.element);
            const values = [[1, 2], [3, 4], [null, null], [5, 9], [null, 7]];
            window.chart = chart;
            chart.show(values.map(([a, b], slot) => ({ slot, at: 1e9 + slot * 10, a, b })), 1e9 + 40);
        })"""
    )
    assert drawn is None
    image = page.get_by_role("img", name="Made")
    await expect(image).to_have_attribute(
        "aria-label", "Made. Half: 5! at last, between 1! and 5!. Most: 7! at last, between 2! and 9!."
    )
    first, second = [await page.locator(f"path.line-{at}").get_attribute("d") or "" for at in (0, 1)]
    assert (first.count("M"), first.count("L"), second.count("M"), second.count("L")) == (1, 1, 2, 2)
    await expect(page.locator("circle.line-0")).to_have_count(1)
    await page.locator("summary").focus()
    await page.keyboard.press("Enter")
    rows = page.get_by_role("region", name="Made, as a table").get_by_role("row")
    await expect(rows).to_have_count(6)
    await expect(rows.nth(1)).to_contain_text("none!7!")
    await image.hover(position={"x": 60, "y": 50})
    await expect(page.locator(".readout")).to_contain_text("1! / 2!")


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE], ids=str)
async def test_everybody_can_read_it(options: dict[str, Any], new_page: NewPage, shared: Service) -> None:
    async with new_page(**options) as page:
        await watching(page, shared.url)
        await page.locator("summary").first.click()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await violations(page) == []


async def test_a_page_opened_later_has_the_past_at_once(page: Page, shared: Service) -> None:
    await watching(page, shared.url)
    chart = page.get_by_role("img", name="Questions a minute")
    await expect(chart.locator(".dot, .line").first).to_be_attached(timeout=SLOT_MS)
    await page.reload()
    await expect(chart.locator(".dot, .line").first).to_be_attached(timeout=2000)
    await expect(chart).to_have_attribute("aria-label", re.compile("Questions: .* at last"))


async def test_figures_are_written_as_people_read_them(page: Page, shared: Service) -> None:
    await watching(page, shared.url)
    found = await page.evaluate(
        """async () => {
            const f = await import('/static/dashboard/format.js');
            const { marks } = await import('/static/dashboard/scale.js');
            const written = [f.seconds(null), f.seconds(0.0004), f.seconds(0.0042), f.seconds(0.25), f.seconds(3.21),
                             f.seconds(250), f.bytes(300 * 1024 ** 2), f.bytes(512), f.percent(0.031), f.number(12345),
                             f.duration(59), f.duration(90061)];
            return [written.map((text) => text.replaceAll('\\u00a0', ' ')), marks(7, { counts: true }),
                    marks(0.26), marks(1), marks(200 * 1024 ** 2, { binary: true })[1] / 1024 ** 2];
        }"""
    )
    assert found == [
        ["–", "< 1 ms", "4.2 ms", "250 ms", "3.2 s", "250 s", "300 MiB", "512 B", "3.1 %", "12.3K", "59 s", "1 d 1 h"],  # noqa: RUF001  what is not known is a dash
        [0, 5, 10], [0, 0.1, 0.2, 0.3], [0, 0.5, 1], 100,
    ]  # fmt: skip
