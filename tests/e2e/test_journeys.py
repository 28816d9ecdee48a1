"""The three people's ways through the program, from the start page on, at both widths and in both themes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.texts import texts
from tests.e2e.browser import LOOKS, PATIENCE_MS, Server, Watch, look_at, set_number, settle

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def look(request: pytest.FixtureRequest) -> tuple[int, str]:
    width, theme = request.param
    return width, theme


@pytest.fixture
def start(server: Server, browser: Browser, look: tuple[int, str]) -> Iterator[Page]:
    """The start page, on which nothing may go wrong."""
    width, theme = look
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    watch = Watch(page)
    page.goto(server.url)
    settle(page)
    yield page
    context.close()
    assert not watch.problems, "\n".join(watch.problems)


@pytest.fixture
def check(start: Page, look: tuple[int, str], pictures_folder: Path) -> Callable[[str], None]:
    """Looks at the page as it stands, which gets this name."""

    def looked(name: str) -> None:
        found = look_at(start, pictures_folder, f"{name}-{look[0]}-{look[1]}")
        assert not found, "\n".join(found)

    return looked


def take(page: Page, link: str) -> None:
    """Follow a link of the start page's cards."""
    page.get_by_test_id("stMain").get_by_role("link", name=link, exact=True).click()
    settle(page)


def test_an_owner_gets_a_verdict_and_a_report(start: Page, check: Callable[[str], None]) -> None:
    page = start
    take(page, "Check my pictures")
    page.get_by_role("button", name="Try with all").click()
    card = page.locator(".st-key-verdict-full")
    expect(card.get_by_role("heading", name="Under-forgotten")).to_be_visible()
    expect(card.locator(".js-plotly-plot").first).to_be_visible()
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (HTML)").click()
    report = Path(download.value.path()).read_text(encoding="utf-8")
    assert "Not forgotten" in report
    check("owner")


def test_an_engineer_starts_a_run_and_stops_it(start: Page, check: Callable[[str], None], server: Server) -> None:
    page = start
    take(page, "Tune")
    set_number(page, "Epochs", 200)  # more than there is time for while the page is looked at
    page.get_by_role("button", name="Start unlearning").click()
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible()
    check("engineer")
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_text("Cancelled").first).to_be_visible()
    assert [job.state for job in server.jobs.jobs()] == ["cancelled"]


def test_a_presenter_tells_the_whole_story(start: Page, check: Callable[[str], None]) -> None:
    page, words = start, texts("en")
    take(page, "Present")
    for part in ("asked", "done", "sees", "sure", "not"):
        expect(page.get_by_role("heading", level=1)).to_have_text(words.say(f"{part}.title"))
        settle(page)
        if part == "sees":
            check("presenter")
        if part != "not":
            page.get_by_role("button", name=words.say("page.next")).click()
