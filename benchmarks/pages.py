"""A page's rerun after a click, demo size, with the caches warm as they are after the first look."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

from benchmarks.measure import Row, typical_seconds

PAGES = Path(__file__).parents[1] / "dashboard" / "app_pages"
BUDGET_S = 0.3


def rows(*, quick: bool) -> list[Row]:
    found = []
    for path in sorted(PAGES.glob("[a-z]*.py")):
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
    return found
