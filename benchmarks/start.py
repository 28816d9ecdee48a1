"""From the start of the server to the first page in a browser, and the command line's first answer."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from benchmarks.measure import Row, typical_seconds
from tests.e2e.browser import PATIENCE_MS, launch_arguments, serve

BUDGET_PAGE_S, BUDGET_HELP_S = 10.0, 0.4


def rows(*, quick: bool) -> list[Row]:
    page, answer = first_page(), typical_seconds(help_of_muc, repeats=3 if quick else 9)
    return [
        Row(
            "server's start to the first page",
            f"{page:.1f} s",
            "",
            "",
            f"<= {BUDGET_PAGE_S:.0f} s",
            page / BUDGET_PAGE_S,
        ),
        Row(
            "muc --help",
            f"{1000 * answer:.0f} ms",
            "a new process",
            "",
            f"<= {1000 * BUDGET_HELP_S:.0f} ms",
            answer / BUDGET_HELP_S,
        ),
    ]


def first_page() -> float:
    """Seconds until the heading is to be seen, in a browser that is open already."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = playwright.chromium.launch(**launch_arguments()).new_page()
        began = time.perf_counter()
        with serve(Path(folder) / "home", Path(folder) / "server.log") as running:
            page.goto(running.url)
            page.get_by_role("heading").first.wait_for(timeout=PATIENCE_MS)
            return time.perf_counter() - began


def help_of_muc() -> None:
    command = [sys.executable, "-c", "from muc_core.cli import app; app()", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
