"""Measure everything and print the table: `python -m benchmarks [--quick] [--only NAME]`."""

import argparse
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks import alignment, auditing, evaluation, many, pages, projection, unlearning
from benchmarks.measure import Row

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "unlearning": unlearning.rows,
    "alignment": alignment.rows,
    "auditing": auditing.rows,
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
    table = Table(title="Budgets: ratios within one run", title_justify="left")
    for heading in ("what", "measured", "against", "ratio", "budget", ""):
        table.add_column(heading, justify="right" if heading in ("measured", "ratio", "budget") else "left")
    for name in [chosen.only] if chosen.only else BENCHMARKS:
        with console.status(f"measuring: {name}"):
            for row in BENCHMARKS[name](quick=chosen.quick):
                verdict = {True: "[green]ok[/]", False: "[red]over[/]", None: ""}[row.held]
                table.add_row(row.what, row.measured, row.against, row.ratio, row.budget, verdict)
    console.print(table)


if __name__ == "__main__":
    main()
