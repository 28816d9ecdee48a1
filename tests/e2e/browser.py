"""What the browser tests and the script that takes the README's pictures share: a server, a browser, and helpers."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from muc_core.data.demo import load_demo
from muc_core.jobs import JobTable, cancel
from muc_core.workspace import Workspace
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_WITHIN_S = 120.0
PATIENCE_MS = 120_000
"""For what a page computes: the first comparison loads encoders and draws 1,600 pictures."""

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Server:
    """A running dashboard with a workspace of its own."""

    url: str
    home: Path
    log: Path

    @property
    def jobs(self) -> JobTable:
        return JobTable(Workspace(self.home))


@contextmanager
def serve(home: Path, log: Path, *options: str) -> Iterator[Server]:
    """Serve the dashboard on a free port with `home` as its workspace; jobs still active at the end are cancelled.

    Args:
        options: further ones of `streamlit run`.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/server.py"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--server.port", str(port), "--server.address", "127.0.0.1", *options],
            cwd=ROOT,
            env=environment(home),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for_health(url, process, log)
            yield Server(url, home, log)
        finally:
            workspace = Workspace(home)
            for job in JobTable(workspace).active():
                cancel(workspace, job.id)
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(home: Path) -> dict[str, str]:
    """The environment in which server and commands use `home`."""
    return {**os.environ, "MUC_HOME": str(home)}


def _wait_for_health(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once:\n{log.read_text(errors='replace')}")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"no answer from {url} within {START_WITHIN_S:.0f} s:\n{log.read_text(errors='replace')}")


def launch_arguments() -> dict[str, Any]:
    """How to launch the system's own browser, without its talking to anybody.

    Raises:
        RuntimeError: there is none.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise RuntimeError(
            f"the browser tests need one of {', '.join(names)} on the PATH (Debian: apt-get install chromium)"
        )
    return {
        "executable_path": found,
        "headless": True,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


class Watch:
    """Collects what must not happen on a page: script errors, console errors, and requests to other machines."""

    def __init__(self, page: Page) -> None:
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        page.on("console", lambda message: self._console(message.type, message.text, message.location.get("url", "")))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str, url: str) -> None:
        # On a page's own address Streamlit first looks for its endpoints beside the page, then at the root.
        probe = "404" in text and url.endswith(("/_stcore/health", "/_stcore/host-config"))
        if kind == "error" and not probe:
            self.problems.append(f"console: {text} ({url})")

    def _request(self, url: str) -> None:
        if url.startswith(("http:", "https:", "ws:", "wss:")) and "://127.0.0.1:" not in url:
            self.problems.append(f"request to another machine: {url}")


SERIOUS = ("serious", "critical")
LOOKS = ((1280, "light"), (1280, "dark"), (390, "dark"), (390, "light"))
"""Widths and themes in which every page must be usable; a desk first."""


def in_every_look(page: Page, *, tall: int = 844) -> Iterator[str]:
    """The page as it stands at both widths in both themes, called WIDTH-THEME."""
    for width, theme in LOOKS:
        page.set_viewport_size({"width": width, "height": tall})
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        settle(page)
        page.keyboard.press("r")  # charts and buttons are drawn for the theme that the browser last told of
        settle(page)
        yield f"{width}-{theme}"


def faults(page: Page, *rules: str) -> list[str]:
    """What is wider than the window, and which serious rules of axe-core are broken where.

    Args:
        rules: of axe-core, all of them when none is named.
    """
    width = page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    window = page.evaluate("window.innerWidth")
    found = [f"is {width} px wide in a window of {window}"] if width > window else []
    options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else None
    for rule in Axe().run(page, options=options).response["violations"]:
        if rule["impact"] in SERIOUS:
            found += [f"{rule['id']} at {' '.join(map(str, node['target']))}" for node in rule["nodes"]]
    return found


def look_at(page: Page, folder: Path, name: str) -> list[str]:
    """What on the page as it stands is cut off or hard to read; its picture goes to `folder`."""
    folder.mkdir(exist_ok=True)
    found = [f"{name}: {fault}" for fault in faults(page, "color-contrast")]
    (folder / f"{name}.png").write_bytes(whole_page(page, tallest=2400))
    return found


def look_at_all(page: Page, folder: Path, name: str) -> None:
    """Nothing may be cut off or hard to read, on a desk or a phone, by day or by night."""
    found = [fault for look in in_every_look(page) for fault in look_at(page, folder, f"{name}-{look}")]
    assert not found, "\n".join(found)


def open_page(page: Page, title: str) -> None:
    """Go to a page through the navigation and wait until it stands."""
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True)
    link.click()
    expect(link).to_have_attribute("aria-current", "page")  # else the page before it might be taken to stand still
    settle(page)


TRANSITIONS = """() => Promise.race([
    Promise.allSettled(
        document.getAnimations()
            .filter(one => one.playState === "running" && one.effect.getComputedTiming().endTime < Infinity)
            .map(one => one.finished)
    ),
    new Promise(resolve => setTimeout(resolve, 2000)),
])"""
"""Done when colours and places have come to rest; those of a page that is not in front never do."""


def settle(page: Page) -> None:
    """Wait until the script of the page has run; fail when it showed an error of ours."""
    page.wait_for_timeout(300)  # a click's rerun begins a moment later
    expect(page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')).to_be_visible(
        timeout=PATIENCE_MS
    )
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("Something went wrong here that is our fault")).to_have_count(0)
    page.evaluate(TRANSITIONS)  # a colour on its way to another one is neither


def set_number(page: Page, label: str, value: float) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(f"{value:g}")
    field.press("Enter")
    settle(page)


def choose(page: Page, label: str, option: str) -> None:
    """Pick an option of a select box by what it begins with."""
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).first.click()
    settle(page)


def whole_page(page: Page, *, tallest: int = 4000) -> bytes:
    """A screenshot as PNG of the whole page, not only of what fits into the window; at most `tallest` pixels high."""
    window = page.viewport_size
    assert window is not None
    height = page.get_by_test_id("stMain").evaluate("element => element.scrollHeight")
    page.set_viewport_size({"width": window["width"], "height": min(max(window["height"], height), tallest)})
    page.wait_for_timeout(700)  # charts are drawn anew
    content = page.screenshot()
    page.set_viewport_size(window)
    return content


def own_drawings(count: int) -> list[dict[str, Any]]:
    """The first drawings of the demo's artist as PNG files to upload, named for their captions."""
    demo = load_demo()
    chosen = [index for index, owner in enumerate(demo.owners) if owner == "artist"][:count]
    pixels = demo.images(128, chosen).permute(0, 2, 3, 1).numpy()
    files = []
    for index, array in zip(chosen, pixels, strict=True):
        content = io.BytesIO()
        Image.fromarray(array).save(content, format="PNG")
        name = re.sub(r"[^a-z0-9]+", "_", (demo.texts[index] or "").lower()).strip("_")
        files.append({"name": f"{name}.png", "mimeType": "image/png", "buffer": content.getvalue()})
    return files


def job_card(page: Page, job_id: str) -> Locator:
    return page.locator(f".st-key-job-{job_id}")


def upload(page: Page, files: Sequence[Mapping[str, Any]]) -> None:
    """Upload files given as name, mimeType and buffer."""
    page.locator('input[type="file"]').first.set_input_files(list(files))  # type: ignore[arg-type]
    settle(page)
