"""Time, memory, and a row of the table."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One promise: what was measured, and whether it held (None: nothing is promised)."""

    what: str
    measured: str
    against: str
    ratio: str
    budget: str
    held: bool | None


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def typical_seconds(work: Callable[[], object], *, repeats: int) -> float:
    return median(seconds(work) for _ in range(repeats))


def peak_bytes() -> int:
    """The most memory this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
