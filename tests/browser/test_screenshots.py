"""The guides' pictures: there, small, and shown to somebody."""

import pytest

from tests.browser.screenshots import IMAGES, MOST_BYTES, NAMES
from tests.e2e.service import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_small_and_stands_in_a_guide(name: str) -> None:
    data = (IMAGES / f"{name}.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < MOST_BYTES
    assert [page.name for page in PAGES if f"images/{name}.png" in page.read_text("utf-8")]
