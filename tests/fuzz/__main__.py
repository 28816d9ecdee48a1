"""Fuzzes every parser of what a stranger wrote, and prints what was found.

python -m tests.fuzz [--minutes 10] [--seed 0] [--only NAME ...]
"""

import argparse
import sys

import torch
from rich.console import Console
from rich.table import Table

from tests.fuzz.target import Found, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="of computing, shared by all parsers alike")
    parser.add_argument("--seed", type=int, default=0, help="of the first examples; other seeds give other ones")
    parser.add_argument("--only", nargs="+", choices=TARGETS, metavar="NAME", help=f"of {', '.join(TARGETS)}")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    console, names, found = Console(), chosen.only or list(TARGETS), []
    for name in names:
        one = fuzz(TARGETS[name], 60 * chosen.minutes / len(names), chosen.seed)
        found.append(one)
        console.print(f"{name}: {one.examples:,} examples, {len(one.faults)} faults, {one.cpu_s:.0f} s of CPU")
        sys.stdout.flush()
        for where, example in one.faults.items():
            console.print(f"  {where}", style="red", markup=False)
            console.print(example, markup=False, highlight=False)
    console.print(table(found))
    return int(any(one.faults or not one.examples for one in found))


def table(found: list[Found]) -> Table:
    shown = Table(title="What parsers were given", title_justify="left")
    for heading in ("parser", "examples", "refused", "faults", "s of CPU"):
        shown.add_column(heading, justify="left" if heading == "parser" else "right")
    for one in found:
        shown.add_row(one.name, f"{one.examples:,}", f"{one.refused:,}", str(len(one.faults)), f"{one.cpu_s:.0f}")
    shown.add_section()
    total = sum(one.examples for one in found), sum(one.refused for one in found)
    faults, cpu_s = sum(len(one.faults) for one in found), sum(one.cpu_s for one in found)
    shown.add_row("all", f"{total[0]:,}", f"{total[1]:,}", str(faults), f"{cpu_s:.0f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())
