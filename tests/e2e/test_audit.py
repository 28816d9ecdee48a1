"""The verdicts of an audit in a real browser, from pictures and encoders that really behave so."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from muc_core.data.demo import demo_split
from tests.e2e.browser import Server, settle, upload, whole_page
from tests.e2e.verdict_paths import FEW, TOO_FAR, add_encoder_pushed_too_far, expect_verdict, zipped

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def expect_meaning(page: Page, word: str, meaning: str) -> None:
    expect_verdict(page, word)
    expect(page.locator(".st-key-verdict-full").get_by_text(meaning)).to_be_visible()


def test_verdicts_are_given_to_pictures_that_deserve_them(server: Server, watched: Page, pictures_folder: Path) -> None:
    add_encoder_pushed_too_far(server.home, far=1.5)
    split = demo_split()
    page = watched

    def picture(name: str) -> None:
        pictures_folder.mkdir(exist_ok=True)
        (pictures_folder / f"verdict-{name}.png").write_bytes(whole_page(page, tallest=1600))

    page.goto(f"{server.url}/check_my_pictures?before=demo-clip&after=demo-clip-gradient-ascent")
    settle(page)
    upload(page, [zipped(split.forget[:3])])
    expect(page.get_by_text(re.compile("No verdict. There are 3 pictures to audit; at least"))).to_be_visible()
    settle(page)
    expect(page.locator(".st-key-verdict-full")).to_have_count(0)
    picture("none")

    # The demo draws its held-out pictures sharp at any size; files of a fixed size can be told from them by that alone.
    page.get_by_role("button", name="Start anew").click()
    settle(page)
    upload(page, [zipped(split.forget[:FEW])])
    expect_meaning(page, "Cannot tell", "Cannot tell: this audit does not decide")
    panel = page.get_by_text(re.compile("How sure are we.*controls not fair"))
    expect(panel).to_be_visible()
    panel.click()
    expect(page.get_by_text("The controls are not fair").first).to_be_visible()
    picture("unfair-controls")

    page.get_by_text("Compared with", exact=True).first.click()
    page.get_by_text("Pictures that I upload").click()
    settle(page)
    page.locator('input[type="file"]').nth(1).set_input_files([zipped(split.held_out)])  # type: ignore[arg-type]
    expect_meaning(page, "Under-forgotten", "Not forgotten: the encoder still treats these pictures as ones it knows.")
    expect(page.get_by_role("button", name="Go to the stress test")).to_have_count(0)
    picture("under-forgotten")

    after = page.get_by_role("combobox", name="After")
    after.click()
    after.fill(TOO_FAR)  # the list is long, and only what is in sight can be clicked
    page.get_by_role("option", name=TOO_FAR).click()
    expect_meaning(page, "Over-forgotten", "Pushed too far")
    picture("over-forgotten")

    # Retrain never saw them; fewer pictures would not suffice to say so.
    page.get_by_role("button", name="Start anew").click()
    settle(page)
    after.click()
    after.fill("demo-clip-retrain")
    page.get_by_role("option", name="demo-clip-retrain").click()
    settle(page)
    upload(page, [zipped(split.forget)])
    expect_meaning(page, "Forgotten", "Forgotten, as far as can be seen")
    expect(page.get_by_role("button", name="Go to the stress test")).to_be_visible()
    picture("forgotten")
