"""Processes forked from this one, which has loaded the libraries, in place of ones that load them anew."""

import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

ROOM = "." * 64
"""The last argument of this process, over which a worker writes its job's id: a worker is known by its command line."""


class Fork:
    """A child process that calls a function and ends.

    Args:
        function: what it does; its result, if it is a number, is the exit status.
        log: takes what it prints; None: nobody does.
    """

    def __init__(self, function: Callable[[], int | None], log: BinaryIO | None = None) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._run(function, log)

    @staticmethod
    def _run(function: Callable[[], int | None], log: BinaryIO | None) -> None:
        status = 1
        try:
            os.setsid()
            target = os.open(os.devnull, os.O_WRONLY) if log is None else log.fileno()
            os.dup2(target, 1)
            os.dup2(target, 2)
            status = function() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def kill(self) -> None:
        """As the system kills: without a word."""
        os.kill(self.pid, signal.SIGKILL)

    def lives(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        if self._status is None:
            _, status = os.waitpid(self.pid, 0)
            self._status = os.waitstatus_to_exitcode(status)
        return self._status


def fork_worker(command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> Fork:
    """What `muc_core.jobs.launcher` calls to start a worker: the same main with the same arguments, forked."""
    from muc_core.jobs import worker

    arguments = list(command[command.index("muc_core.jobs.worker") + 1 :])

    def main() -> int:
        os.environ.update(environment)
        _rename(arguments[-1])
        sys.argv[1:] = arguments
        return worker.main()

    started = Fork(main, log)
    # A worker that is started in the usual way has its command line when its starter goes on.
    while started.lives() and arguments[-1].encode() not in Path(f"/proc/{started.pid}/cmdline").read_bytes():
        time.sleep(0.001)
    return started


def run_with_room(module: str, arguments: Sequence[str]) -> int:
    """Run `python -m MODULE` in a process that can fork workers."""
    environment = {
        **os.environ,
        **{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "STREAMLIT_LOGGER_LEVEL": "error"},
    }
    command = [sys.executable, "-m", module, *arguments, ROOM]
    return subprocess.run(command, env=environment, check=False).returncode


def _rename(job_id: str) -> None:
    """Put the id of a job into this process's command line, in the place of `ROOM`."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, see proc(5)
    line = Path("/proc/self/cmdline").read_bytes()
    place = line.rindex(ROOM.encode())
    assert place + len(ROOM) < end - start
    content = job_id.encode().ljust(len(ROOM), b"\0")
    ctypes.memmove(start + place, content, len(content))
