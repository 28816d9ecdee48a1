"""Present in a real browser: the arrow keys, the slider, and a saved page that opens without a network."""

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboard.texts import texts
from tests.e2e.browser import Server, Watch, settle

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_story_is_told_with_the_keyboard_and_taken_along(
    server: Server, watched: Page, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page, words = watched, texts("de")
    heading = page.get_by_role("heading", level=1)
    page.goto(f"{server.url}/present?step=2&language=Deutsch")
    expect(heading).to_have_text(words.say("done.title"))
    settle(page)
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text(words.say("sees.title"))
    expect(page.get_by_text(words.say("sees.captions_before"))).to_be_visible()
    settle(page)
    # On the slider the keys move it and turn no page.
    page.get_by_role("slider").press("ArrowRight")
    expect(page.get_by_text(words.say("sees.captions_now"))).to_be_visible()
    expect(heading).to_have_text(words.say("sees.title"))
    # The notes and the language leave the keys alone.
    page.get_by_role("button", name=words.say("page.notes")).click()
    expect(page.get_by_text(words.listed("sees.notes")[0])).to_be_visible()
    settle(page)
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text(words.say("sure.title"))
    settle(page)
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text(words.say("sees.title"))
    settle(page)
    page.get_by_role("button", name=words.say("page.save")).click()
    with page.expect_download() as download:
        page.get_by_role("button", name=words.say("page.save_html")).click()
    file = tmp_path_factory.mktemp("saved") / "story.html"
    download.value.save_as(file)
    assert file.stat().st_size < 5_000_000

    alone = browser.new_context(offline=True).new_page()
    watch = Watch(alone)
    alone.goto(file.as_uri())
    expect(alone.get_by_role("heading", level=2)).to_have_count(6)
    expect(alone.get_by_text(words.listed("sees.notes")[0])).to_be_visible()
    loaded = alone.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert len(loaded) >= 13
    assert min(loaded) > 0
    assert not watch.problems
    alone.context.close()
