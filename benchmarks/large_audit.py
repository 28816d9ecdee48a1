"""The memory that an audit of a million pairs takes whose vectors lie on the disk, before and after.

One process writes the files, in half precision, and another maps and audits them: the statistics, not the embedding.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Row, peak_bytes, seconds, status_bytes
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.vectors import ImageTextVectors

DIMENSION = 512
OWNER = 1_000
PERMUTATIONS = 99
BUDGET_BYTES = 4 * 2**30
SIDES = ("before", "after")
CHUNK = 50_000


@dataclass(frozen=True)
class Measured:
    """Peaks in bytes: all that was in memory, the pages of the files included, and what was the process's own."""

    peak: int
    own: int
    seconds: float
    verdict: str


def write(folder: Path, n: int) -> None:
    """Captions near their pictures; nearer for the owner's, in the encoder before."""
    for side in SIDES:
        draws = np.random.default_rng(0)
        images, texts = (
            np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                folder / f"{side}-{kind}.npy", "w+", np.float16, (n, DIMENSION)
            )
            for kind in ("images", "texts")
        )
        for start in range(0, n, CHUNK):
            size = min(CHUNK, n - start)
            picture, noise = (draws.standard_normal((size, DIMENSION), dtype=np.float32) for _ in range(2))
            nearness = np.where((np.arange(start, start + size) < OWNER) & (side == "before"), 1.0, 0.5)
            images[start : start + size] = picture
            texts[start : start + size] = nearness[:, None] * picture + noise


def measure(folder: Path) -> Measured:
    found = {side: _mapped(folder, side) for side in SIDES}
    n = found["after"].n
    ids = list(map(str, range(n)))
    said: list[str] = []

    def work() -> None:
        result = audit(
            found["after"],
            before=found["before"],
            owner_ids=ids[:OWNER],
            control_ids=ids[OWNER:],
            settings=AuditSettings(permutations=PERMUTATIONS),
        )
        said.append(result.verdict)

    took, own = _watched(work)
    return Measured(peak_bytes(), own, took, said[0])


def _mapped(folder: Path, side: str) -> ImageTextVectors:
    images, texts = (np.load(folder / f"{side}-{kind}.npy", mmap_mode="r") for kind in ("images", "texts"))
    return ImageTextVectors(images[None], texts)


def _watched(work: Callable[[], None]) -> tuple[float, int]:
    """Seconds that the work took, and the most memory of its own that the process held meanwhile."""
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, status_bytes("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return seconds(work), peak
    finally:
        over.set()
        watcher.join()


def rows(*, quick: bool) -> list[Row]:
    n = 100_000 if quick else 1_000_000
    module = [sys.executable, "-m", "benchmarks.large_audit"]
    with TemporaryDirectory() as folder:
        subprocess.run([*module, "write", folder, str(n)], check=True)
        answer = subprocess.run([*module, "measure", folder], stdout=subprocess.PIPE, text=True, check=True)
    measured = Measured(**json.loads(answer.stdout))
    files = 2 * len(SIDES) * n * DIMENSION * 2
    return [
        Row(
            f"memory of an audit of {n:,} pairs x {DIMENSION} from the disk, before and after",
            f"{measured.peak / 2**30:.2f} GB",
            f"without pages of the files ({files / 2**30:.1f} GB): {measured.own / 2**30:.2f} GB; "
            f"{measured.seconds:.0f} s, verdict {measured.verdict}",
            "",
            f"<= {BUDGET_BYTES / 2**30:.0f} GB",
            measured.peak / BUDGET_BYTES,
        )
    ]


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(asdict(measure(Path(sys.argv[2])))))
