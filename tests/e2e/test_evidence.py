"""Evidence in a real browser: a pack is made and saved, and checked by whoever gets it; what is none is told."""

from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, sweep
from muc_core.workspace import Workspace
from tests.e2e.browser import Server, faults, in_every_look, settle, whole_page
from tests.e2e.verdict_paths import zipped

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]

VERIFIED, REFUSED = ".st-key-evidence-verified", ".st-key-evidence-refused"


def hand_in(page: Page, content: bytes, name: str = "audit.muc.zip", kind: str = "application/zip") -> None:
    """Give a file to be checked in place of the one before."""
    given: FilePayload = {"name": name, "mimeType": kind, "buffer": content}
    page.locator('input[type="file"]').first.set_input_files(given)
    settle(page)


def test_a_pack_is_made_saved_and_checked(server: Server, watched: Page, pictures_folder: Path) -> None:
    pair = StrengthSweepSettings(before="demo-moco", after="demo-moco-ac", strengths=(0.0, 1.0), others=False)
    sweep(Workspace(server.home), pair)
    page = watched

    def look(name: str) -> None:
        """Nothing is too wide or breaks a rule of accessibility in any look, of which pictures are kept."""
        pictures_folder.mkdir(exist_ok=True)
        for how in in_every_look(page):
            assert not faults(page), f"{name} {how}"
            (pictures_folder / f"evidence-{name}-{how}.png").write_bytes(whole_page(page, tallest=2600))
        page.set_viewport_size({"width": 1280, "height": 800})
        settle(page)

    page.goto(f"{server.url}/tune?view=Strength+dial&unlearned=demo-moco-ac&strength=1")
    settle(page)
    page.get_by_role("button", name="Evidence pack").click()
    page.get_by_text("Without a passphrase").click()
    page.get_by_role("button", name="Make the evidence pack").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the evidence pack").click()
    saved = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename.endswith(".muc.zip")

    page.goto(f"{server.url}/evidence")
    settle(page)
    hand_in(page, saved)
    expect(page.locator(VERIFIED)).to_contain_text("It was signed with the key of this workspace.")
    expect(page.locator(VERIFIED)).to_contain_text("Did demo-moco-ac forget these 100 pictures?")
    expect(page.locator(VERIFIED)).to_contain_text("answers were not probed")
    look("verified")

    place = saved.index(b'"verdict"') + 14
    hand_in(page, saved[:place] + bytes([saved[place] ^ 1]) + saved[place + 1 :])
    expect(page.locator(REFUSED)).to_contain_text("result.json was changed")
    expect(page.locator(VERIFIED)).to_have_count(0)
    look("changed")

    pictures = zipped(("1f170",))
    hand_in(page, pictures["buffer"], "pictures.zip")
    expect(page.locator(REFUSED)).to_contain_text("Not verified")
    hand_in(page, b"no zip", "picture.png", "image/png")
    expect(page.get_by_text("image/png files are not allowed")).to_be_visible()
