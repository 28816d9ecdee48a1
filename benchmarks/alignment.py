"""Matrix statistics against a bare tiled matmul, and the memory they take.

Runs in a process of its own, so that the peak is that of the statistics and nothing else.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Row, peak_bytes, seconds
from muc_core.audit import summarise
from muc_core.audit.alignment import chunks

DIMENSION = 512
BUDGET_BYTES = 2 * 2**30
BUDGET_SPEED = 0.70


@dataclass(frozen=True)
class Measured:
    statistics_s: float
    matmul_s: float
    matmul_tile: int
    growth_bytes: int


def bare_matmul(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32], tile: int) -> None:
    """Every tile of `left @ right.T`, each thrown away."""
    cells = np.empty((tile, tile), dtype=np.float32)
    for rows in chunks(len(left), tile):
        for columns in chunks(len(right), tile):
            a, b = left[rows], right[columns]
            np.matmul(a, b.T, out=cells[: len(a), : len(b)])


def measure(n: int) -> Measured:
    before = peak_bytes()
    draws = np.random.default_rng(0)
    images = draws.standard_normal((n, DIMENSION), dtype=np.float32)
    texts = images + 3 * draws.standard_normal((n, DIMENSION), dtype=np.float32)
    # The statistics must hold against the tile that suits the bare product best, not against their own.
    part = min(n, 16_384)
    trials = {size: seconds(partial(bare_matmul, images[:part], texts[:part], size)) for size in (1024, 2048, 4096)}
    best = min(trials, key=lambda size: trials[size])
    # The product before and after the statistics: a machine that slows down or speeds up favours neither.
    bare = partial(bare_matmul, images, texts, best)
    first, statistics, last = seconds(bare), seconds(lambda: summarise(images, texts)), seconds(bare)
    growth = peak_bytes() - before  # the vectors themselves included
    return Measured(statistics, (first + last) / 2, best, growth)


def rows(*, quick: bool) -> list[Row]:
    n = 20_000 if quick else 100_000
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.alignment", str(n)], stdout=subprocess.PIPE, text=True, check=True
    )
    measured = Measured(**json.loads(answer.stdout))
    speed = measured.matmul_s / measured.statistics_s
    return [
        Row(
            f"alignment statistics, {n:,} pairs x {DIMENSION}",
            f"{measured.statistics_s:.1f} s",
            f"bare matmul in tiles of {measured.matmul_tile:,}: {measured.matmul_s:.1f} s",
            f"{speed:.0%} of its speed",
            f">= {BUDGET_SPEED:.0%}",
            BUDGET_SPEED / speed,
        ),
        Row(
            f"their memory, {n:,} pairs, vectors included",
            f"{measured.growth_bytes / 2**30:.2f} GB",
            f"the vectors alone: {2 * n * DIMENSION * 4 / 2**30:.2f} GB",
            "",
            f"<= {BUDGET_BYTES / 2**30:.0f} GB",
            measured.growth_bytes / BUDGET_BYTES,
        ),
    ]


if __name__ == "__main__":
    print(json.dumps(asdict(measure(int(sys.argv[1])))))
