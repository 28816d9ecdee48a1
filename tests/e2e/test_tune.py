"""The engineer's journey in a real browser: measure a dial, turn it while it is measured, cancel, save a strength."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from muc_core.workspace import Workspace
from tests.e2e.browser import Server, settle, whole_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ENOUGH = 3
WITHIN_S = 300.0


def measured(server: Server) -> int:
    folder = server.home / "measurements"
    return len(list(folder.glob("*.json"))) if folder.exists() else 0


def test_a_dial_is_measured_turned_and_saved(server: Server, watched: Page, pictures_folder: Path) -> None:
    page = watched
    page.goto(f"{server.url}/tune?view=Strength+dial&unlearned=demo-moco-ac")
    settle(page)
    page.get_by_role("button", name="Measure the dial").dblclick()
    expect(page.get_by_text("Measuring the dial").first).to_be_visible()
    # the first strengths can be turned while the others are measured
    expect(page.get_by_role("slider", name="Strength")).to_be_visible()
    assert len(server.jobs.jobs()) == 1
    deadline = time.monotonic() + WITHIN_S
    while measured(server) < ENOUGH:
        assert time.monotonic() < deadline, "the first strengths are still not measured"
        time.sleep(0.5)
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_text("Measuring the dial was cancelled").first).to_be_visible()
    assert server.jobs.jobs()[0].state == "cancelled"

    page.goto(f"{server.url}/tune?view=Strength+dial&unlearned=demo-moco-ac&strength=0.125")
    settle(page)
    expect(page.get_by_role("heading", name=re.compile("at strength 0.125$"))).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    slider = page.get_by_role("slider", name="Strength")
    slider.focus()
    slider.press("ArrowRight")
    expect(page.get_by_role("heading", name=re.compile("at strength 0.25$"))).to_be_visible()
    page.get_by_role("button", name="Save as an encoder").click()
    expect(page.get_by_text(re.compile("Saved as demo-moco-ac-at-0.25"))).to_be_visible()
    manifest = Workspace(server.home).encoder("demo-moco-ac-at-0.25").manifest
    assert (manifest.original, manifest.settings["strength"]) == ("demo-moco", 0.25)
    settle(page)
    pictures_folder.mkdir(exist_ok=True)
    (pictures_folder / "tune-dial.png").write_bytes(whole_page(page))
