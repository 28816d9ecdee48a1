"""The audit: its permutations, and an audit of demo drawings from the command line, end to end."""

import subprocess
import sys
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.measure import Row, seconds, typical_seconds
from muc_core.stats.two_samples import permute

PERMUTATIONS = 10_000
BUDGET_PERMUTATIONS_S, BUDGET_AUDIT_S = 2.0, 10.0


def rows(*, quick: bool) -> list[Row]:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=200), rng.normal(size=200)
    permuted = typical_seconds(
        lambda: permute(first, second, alternative="greater", permutations=PERMUTATIONS), repeats=1 if quick else 5
    )
    audited = seconds(audit_of_200_and_200)
    return [
        Row(
            f"{PERMUTATIONS:,} permutations of 200 + 200 items",
            f"{permuted:.2f} s",
            "",
            "",
            f"<= {BUDGET_PERMUTATIONS_S:.0f} s",
            permuted / BUDGET_PERMUTATIONS_S,
        ),
        Row(
            "muc audit of 200 + 200 demo drawings, end to end",
            f"{audited:.1f} s",
            "a new process, on 2 cores",
            "",
            f"<= {BUDGET_AUDIT_S:.0f} s",
            audited / BUDGET_AUDIT_S,
        ),
    ]


def audit_of_200_and_200() -> None:
    """Trained drawings against never-trained ones, with probes, eight views and collateral, as `muc audit` does it."""
    from muc_core.data.demo import demo_split

    split = demo_split()
    sets = {"owner": split.train[:200], "controls": [*split.held_out, *split.calibration][:200]}
    with TemporaryDirectory() as folder:
        for name, ids in sets.items():
            with open(f"{folder}/{name}.txt", "w", encoding="utf-8") as file:
                file.write("\n".join(ids))
        command = [sys.executable, "-c", "from muc_core.cli import app; app()", "audit", "--before", "demo-clip"]
        command += ["--after", "demo-clip-ac", "--forget", f"ids:{folder}/owner.txt"]
        command += ["--controls", f"ids:{folder}/controls.txt", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 10, 11, 12):
        raise RuntimeError(f"the audit failed: {done.stderr}")
