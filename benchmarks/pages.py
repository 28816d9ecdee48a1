"""A page's rerun after a click, demo size, with the caches warm as they are after the first look."""

from itertools import cycle
from pathlib import Path

from streamlit.testing.v1 import AppTest

from benchmarks.measure import Row, typical_seconds
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, sweep
from muc_core.workspace import Workspace

PAGES = Path(__file__).parents[1] / "dashboard" / "app_pages"
FORMER = ("unlearn",)
"""Pages that only lead to another one."""
BUDGET_S = 0.3
BEFORE, AFTER = "demo-moco", "demo-moco-ac"


def rows(*, quick: bool) -> list[Row]:
    found = []
    for path in sorted(PAGES.glob("[a-z]*.py")):
        if path.stem in FORMER:
            continue
        page = AppTest.from_file(str(path), default_timeout=120).run()
        page.run()
        rerun = typical_seconds(page.run, repeats=3 if quick else 9)
        found.append(
            Row(
                f"rerun of the page {path.stem.replace('_', ' ')}",
                f"{1000 * rerun:.0f} ms",
                "",
                "",
                f"<= {1000 * BUDGET_S:.0f} ms",
                rerun <= BUDGET_S,
            )
        )
    return [*found, dial_row(quick=quick)]


def dial_row(*, quick: bool) -> Row:
    """Turning the strength dial of a demo pair: the whole page runs, where a browser runs the dial alone."""
    sweep(Workspace(), StrengthSweepSettings(before=BEFORE, after=AFTER, strengths=(0.0, 0.5, 1.0, 1.5), others=False))
    page = AppTest.from_file(str(PAGES / "tune.py"), default_timeout=120)
    page.session_state["view"], page.session_state["unlearned"] = "Strength dial", AFTER
    page.run()
    places = cycle(page.select_slider[0].options)

    def turn() -> None:
        page.select_slider[0].set_value(next(places)).run()

    turn()
    seconds = typical_seconds(turn, repeats=3 if quick else 9)
    return Row(
        "turn of the strength dial, all figures redrawn",
        f"{1000 * seconds:.0f} ms",
        "",
        "",
        f"<= {1000 * BUDGET_S:.0f} ms",
        seconds <= BUDGET_S,
    )
