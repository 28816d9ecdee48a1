"""One parser under fuzzing: what it is given, how it is called, and what must hold of each call.

It reads the example or refuses it with a `MucError` that can be shown to the user; any other exception, an end of the
process, more than `MOST_S` of computing and more than `MOST_BYTES` of memory are faults.
"""

import json
import logging
import os
import re
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from muc_core.errors import MucError
from tests.hostile.run import wrong_with

MOST_S = 20
MOST_BYTES = 4 * 2**30
"""Of addresses, beyond those that the process has when it begins: what torch maps is among these."""

ROUND = 400
"""Examples that share a process, and a seed."""

TOLD, LAST = "told.json", "last"
"""What a process leaves in its folder: what became of the examples, and the latest of them."""


@dataclass(frozen=True)
class Target:
    """Attributes:
    name: of the parser.
    examples: what it is given.
    enter: gives it an example; a folder is for files.
    """

    name: str
    examples: st.SearchStrategy[Any]
    enter: Callable[[Any, Path], object]


@dataclass
class Found:
    """What became of a parser's examples.

    Attributes:
        refused: how many ended in a sentence.
        faults: what must not happen, with an example, by where it happened.
    """

    name: str
    examples: int = 0
    refused: int = 0
    cpu_s: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)


def check_sentence(refusal: MucError) -> None:
    """Whether a refusal can be shown to the user. Raises `AssertionError`."""
    wrong = wrong_with(str(refusal))
    assert wrong is None, f"{wrong}: {str(refusal)[:300]!r}"


def fuzz(target: Target, cpu_s: float, first_seed: int = 0) -> Found:
    """Give a parser new examples until so many seconds of computing are used; the same seeds give the same ones."""
    found, number = Found(target.name), first_seed
    while found.cpu_s < cpu_s:
        _round(target, number, cpu_s - found.cpu_s, found)
        number += 1
    return found


def _round(target: Target, number: int, cpu_s: float, found: Found) -> None:
    """Examples of one seed in a process of their own, which may end as it likes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="muc-fuzz-") as folder:
        told, last = Path(folder) / TOLD, Path(folder) / LAST
        child = os.fork()
        if child == 0:
            _in_child(target, number, cpu_s, Path(folder))
        _, status = os.waitpid(child, 0)
        if status:
            example = last.read_text(errors="replace") if last.exists() else "none"
            found.faults.setdefault(f"ended with status {status}", f"seed {number}, example {example}")
        if told.exists():
            said = json.loads(told.read_bytes())
            found.examples += said["examples"]
            found.refused += said["refused"]
            if said["fault"]:
                found.faults.setdefault(*said["fault"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found.cpu_s += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _in_child(target: Target, number: int, cpu_s: float, folder: Path) -> None:
    """Never returns."""
    code = 1
    try:
        most = psutil.Process().memory_info().vms + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPROF, _too_slow)
        logging.disable(logging.ERROR)
        work = folder / "work"
        work.mkdir()
        os.chdir(work)
        counts, started, failed = Counter[str](), list[float](), set[str]()

        def look(example: Any) -> None:
            started.append(time.process_time())
            shown = repr(example)[:4000]
            # when the time is over, Hypothesis wants the rest of its examples, and to see fail again what failed
            if started[-1] - started[0] > cpu_s and shown not in failed:
                return
            counts["examples"] += 1
            (folder / LAST).write_text(shown, errors="replace")
            signal.setitimer(signal.ITIMER_PROF, MOST_S)
            try:
                counts["refused"] += _refused(target, example, work)
            except Exception:
                failed.add(shown)
                raise
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        run = settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(target.examples)(look)))
        fault = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                run()
            except Exception as error:
                fault = (_where(error), f"seed {number}\n" + "".join(traceback.format_exception(error))[-4000:])
        told = {name: counts[name] for name in ("examples", "refused")}
        (folder / TOLD).write_text(json.dumps({**told, "fault": fault}))
        code = 0
    finally:
        os._exit(code)


def _refused(target: Target, example: Any, work: Path) -> bool:
    """Whether the parser refused it; raises what is a fault."""
    try:
        target.enter(example, work)
    except MucError as refusal:
        check_sentence(refusal)
        return True
    return False


class _TooSlow(Exception):
    pass


def _too_slow(_number: int, _frame: object) -> None:
    raise _TooSlow(f"took more than {MOST_S} s")


def _where(error: Exception) -> str:
    """Kind of an exception and the last place in the program that it came through."""
    places = [
        frame for frame in traceback.extract_tb(error.__traceback__) if re.search("muc_core|dashboard", frame.filename)
    ]
    place = f"{Path(places[-1].filename).name}:{places[-1].lineno}" if places else str(error)[:80]
    return f"{type(error).__name__} at {place}"
