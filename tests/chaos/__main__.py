"""Injects faults and prints what held.

python -m tests.chaos [--trials 50] [--seed 0] [--only NAME ...]
"""

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.chaos.forks import ROOM, run_with_room

NAMES = (
    *("training", "unlearning", "sweep", "audit", "registry", "submitting", "server", "two", "full", "read-only"),
    *("clock", "versions", "database", "remote-hangs", "remote-lies", "remote-429", "remote-dies", "remote-worker"),
)
"""Known before anything is loaded."""

if TYPE_CHECKING:
    from tests.chaos.scene import Row, Scene


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=50, help="moments at which processes are killed, of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of these moments")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    has_room = sys.argv[-1] == ROOM
    arguments = parser.parse_args(sys.argv[1:-1] if has_room else sys.argv[1:])
    if not has_room:
        return run_with_room("tests.chaos", sys.argv[1:])
    return experiment(arguments.trials, arguments.seed, arguments.only)


def experiment(trials: int, seed: int, only: list[str] | None) -> int:
    """Run the experiments and print their table; 1 when something did not hold."""
    import torch

    from tests import tuned
    from tests.chaos.experiments import EXPERIMENTS
    from tests.chaos.scene import Scene, prepare

    torch.set_num_threads(1)
    prepare()
    assert tuple(EXPERIMENTS) == NAMES
    wanted = {name: EXPERIMENTS[name] for name in only or EXPERIMENTS}
    console, rows = Console(), []
    with tempfile.TemporaryDirectory(prefix="muc-chaos-") as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        tuned.write_pictures(pictures)
        for name, run in wanted.items():
            before = _cpu_seconds()
            scene = Scene(Path(folder), pictures, trials, random.Random(f"{seed} {name}"))
            row = _held(run, scene, name)
            rows.append(row)
            console.print(
                f"{name}: {row.tried} tried, {len(row.broken)} broken, {_cpu_seconds() - before:.0f} s of CPU"
            )
            for sentence in row.broken[:5]:
                console.print(f"  {sentence}", style="red", markup=False)
    console.print(_table(rows))
    return int(any(row.broken for row in rows))


def _cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    return sum(os.times()[:4])


def _held(run: "Callable[[Scene], Row]", scene: "Scene", name: str) -> "Row":
    from tests.chaos.scene import Row

    try:
        return run(scene)
    except Exception as fault:
        return Row(name, "the experiment itself", 1, [f"the experiment itself: {type(fault).__name__}: {fault}"])


def _table(rows: "list[Row]") -> Table:
    table = Table(title="Faults and what held")
    table.add_column("fault")
    table.add_column("tried", justify="right")
    table.add_column("held", justify="right")
    table.add_column("promise")
    table.add_column("of these")
    for row in rows:
        seen = ", ".join(f"{count} {what}" for what, count in row.seen.items())
        table.add_row(row.fault, str(row.tried), str(row.tried - len(row.broken)), row.promise, seen)
    return table


if __name__ == "__main__":
    sys.exit(main())
