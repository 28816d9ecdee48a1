"""`python -m tests.hostile OUT`: build the corpus in the new folder OUT, send it through its doors, print a table.

Ends with the exit code 1 when anything went wrong. `--only TEXT` takes the cases whose id contains the text, `--sample`
a few of them that take no long time.
"""

import argparse
import gc
import json
import re
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.hostile.corpus import all_cases, build
from tests.hostile.run import Outcome, run

SAMPLED = 17
LONG = re.compile(r"heavy|million|bomb|_mb|_gb|onnx|torchscript|text_tower|evidence/large|long|deep|10000|pick")
"""Cases that build or decode much, or start a process of their own."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--sample", action="store_true")
    asked = parser.parse_args()
    cases = [case for case in all_cases() if asked.only in case.id]
    if asked.sample:
        cases = [case for case in cases if not LONG.search(case.id)][::SAMPLED]
    outcomes = []
    gc.freeze()  # what a child would collect it would have to copy first
    for case in cases:
        path = build(case, asked.out.absolute() / "corpus")
        outcome = run(case, path, asked.out.absolute() / "run")
        outcomes.append(outcome)
        if outcome.fault:
            print(f"FAULT {outcome.case}: {outcome.end}: {outcome.fault}", flush=True)
    (asked.out / "outcomes.json").write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    print(table(outcomes))
    return int(any(outcome.fault for outcome in outcomes) or not outcomes)


def table(outcomes: list[Outcome]) -> str:
    """One line a door: files, how they ended, the most memory and processor time that one of them took."""
    heads = f"{'used':>6} {'refused':>8} {'faults':>7} {'MB added':>9} {'MB in all':>10} {'CPU s':>7}"
    lines = [f"{'door':12} {'files':>6} {heads}"]
    for door in [*dict.fromkeys(outcome.door for outcome in outcomes), "all"]:
        some = [outcome for outcome in outcomes if door in (outcome.door, "all")]
        ends = Counter(outcome.end for outcome in some)
        lines.append(
            f"{door:12} {len(some):6} {ends['used']:6} {ends['refused']:8} {sum(o.fault is not None for o in some):7} "
            f"{max(o.grown for o in some) / 2**20:9.0f} {max(o.peak for o in some) / 2**20:10.0f} "
            f"{max(o.cpu_s for o in some):7.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
