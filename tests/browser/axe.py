"""Accessibility of a page as axe-core sees it. `make test` puts the pinned axe-core in node_modules, where npm is."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

SOURCE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
GRAVE = {"serious", "critical"}
ABSENT = "axe-core is not there, as npm is missing: install npm and run `make test` again"
RUN = """async ([standards, within]) => (await axe.run(within ?? document, {
    runOnly: standards, resultTypes: ["violations"], preload: false,
})).violations"""


async def violations(page: Page, within: str | None = None) -> list[str]:
    """What is seriously or critically wrong on the page as it stands, a line a place: `rule: selector: why`.

    `within` is a selector that narrows it. The script goes in by the debugger, so the page's content policy stays as it
    is. Skips the test where axe-core could not be installed, and fails it in CI.
    """
    await page.evaluate(_source())
    found: list[dict[str, Any]] = await page.evaluate(RUN, [STANDARDS, within])
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))}: {_why(node)}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])


@cache
def _source() -> str:
    if not SOURCE.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ABSENT)
    return SOURCE.read_text()
