"""Every page for people who use a screen reader or a phone: axe-core's rules, and nothing wider than 390 px."""

from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from dashboard.streamlit_app import PAGES
from tests.e2e.browser import PATIENCE_MS, Server, open_page, settle

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SERIOUS = ("serious", "critical")


@dataclass(frozen=True)
class Violation:
    """A rule that a page breaks, and where."""

    page: str
    rule: str
    where: str

    def __str__(self) -> str:
        return f"{self.page}: {self.rule} at {self.where}"


def violations(page: Page, title: str) -> list[Violation]:
    found = Axe().run(page).response["violations"]
    return [
        Violation(title, rule["id"], " ".join(map(str, node["target"])))
        for rule in found
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_breaks_a_serious_rule(server: Server, browser: Browser, theme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(server.url)
    settle(page)
    found = []
    for _, title, _ in PAGES:
        open_page(page, title)
        found += violations(page, title)
    context.close()
    assert not found, "\n".join(map(str, found))


def test_every_page_fits_a_phone(server: Server, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    wide = []
    for name, title, _ in PAGES:
        page.goto(f"{server.url}/{'' if name == 'start' else name}")
        settle(page)
        width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        if width > 390:
            wide.append(f"{title}: {width} px")
    context.close()
    assert not wide, wide
