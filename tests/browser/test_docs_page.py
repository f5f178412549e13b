"""/docs in a browser: Swagger UI from this host alone, in the reader's colours, usable without a mouse."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import NewPage
from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
SWAGGER_S_OWN = "nested-interactive"  # each operation's whole head is a button around its link: its markup, not ours
PARTS = ".information-container, .opblock-tag-section:has(#operations-health-live_health_live_get)"  # all take long
GROUND = "getComputedStyle(document.documentElement).backgroundColor"


async def come(page: Page, service: Service) -> None:
    await page.goto(f"{service.url}/docs")
    await expect(page.get_by_role("heading", name="AskGraph")).to_be_visible()
    await expect(page.locator(".opblock").first).to_be_visible()


async def test_the_api_is_tried_out_and_nothing_is_asked_of_another_host(page: Page, shared: Service) -> None:
    """That no other host is asked, and nothing breaks the content policy, `page` sees to."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await come(page, shared)
    live = page.locator("#operations-health-live_health_live_get")
    await live.get_by_role("button").first.click()
    await live.get_by_role("button", name="Try it out").click()
    await live.get_by_role("button", name="Execute").click()
    await expect(live.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert any(url.endswith("/openapi.json") for url in asked)
    assert [url for url in asked if not url.startswith((shared.url, "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_has_the_reader_s_colours_and_is_readable(new_page: NewPage, shared: Service, scheme: str) -> None:
    async with new_page(color_scheme=scheme) as page:
        await come(page, shared)
        dark = await page.evaluate(GROUND) == "rgb(28, 32, 34)"
        assert dark is (scheme == "dark")
        found = await violations(page, PARTS)
        assert [one for one in found if not one.startswith(SWAGGER_S_OWN)] == []


@pytest.mark.parametrize(("chosen", "system"), [("dark", "light"), ("light", "dark")])
async def test_a_theme_that_was_chosen_at_the_chat_holds_here_too(
    new_page: NewPage, shared: Service, chosen: str, system: str
) -> None:
    async with new_page(color_scheme=system) as page:
        await page.add_init_script(f"localStorage.setItem('askgraph.theme', '{chosen}')")
        await page.goto(f"{shared.url}/docs", wait_until="commit")
        await expect(page.locator("main#docs")).to_be_attached()
        ground = expect(page.locator("html"))
        if chosen == "dark":
            await ground.to_have_css("background-color", "rgb(28, 32, 34)")
        else:
            await ground.not_to_have_css("background-color", "rgb(28, 32, 34)")
