"""Takes the README's pictures: every page, light and dark, 1280 wide, into assets/screenshots/PAGE-THEME.png.

Each way to a verdict is taken light only, as verdict-PATH-light.png.

python -m tests.e2e.screenshots [--out FOLDER] [--only PAGE ...]
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from muc_core.jobs.tasks.compare import CompareSettings, candidates
from muc_core.jobs.tasks.compare import compare as compare_encoders
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, sweep
from muc_core.workspace import Workspace
from muc_core.workspace.evidence import kept_packs
from tests.e2e.browser import (
    PATIENCE_MS,
    ROOT,
    Server,
    launch_arguments,
    open_page,
    own_drawings,
    serve,
    settle,
    upload,
    whole_page,
)
from tests.e2e.verdict_paths import PATHS, expect_verdict, make_stress_test

THEMES = ("light", "dark")
TALLEST = 1800
COLOURS = 192


def overview(page: Page, server: Server) -> None:
    page.get_by_text("To be forgotten").first.wait_for()


def present(page: Page, server: Server) -> None:
    """What one picture was taken for."""
    page.goto(f"{server.url}/present?step=3")
    page.get_by_text("Before, the AI would call it").wait_for()


def check_my_pictures(page: Page, server: Server) -> None:
    upload(page, own_drawings(3))
    page.locator(".js-plotly-plot").nth(1).wait_for()


def verdict(page: Page, server: Server) -> None:
    """All drawings that the artist withdrew, audited."""
    page.get_by_role("button", name="Try with all").click()
    page.locator(".st-key-verdict-full").locator(".js-plotly-plot").first.wait_for()


def stress_test(page: Page, server: Server) -> None:
    """The result of a stress test; the second theme finds it made."""
    make_stress_test(server.home)
    page.reload()
    page.get_by_text("Three other ways to push").wait_for()
    page.locator(".js-plotly-plot").nth(3).wait_for()


def matrices(page: Page, server: Server) -> None:
    page.locator(".js-plotly-plot").first.wait_for()


def embedding_map(page: Page, server: Server) -> None:
    """The UMAP; the second theme finds it computed."""
    page.get_by_test_id("stRadio").get_by_text("UMAP").click()
    settle(page)
    compute = page.get_by_role("button", name="Compute UMAP")
    if compute.count():
        compute.click()
        settle(page)
        page.get_by_text("has not been computed yet").wait_for(state="hidden", timeout=5 * PATIENCE_MS)


def tune(page: Page, server: Server) -> None:
    """The strength dial, measured; the second theme finds it so."""
    sweep(Workspace(server.home), StrengthSweepSettings(before="demo-moco", after="demo-moco-ac"))
    page.goto(f"{server.url}/tune?view=Strength+dial&unlearned=demo-moco-ac&strength=1.25")
    settle(page)
    page.locator(".js-plotly-plot").nth(3).wait_for()


def start(page: Page, server: Server) -> None:
    page.get_by_text("Were my pictures forgotten?").wait_for()


def compare(page: Page, server: Server) -> None:
    """Every encoder of the CLIP, measured; the second theme finds them so."""
    workspace = Workspace(server.home)
    names = candidates(workspace, "demo-clip", "demo-clip-ac")
    compare_encoders(workspace, CompareSettings(original="demo-clip", encoders=names))
    page.reload()
    page.locator(".js-plotly-plot").nth(1).wait_for()


def encoders(page: Page, server: Server) -> None:
    """With a check; the second theme finds it done."""
    check = page.get_by_role("button", name="Check it", exact=True)
    if check.count():
        check.click()
    page.get_by_text("probes passed on").wait_for()


def evidence(page: Page, server: Server) -> None:
    """A pack of the audit of all withdrawn drawings, checked; the second theme finds it made."""
    if not (made := kept_packs(Workspace(server.home))):
        open_page(page, "Check my pictures")
        verdict(page, server)
        page.get_by_role("button", name="Evidence pack").click()
        page.get_by_text("Without a passphrase").click()
        page.get_by_role("button", name="Make the evidence pack").click()
        page.get_by_role("button", name="Save the evidence pack").wait_for()
        made = kept_packs(Workspace(server.home))
        open_page(page, "Evidence")
    page.locator("input[type=file]").first.set_input_files(made[0].path)
    page.locator(".st-key-evidence-verified").wait_for()


PAGES: dict[str, tuple[str, Callable[[Page, Server], None]]] = {
    "start": ("Start", start),
    "overview": ("Overview", overview),
    "present": ("Present", present),
    "check-my-pictures": ("Check my pictures", check_my_pictures),
    "verdict": ("Check my pictures", verdict),
    "stress-test": ("Stress test", stress_test),
    "matrices": ("Matrices", matrices),
    "embedding-map": ("Embedding map", embedding_map),
    "tune": ("Tune", tune),
    "compare": ("Compare", compare),
    "evidence": ("Evidence", evidence),
    "encoders": ("Encoders", encoders),
}

VERDICTS = {f"verdict-{path}": path for path in PATHS}


def take(name: str, page: Page, server: Server) -> None:
    """Bring what is called so onto the page."""
    if name in PAGES:
        title, prepare = PAGES[name]
        open_page(page, title)
        prepare(page, server)
    else:
        word, lead = PATHS[VERDICTS[name]]
        lead(page, server)
        expect_verdict(page, word)
        page.get_by_test_id("stMain").evaluate("element => element.scrollTo(0, 0)")


def save(content: bytes, path: Path) -> None:
    """A PNG with a palette: a third of the size, and no difference that one sees."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {image.width} x {image.height}, {path.stat().st_size / 1024:.0f} kB")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.screenshots", description="Take the README's pictures.")
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots", help="folder for the pictures")
    parser.add_argument(
        "--only", nargs="+", choices=[*PAGES, *VERDICTS], default=[*PAGES, *VERDICTS], help="what to take"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder) / "home", Path(folder) / "server.log") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(**launch_arguments())
        for name in arguments.only:
            for theme in THEMES if name in PAGES else THEMES[:1]:
                context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
                page = context.new_page()
                page.set_default_timeout(PATIENCE_MS)
                page.goto(server.url)
                settle(page)
                take(name, page, server)
                settle(page)
                save(whole_page(page, tallest=TALLEST), out / f"{name}-{theme}.png")
                context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
