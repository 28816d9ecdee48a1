"""Each case in a process of its own, which is watched: what it opens, starts and leaves, its memory and time."""

import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile import doors
from tests.hostile.case import Case

MEMORY = 2**30
"""Bytes that a case may take beyond what the program itself takes before it sees the file."""

CPU_S = 90
WALL_S = 600
LONGEST = 3000
"""Signs that a user may be told of one file."""

_POLL_S = 0.005
_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.forkpty", "pty.spawn")
_REACHES = ("socket.connect", "socket.bind", "socket.sendto", "webbrowser.open", "urllib.Request")
_CHANGES = ("os.symlink", "os.link", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown", "os.truncate")


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: its id.
        door: where it came in.
        end: "used", "refused", or how it failed.
        told: what the user is told, the first of several.
        fault: why this is not what must become of it; None: all is well.
        grown: bytes of memory beyond the program's own, at most.
        peak: bytes of memory with the program's own, at most.
        cpu_s: seconds of processor time.
    """

    case: str
    door: str
    end: str
    told: str
    fault: str | None
    grown: int
    peak: int
    cpu_s: float


def run(case: Case, path: Path, sandbox: Path) -> Outcome:
    """Send a case, built at a path, through its door in a child process; only `sandbox` may be written to."""
    home = sandbox / case.id
    work = home / "work"
    work.mkdir(parents=True)
    result = home / "result.json"
    with contextlib.suppress(
        AttributeError, OSError
    ):  # of the GNU C library; without it the measure is a little coarser
        ctypes.CDLL(None).malloc_trim(0)
    before = _memory(os.getpid())
    child = os.fork()
    if child == 0:
        _in_child(case, path, work, result)
    grown, used, ended = _watch(child, before)
    told: dict[str, Any] = json.loads(result.read_bytes()) if result.is_file() else {}
    end, fault = _judge(case, told, ended, grown)
    result.unlink(missing_ok=True)
    left = [file.name for file in home.iterdir() if file != work]
    if left or any(_planted(home)):
        end, fault = "escaped", f"left {left or 'EXECUTED'} behind"
    if fault is None:
        shutil.rmtree(home)
    sentences = told.get("told", [])
    peak = used.ru_maxrss * 1024
    return Outcome(
        case.id, case.door, end, sentences[0] if sentences else "", fault, grown, peak, used.ru_utime + used.ru_stime
    )


def _planted(folder: Path) -> list[Path]:
    return list(folder.rglob("EXECUTED*"))


def _in_child(case: Case, path: Path, work: Path, result: Path) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        log = os.open(work / "log", os.O_CREAT | os.O_WRONLY, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(work)
        os.environ |= {"MUC_HOME": str(work / "home"), "TMPDIR": str(work), "HOME": str(work)}
        tempfile.tempdir = str(work)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        seen: list[str] = []
        sys.addaudithook(_hook(work, seen))
        answer: dict[str, object] = {}
        try:
            answer["told"] = doors.enter(case, path)
        except BaseException as error:
            answer["crash"] = "".join(traceback.format_exception(error))[-2000:]
        answer["seen"] = seen[:]
        with open(os.open(result, os.O_CREAT | os.O_WRONLY, 0o600), "w") as stream:
            json.dump(answer, stream)
        code = 0
    finally:
        os._exit(code)


def _hook(work: Path, seen: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """Notes whatever a file has no business to bring about (PEP 578)."""
    inside = (str(work), "/dev/null")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and arguments[0] == sys.executable and "muc_core" in str(arguments[1]):
            return  # the program's own trial of a model
        if event in _STARTS or event in _REACHES:
            seen.append(f"{event} {arguments[:2]!r}"[:300])
        elif (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            _written(arguments[0], event)
        elif event in _CHANGES:
            _written(arguments[1] if event in ("os.symlink", "os.link", "os.rename") else arguments[0], event)

    def _written(place: object, event: str) -> None:
        if isinstance(place, str | bytes | os.PathLike):
            full = os.path.realpath(os.fsdecode(place))
            if not full.startswith(inside):
                seen.append(f"{event} {full!r}"[:300])

    return note


def _watch(child: int, before: tuple[int, int]) -> tuple[int, resource.struct_rusage, str | None]:
    """Wait for a child; returns the bytes that it grew by since `before`, its usage, and what was wrong with its end.

    One that takes too much memory or time is stopped: were allocations refused instead, an error about memory could
    pass for a sentence about the file.
    """
    start = time.monotonic()
    in_all, own = before
    most = own
    stopped: str | None = None
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        most = max(most, _memory(child)[1])
        if stopped is None and most - own > MEMORY:
            stopped = "memory"
            os.killpg(child, 9)
        elif stopped is None and time.monotonic() - start > WALL_S:
            stopped = "time"
            os.killpg(child, 9)
        time.sleep(_POLL_S)
    # what came and went between two looks, and what its own children took, is in the kernel's count
    grown = max(most - own, used.ru_maxrss * 1024 - in_all, 0)
    if stopped is None and os.WIFSIGNALED(status):
        stopped = "time" if os.WTERMSIG(status) in (9, 24) else f"signal {os.WTERMSIG(status)}"
    return grown, used, stopped


def _memory(pid: int) -> tuple[int, int]:
    """Bytes in memory, and how many of these are not the pages of files."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):  # it has just ended
        return 0, 0
    return resident * resource.getpagesize(), (resident - shared) * resource.getpagesize()


def _judge(case: Case, told: dict[str, Any], ended: str | None, grown: int) -> tuple[str, str | None]:
    """How a case ended, and what is wrong with that."""
    if ended == "time":
        return "too slow", f"did not end within {CPU_S} s"
    if ended == "memory" or grown > MEMORY:
        return "too large", f"took {grown / 2**20:,.0f} MB"
    if ended is not None:
        return "crashed", ended
    if "crash" in told or "told" not in told:
        return "crashed", str(told.get("crash", "ended without a word"))
    if told["seen"]:
        return "escaped", "; ".join(told["seen"])
    sentences = told["told"]
    end = "refused" if sentences else "used"
    for sentence in sentences:
        if fault := wrong_with(sentence):
            return end, f"{fault}: {sentence[:200]!r}"
    if case.expected not in ("either", end):
        return end, f"must be {case.expected}"
    return end, None


def wrong_with(sentence: str) -> str | None:
    """What keeps a text from being fit to be shown to the user."""
    if not sentence.strip():
        return "says nothing"
    if len(sentence) > LONGEST:
        return f"says {len(sentence):,} signs"
    if re.search(r"Traceback|0x[0-9a-f]{8,}|<[\w.]+ object at", sentence):
        return "speaks to programmers"
    if odd := next((sign for sign in sentence if not sign.isprintable() and sign != "\n"), None):
        return f"has the sign {odd!r}"
    return None
