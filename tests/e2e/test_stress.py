"""A stress test in a real browser: it belongs to the workspace, not to the tab that asked for it."""

import time

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import PATIENCE_MS, Server, Watch, set_number, settle

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]


def push_lightly(page: Page) -> None:
    page.get_by_text("How hard to push").click()
    set_number(page, "Steps", 2)
    set_number(page, "Splits", 1)


def test_a_stress_test_outlives_its_closed_tab(server: Server, browser: Browser) -> None:
    first = browser.new_page(viewport={"width": 1280, "height": 800})
    seen = Watch(first)
    first.set_default_timeout(PATIENCE_MS)
    first.goto(f"{server.url}/stress_test")
    settle(first)
    push_lightly(first)
    first.get_by_role("button", name="Start the stress test").click()
    expect(first.get_by_role("button", name="Cancel")).to_be_visible()
    (job,) = server.jobs.jobs()
    first.context.close()

    assert server.jobs.job(job.id).active, "it ended before the tab was closed, which shows nothing"
    deadline = time.monotonic() + 600
    while server.jobs.job(job.id).active:
        assert time.monotonic() < deadline, server.jobs.job(job.id)
        time.sleep(0.5)
    assert server.jobs.job(job.id).state == "done"

    second = browser.new_page(viewport={"width": 1280, "height": 800})
    also_seen = Watch(second)
    second.set_default_timeout(PATIENCE_MS)
    second.goto(f"{server.url}/stress_test")
    settle(second)
    expect(second.get_by_role("heading", name="Earlier stress tests")).to_be_visible()
    push_lightly(second)
    expect(second.get_by_text("Three other ways to push")).to_be_visible()
    expect(second.locator(".js-plotly-plot")).to_have_count(4)
    second.context.close()
    assert not seen.problems + also_seen.problems
