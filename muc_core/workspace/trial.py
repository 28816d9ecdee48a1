"""Models that are programs, tried in a process with limits before they run in this one.

An ONNX graph and a TorchScript archive have loops and ask for memory: a hostile or broken one never ends, takes all
memory there is, or ends the process that runs it. What one does when it is opened and given noise is seen here, at the
price of a process. What it would do with other pictures is not.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from muc_core.errors import MucError

PROGRAMS = ("onnx", "torchscript")
"""Families whose files are programs."""

MEMORY = 640 * 2**20
"""Bytes that a model may take beyond `COPIES` times its files."""

COPIES = 6
CPU_S = 20
CPU_S_A_GB = 120
WALL_S = 900


def try_program(request: Mapping[str, object], files: list[Path]) -> None:
    """Recognise, load and try a model elsewhere.

    Args:
        request: arguments of `importing.try_out`, as JSON takes them.
        files: of the model, whose size counts for the limits.

    Raises:
        MucError: what `try_out` says, or that the model did not end or ended the process.
    """
    name = files[0].name
    size = sum(file.stat().st_size for file in files if file.is_file())
    try:
        code, answer = start(json.dumps({"request": request, "size": size}).encode())
    except subprocess.TimeoutExpired as error:
        raise MucError(f"{name} did not come to an end within {WALL_S:,} s; the model in it is not used") from error
    except OSError as error:
        raise MucError(f"no process could be started to try {name} ({error.strerror or error})") from error
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        raise MucError(
            f"{name} did not come to an end within {_cpu_s(size):,} s of computing; the model in it is not used"
        )
    if code:
        raise MucError(
            f"{name} ended the process in which it was tried (code {code}); the model in it is not used, because it "
            "would end this program, too"
        )
    if sentence := json.loads(answer)["refused"]:
        raise MucError(sentence)


def _in_a_new_process(told: bytes) -> tuple[int, bytes]:
    """The exit code, negative for a signal, and the answer."""
    # no shell, and this very module
    found = subprocess.run(  # nosec B603
        [sys.executable, "-m", "muc_core.workspace.trial"],
        input=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=WALL_S,
        check=False,
    )
    return found.returncode, found.stdout


start = _in_a_new_process
"""How the process is started; replaced where thousands of models are tried."""


def _cpu_s(size: int) -> int:
    return CPU_S + CPU_S_A_GB * size // 2**30


def _limit(size: int) -> None:
    """From here on this process may take so much more. Where the system has no such limits, there are none."""
    try:
        import resource
    except ImportError:  # Windows
        return
    virtual = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _HAS_PROC else 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + _cpu_s(size)
    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
        *([(resource.RLIMIT_AS, virtual + MEMORY + COPIES * size)] if _HAS_PROC else []),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, hard))


_HAS_PROC = Path("/proc/self/statm").is_file()


def answered(told: bytes) -> bytes:
    """What is done in the process, which is limited from here on."""
    from muc_core.workspace.importing import try_out

    asked = json.loads(told)
    _limit(asked["size"])
    refused = None
    try:
        try_out(**asked["request"])
    except MucError as error:
        refused = str(error)
    except MemoryError:
        refused = f"{Path(asked['request']['path']).name} asks for too much memory; the model in it is not used"
    return json.dumps({"refused": refused}).encode()


def _main() -> None:
    # what a model prints must not be taken for the answer
    out = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(out, "wb") as stream:
        stream.write(answered(sys.stdin.buffer.read()))


if __name__ == "__main__":
    _main()
