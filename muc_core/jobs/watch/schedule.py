"""When the next look is due: by the number of looks made, never by a calendar.

Within a process only a clock that nobody sets is used. Between processes the time of day is all there is; it decides
how long the first wait is and nothing else, so that a clock that jumps makes one look early or late by one interval at
most, and never several at once.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from muc_core.errors import MucError
from muc_core.jobs.watch.spec import Look

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NAP_S = 60.0


def seconds(text: str) -> float:
    """The length of an interval such as 30m, 12h or 1d. Raises `MucError`."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if found is None or int(found[1]) == 0:
        raise MucError(f"--every is {text[:40]!r}; a number and s, m, h or d are accepted, such as 30m, 12h or 1d")
    return float(int(found[1]) * _UNITS[found[2]])


def steady_clock() -> float:
    """Seconds that no setting of the clock changes; they go on while the machine sleeps, where it can tell."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def first_wait(last: Look | None, every: float, now: datetime) -> float:
    """Seconds until the first look of a process, in [0, every]."""
    if last is None:
        return 0.0
    since = (now - datetime.fromisoformat(last.moment)).total_seconds()
    return min(max(every - since, 0.0), every)


def turns(
    wait: float,
    every: float,
    *,
    clock: Callable[[], float] = steady_clock,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Yields when a look is due, first after `wait` seconds and then `every` seconds from one beginning to the next.

    A look that takes longer than the interval is followed by the next one at once, not by all that were missed.
    """
    due = clock() + wait
    while True:
        while (left := due - clock()) > 0:
            sleep(min(left, _NAP_S))
        due = clock() + every
        yield
