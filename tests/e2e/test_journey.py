"""The dashboard in a real browser: the main journey, wrong files in the dark, and a closed tab."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from muc_core.jobs import Job
from muc_core.workspace import Workspace
from tests.e2e.browser import (
    Server,
    Watch,
    choose,
    environment,
    job_card,
    open_page,
    own_drawings,
    set_number,
    settle,
    upload,
    whole_page,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RUN_WITHIN_S = 300.0


def keep(page: Page, path: Path) -> None:
    """Write a screenshot for whoever wants to see what the browser saw."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(whole_page(page))


def wait_for(server: Server, wanted: Callable[[Job], bool]) -> Job:
    """The newest job once it is as wanted."""
    deadline = time.monotonic() + RUN_WITHIN_S
    while True:
        jobs = server.jobs.jobs(limit=1)
        if jobs and wanted(jobs[0]):
            return jobs[0]
        assert time.monotonic() < deadline, f"the newest job is still {jobs[0].state if jobs else 'missing'}"
        time.sleep(0.3)


def expect_state(card: Locator, state: str) -> None:
    """The badge of a job, whose icon counts as text, too, ends with its state."""
    expect(card.locator("p").first).to_have_text(re.compile(rf"\b{state}$"))


def expect_gap_matrix(page: Page) -> None:
    """Heatmaps of before, after and the gap are drawn, in one figure or in several."""
    for name in ("Before:", "After:", "Gap:"):
        expect(page.locator(".js-plotly-plot").filter(has_text=name).first).to_be_visible()


def muc(server: Server, *arguments: str) -> Any:
    """What a command of the command line prints as JSON, in the server's workspace."""
    command = Path(sys.executable).with_name("muc")
    done = subprocess.run(
        [command, *arguments, "--json"], env=environment(server.home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_the_demo_to_an_own_unlearned_encoder(server: Server, watched: Page, pictures_folder: Path) -> None:
    page = watched
    step = 0

    def picture(name: str) -> None:
        nonlocal step
        step += 1
        keep(page, pictures_folder / f"journey-{step:02}-{name}.png")

    page.goto(server.url)
    settle(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("What do you want to do?")
    picture("start")
    page.get_by_role("link", name="Overview").last.click()
    expect(page.get_by_text("To be forgotten").first).to_be_visible()
    picture("overview")

    open_page(page, "Matrices")
    expect_gap_matrix(page)
    picture("matrices-of-the-demo")

    open_page(page, "Check my pictures")
    uploads = own_drawings(3)
    upload(page, uploads)
    expect_gap_matrix(page)
    bars = page.locator(".js-plotly-plot").first
    for file in uploads:
        expect(bars).to_contain_text(file["name"].removesuffix(".png").replace("_", " ")[:12])
    picture("own-pictures")

    open_page(page, "Tune")
    choose(page, "Method", "Alignment Calibration")
    set_number(page, "Epochs", 30)
    page.get_by_role("button", name="Start unlearning").dblclick()
    first = wait_for(server, lambda job: job.step >= 3)
    assert len(server.jobs.jobs()) == 1
    assert first.settings["name"] == page.get_by_label("Name of the new encoder", exact=True).input_value()
    card = job_card(page, first.id)
    expect_state(card, "running")
    # while a fragment is drawn anew, the old elements may stand beside the new ones for a moment: the first will do
    expect(card.get_by_text(re.compile(r"step \d+ of \d+")).first).to_be_visible()
    expect(card.locator(".js-plotly-plot").filter(has_text="The loss").first).to_be_visible()
    picture("running")
    card.get_by_role("button", name="Cancel").click()
    expect_state(card, "cancelled")
    assert server.jobs.job(first.id).state == "cancelled"
    picture("cancelled")

    set_number(page, "Epochs", 1)
    page.get_by_role("button", name="Start unlearning").click()
    second = wait_for(server, lambda job: job.id != first.id and not job.active)
    assert second.state == "done", second.error
    card = job_card(page, second.id)
    expect_state(card, "done")
    card.get_by_role("button", name="Use it as After").click()
    name = str(second.result["encoder"])
    expect(card.get_by_text(f"{name} is now After on every page").first).to_be_visible()
    expect(page.get_by_label("Name of the new encoder", exact=True)).not_to_have_value(name)
    picture("done")

    open_page(page, "Matrices")
    expect(page.get_by_role("combobox", name="After")).to_have_value(name)
    expect_gap_matrix(page)
    picture("matrices-of-the-new-encoder")

    compare_with_the_command_line(server, name)


def compare_with_the_command_line(server: Server, name: str) -> None:
    """The same unlearning as a command: the same settings, seeds and numbers."""
    workspace = Workspace(server.home)
    from_page = workspace.encoder(name).manifest
    choices = ("--method", "ac", "--original", str(from_page.original), "--forget", "owner:artist")
    job = muc(server, "unlearn", *choices, "--epochs", "1", "--name", "by-command")
    assert job["state"] == "done"
    by_command = workspace.encoder("by-command").manifest
    assert (by_command.settings, by_command.seeds) == (from_page.settings, from_page.seeds)
    ways = [
        muc(server, "matrices", "--before", str(from_page.original), "--after", encoder, "--items", "owner:artist")
        for encoder in (name, "by-command")
    ]
    summaries = [way["after"]["summary"] for way in ways]
    means = [{key: value for key, value in each.items() if key != "notes"} for each in summaries]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    unchanged = ways[0]["before"]["summary"]
    assert means[0]["positive_mean"] < unchanged["positive_mean"] - 0.01


def test_wrong_files_are_named_and_the_others_go_on_in_the_dark(
    server: Server, browser: Browser, browser_context_args: dict[str, Any], pictures_folder: Path
) -> None:
    page = browser.new_context(**browser_context_args, color_scheme="dark").new_page()
    watch = Watch(page)
    page.goto(server.url)
    settle(page)
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(20, 22, 28)")
    open_page(page, "Check my pictures")
    broken = own_drawings(1)[0]["buffer"][:300]
    upload(
        page,
        [
            *own_drawings(2),
            {"name": "letter.png", "mimeType": "image/png", "buffer": b"Dear artist, this is a letter."},
            {"name": "half.png", "mimeType": "image/png", "buffer": broken},
        ],
    )
    expect(page.get_by_text(re.compile("2 files were not used; the others go on"))).to_be_visible()
    for name in ("letter.png", "half.png"):
        expect(page.get_by_role("listitem").filter(has_text=name)).to_be_visible()
    expect_gap_matrix(page)
    keep(page, pictures_folder / "dark-wrong-files.png")
    page.context.close()
    assert not watch.problems, "\n".join(watch.problems)


def test_a_job_goes_on_when_its_tab_is_closed(server: Server, watched: Page, pictures_folder: Path) -> None:
    watched.goto(server.url)
    settle(watched)
    open_page(watched, "Tune")
    set_number(watched, "Epochs", 2)
    watched.get_by_role("button", name="Start unlearning").click()
    started = wait_for(server, lambda job: job.step >= 1)
    assert started.state == "running"
    context = watched.context
    watched.close()

    ended = wait_for(server, lambda job: not job.active)
    assert (ended.id, ended.state) == (started.id, "done")
    assert ended.step == ended.total > started.step

    again = context.new_page()
    watch = Watch(again)
    again.goto(server.url)
    settle(again)
    open_page(again, "Tune")
    card = job_card(again, ended.id)
    expect_state(card, "done")
    expect(card.get_by_role("button", name="Use it as After").first).to_be_visible()
    keep(again, pictures_folder / "closed-tab.png")
    assert not watch.problems, "\n".join(watch.problems)
