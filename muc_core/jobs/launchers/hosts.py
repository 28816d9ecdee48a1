"""Processes under `accelerate launch`, on this host or by ssh on each of several.

Several hosts must have the same Python at the same path, see the workspace and the current folder under the same names,
and let this host in by ssh without a password. The same command is run on each, but for the number of the host.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import psutil

from muc_core.errors import MucError
from muc_core.jobs.launchers.settings import AccelerateSettings

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")

CARRIED = ("PYTHONPATH", "MUC_ASSETS", "HF_HOME", "NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "ACCELERATE_USE_CPU")
"""Variables that a process on another host is given, too, where they are set here."""

STOPPING_S = 0.7
"""For the processes to end by themselves when they are called off."""


def command(settings: AccelerateSettings, machine: int, board: Path) -> list[str]:
    """What is run on the host of that number, from 0. All flags are given, lest accelerate's own file be asked."""
    hosts = max(1, len(settings.hosts))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_processes", str(hosts * settings.processes), "--num_machines", str(hosts)]
    launch += ["--machine_rank", str(machine), "--mixed_precision", "no", "--dynamo_backend", "no"]
    if settings.hosts:
        leader = settings.hosts[0].rpartition("@")[2]
        launch += ["--same_network", "--main_process_ip", leader, "--main_process_port", str(settings.port)]
    else:
        launch += ["--main_process_port", "0"]
    return [*launch, "-m", "muc_core.jobs.launchers.process", str(board)]


def over_ssh(host: str, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[str]:
    """The command that runs `words` on another host, in the same folder and with the variables that it needs."""
    given = [f"{name}={environment[name]}" for name in CARRIED if name in environment]
    return [*SSH, host, f"cd {shlex.quote(str(folder))} && exec {shlex.join(['env', *given, *words])}"]


class Hosts:
    """The processes of one job.

    Raises:
        MucError: ssh is missing or does not get into a host; the sentence has ssh's own words.
    """

    def __init__(self, settings: AccelerateSettings, board: Path) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        for host in settings.hosts:
            _refuse_unless_reached(host)
        launches = [command(settings, machine, board) for machine in range(max(1, len(settings.hosts)))]
        for host, words in zip_longest(settings.hosts, launches):
            if host is not None:
                words = over_ssh(host, words, os.environ, Path.cwd())
            # no shell here; what the shell of another host sees is quoted
            self._started.append(subprocess.Popen(words, stdin=subprocess.DEVNULL))  # nosec B603

    @property
    def where(self) -> str:
        return "accelerate"

    def running(self) -> bool:
        """Whether there is hope: one that ended badly will not be waited for by the others, nor they by it."""
        codes = [process.poll() for process in self._started]
        return None in codes and not any(codes)

    def stop(self) -> None:
        """End what is still there; on other hosts the board calls it off."""
        deadline = time.monotonic() + STOPPING_S
        while time.monotonic() < deadline and any(process.poll() is None for process in self._started):
            time.sleep(0.02)
        for process in self._started:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
            process.kill()
            process.wait()

    def logs(self) -> list[Path]:
        """Where processes printed that did not print into the log of the job."""
        return []


def refuse_without_ssh(settings: AccelerateSettings) -> None:
    """Raises `MucError`."""
    if settings.hosts and shutil.which("ssh") is None:
        raise MucError("other hosts are reached by ssh, which is not installed here; install it or leave the hosts out")


def _refuse_unless_reached(host: str) -> None:
    tried = subprocess.run(  # nosec B603
        [*SSH, host, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if tried.returncode:
        why = (tried.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise MucError(
            f"the host {host!r} is not reached by ssh ({why}); set hosts in launchers.toml to hosts that let this one "
            "in without a password"
        )
