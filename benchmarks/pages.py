"""The pages at demo size: reruns with warm caches, the dial, selections on a map, and memory over many visits."""

from itertools import cycle
from pathlib import Path

import numpy as np
import psutil
from streamlit.testing.v1 import AppTest

from benchmarks.measure import Row, typical_seconds
from dashboard.charts.map_colours import by_set
from dashboard.charts.map_moves import one_side
from dashboard.charts.maps import MapData
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, sweep
from muc_core.projection import JointProjection
from muc_core.workspace import Workspace

DASHBOARD = Path(__file__).parents[1] / "dashboard"
PAGES = DASHBOARD / "app_pages"
FORMER = ("unlearn",)
"""Pages that only lead to another one."""
BUDGET_S = 0.3
MAP_SIZES = (5_000, 50_000)
FEW_VISITS, MANY_VISITS = 5, 50
MEMORY_GROWTH = 1.1
BEFORE, AFTER = "demo-moco", "demo-moco-ac"


def rows(*, quick: bool) -> list[Row]:
    found = []
    for path in sorted(PAGES.glob("[a-z]*.py")):
        if path.stem in FORMER:
            continue
        page = visit(path)
        page.run()
        rerun = typical_seconds(page.run, repeats=3 if quick else 9)
        found.append(
            Row(
                f"rerun of the page {path.stem.replace('_', ' ')}",
                f"{1000 * rerun:.0f} ms",
                "",
                "",
                f"<= {1000 * BUDGET_S:.0f} ms",
                rerun / BUDGET_S,
            )
        )
    return [*found, dial_row(quick=quick), *(selection_row(count, quick=quick) for count in MAP_SIZES), memory_row()]


def visit(path: Path) -> AppTest:
    """A page as the router shows it. Raises `RuntimeError` when it failed: a fault is quick, and no measurement."""
    app = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=120).run()
    app.switch_page(f"app_pages/{path.name}").run()
    said = [element.value for element in (*app.exception, *app.error)]
    if said:
        raise RuntimeError(f"the page {path.stem} failed: {said}")
    return app


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
        seconds / BUDGET_S,
    )


def selection_row(count: int, *, quick: bool) -> Row:
    """A loop on one map: the figure of the other one with a tenth of the points chosen, as JSON for the browser."""
    rng = np.random.default_rng(0)
    groups = tuple(rng.choice(["forget", "retain", "held-out"], count).tolist())
    before = rng.normal(size=(count, 2))
    projection = JointProjection(before, before + 0.1 * rng.normal(size=(count, 2)), "pca", 0, {})
    data = MapData(projection, groups, tuple(map(str, range(count))), ())
    chosen = rng.choice(count, count // 10, replace=False).tolist()
    colouring = by_set(groups)
    seconds = typical_seconds(
        lambda: one_side(data, colouring, "after", dark=False, chosen=chosen).to_json(), repeats=3 if quick else 9
    )
    return Row(f"selection on a map of {count:,} points", f"{1000 * seconds:.0f} ms", "", "", "", None)


def memory_row() -> Row:
    """What the server's process holds after many visits to pages in turn, against after a few to each."""
    pages = [path for path in sorted(PAGES.glob("[a-z]*.py")) if path.stem not in FORMER]

    def held_after(count: int) -> int:
        for number in range(count):
            visit(pages[number % len(pages)])
        return int(psutil.Process().memory_info().rss)

    held_after(len(pages))  # what is loaded once
    few = held_after(FEW_VISITS)
    many = held_after(MANY_VISITS - FEW_VISITS)
    ratio = many / few
    return Row(
        f"memory after {MANY_VISITS} page visits",
        f"{many / 2**20:,.0f} MB",
        f"after {FEW_VISITS}: {few / 2**20:,.0f} MB",
        f"{ratio:.2f}",
        f"<= {MEMORY_GROWTH:.2f}",
        ratio / MEMORY_GROWTH,
    )
