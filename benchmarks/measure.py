"""Time, memory, and a row of the table."""

import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Row:
    """One promise: what was measured, and which share of its budget that is (None: nothing is promised)."""

    what: str
    measured: str
    against: str
    ratio: str
    budget: str
    of_limit: float | None

    @property
    def held(self) -> bool | None:
        """Whether the promise was kept."""
        return None if self.of_limit is None else self.of_limit <= 1


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def typical_seconds(work: Callable[[], object], *, repeats: int) -> float:
    return median(seconds(work) for _ in range(repeats))


def peak_bytes() -> int:
    """The most memory this process ever held, pages of mapped files included."""
    if sys.platform == "linux":  # where the figure below is that of the parent process, if that was larger
        return status_bytes("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def status_bytes(field: str) -> int:
    """A figure of this process that Linux keeps, such as VmHWM (most memory so far) or RssAnon (its own, now)."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])
