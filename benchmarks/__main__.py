"""Measure everything and print the table: `python -m benchmarks [--quick] [--only NAME]`."""

import argparse
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.table import Table

from benchmarks import alignment, auditing, evaluation, large_audit, many, pages, projection, start, unlearning
from benchmarks.measure import Row

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "start": start.rows,
    "unlearning": unlearning.rows,
    "alignment": alignment.rows,
    "auditing": auditing.rows,
    "large-audit": large_audit.rows,
    "projection": projection.rows,
    "evaluation": evaluation.rows,
    "pages": pages.rows,
    "many": many.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory as ratios in one run.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes; the ratios are rougher")
    parser.add_argument("--only", choices=BENCHMARKS, help="one of them")
    chosen = parser.parse_args()

    console = Console()
    found: list[Row] = []
    for name in [chosen.only] if chosen.only else BENCHMARKS:
        with console.status(f"measuring: {name}"):
            found += BENCHMARKS[name](quick=chosen.quick)
    console.print(measurements(found), budgets(found))


def measurements(rows: Iterable[Row]) -> Table:
    """Everything that was measured, and against what."""
    table = _table("Measured: ratios within one run", "what", "measured", "against", "ratio")
    for row in rows:
        table.add_row(row.what, row.measured, row.against, row.ratio)
    return table


def budgets(rows: Iterable[Row]) -> Table:
    """What is promised; a promise is kept up to a ratio of 1."""
    table = _table("Budgets", "what", "budget", "measured", "ratio to the limit", "")
    for row in rows:
        if row.of_limit is not None:
            measured = row.ratio or row.measured
            verdict = "[green]ok[/]" if row.held else "[red]over[/]"
            table.add_row(row.what, row.budget, measured, f"{row.of_limit:.2f}", verdict)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("what", "against", "") else "right")
    return table


if __name__ == "__main__":
    main()
