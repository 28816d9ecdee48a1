"""The verdicts of an audit in a real browser, from pictures and encoders that really behave so."""

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.checkpoint import load_weights
from muc_core.workspace import Workspace
from tests.e2e.browser import Server, settle, upload, whole_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

FEW = 30
TOO_FAR = "demo-clip-too-far"


def zipped(ids: Sequence[str]) -> dict[str, Any]:
    """Drawings of the demo as PNG files named for their captions, in one zip to upload."""
    demo = load_demo()
    rows = [demo.index_of(item_id) for item_id in ids]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for row, array in zip(rows, demo.images(72, rows).permute(0, 2, 3, 1).numpy(), strict=True):
            content = io.BytesIO()
            Image.fromarray(array).save(content, format="PNG")
            name = re.sub(r"[^a-z0-9]+", "_", (demo.texts[row] or "").lower()).strip("_")
            archive.writestr(f"{name}.png", content.getvalue())
    return {"name": "drawings.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}


def add_encoder_pushed_too_far(home: Path) -> None:
    """demo-clip-ac, taken half as far again away from the original as Alignment Calibration took it."""
    workspace = Workspace(home)
    first, last = (load_weights(workspace.encoder(name).weights) for name in ("demo-clip", "demo-clip-ac"))
    weights = {
        name: first[name].float() + 1.5 * (tensor.float() - first[name].float())
        if tensor.is_floating_point()
        else tensor
        for name, tensor in last.items()
    }
    manifest = workspace.encoder("demo-clip-ac").manifest
    workspace.save_encoder(manifest.model_copy(update={"name": TOO_FAR, "title": "AC, pushed too far"}), weights)


def expect_verdict(page: Page, word: str, meaning: str) -> None:
    card = page.locator(".st-key-verdict-full")
    expect(card.get_by_role("heading", name=re.compile(word + "$"))).to_be_visible()
    expect(card.get_by_text(meaning)).to_be_visible()
    expect(card.locator(".js-plotly-plot").first).to_be_visible()
    settle(page)


def test_verdicts_are_given_to_pictures_that_deserve_them(server: Server, watched: Page, pictures_folder: Path) -> None:
    add_encoder_pushed_too_far(server.home)
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
    expect_verdict(page, "Cannot tell", "Cannot tell: this audit does not decide")
    panel = page.get_by_text(re.compile("How sure are we.*controls not fair"))
    expect(panel).to_be_visible()
    panel.click()
    expect(page.get_by_text("The controls are not fair").first).to_be_visible()
    picture("unfair-controls")

    page.get_by_text("Compared with", exact=True).first.click()
    page.get_by_text("Pictures that I upload").click()
    settle(page)
    page.locator('input[type="file"]').nth(1).set_input_files([zipped(split.held_out)])  # type: ignore[arg-type]
    expect_verdict(page, "Under-forgotten", "Not forgotten: the encoder still treats these pictures as ones it knows.")
    expect(page.get_by_role("button", name="Go to the stress test")).to_have_count(0)
    picture("under-forgotten")

    after = page.get_by_role("combobox", name="After")
    after.click()
    after.fill(TOO_FAR)  # the list is long, and only what is in sight can be clicked
    page.get_by_role("option", name=TOO_FAR).click()
    expect_verdict(page, "Over-forgotten", "Pushed too far")
    picture("over-forgotten")

    # Retrain never saw them; fewer pictures would not suffice to say so.
    page.get_by_role("button", name="Start anew").click()
    settle(page)
    after.click()
    after.fill("demo-clip-retrain")
    page.get_by_role("option", name="demo-clip-retrain").click()
    upload(page, [zipped(split.forget)])
    expect_verdict(page, "Forgotten", "Forgotten, as far as can be seen")
    expect(page.get_by_role("button", name="Go to the stress test")).to_be_visible()
    picture("forgotten")
