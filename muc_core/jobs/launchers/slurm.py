"""Processes on SLURM through submitit, one task each; submitit tells each which of them it is."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from muc_core.errors import MucError
from muc_core.jobs.launchers.settings import SlurmSettings

ASK_EVERY_S = 5.0
STOPPING_S = 0.7
"""For the processes to end by themselves when they are called off, before `scancel`."""

NEEDED = ("sbatch", "srun", "sacct", "scancel")


def parameters(settings: SlurmSettings, name: str) -> dict[str, Any]:
    """What submitit's executor is told."""
    asked = {
        "slurm_job_name": name,
        "nodes": settings.nodes,
        "tasks_per_node": settings.processes,
        "gpus_per_node": settings.gpus_per_node,
        "cpus_per_task": settings.cpus_per_process,
        "mem_gb": settings.memory_gb,
        "timeout_min": settings.minutes,
        "slurm_partition": settings.partition,
        "slurm_account": settings.account,
        "slurm_qos": settings.qos,
        "slurm_constraint": settings.constraint,
        # the others wait for a process that is gone
        "slurm_srun_args": ["--kill-on-bad-exit=1"],
    }
    return {key: value for key, value in asked.items() if value is not None}


def run_task(board: str) -> int:
    """One task of the batch job, by submitit's hand: tell torch which process this is, and do its part."""
    import submitit

    submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
    from muc_core.jobs.launchers.process import work

    return work(board)


class Slurm:
    """The batch job of one job. Raises `MucError` when SLURM refuses it; the sentence has SLURM's own words."""

    def __init__(self, settings: SlurmSettings, board: Path, name: str) -> None:
        import submitit

        executor = submitit.AutoExecutor(folder=board / "slurm", cluster="slurm", slurm_max_num_timeout=0)
        executor.update_parameters(**parameters(settings, name))
        try:
            self._job = executor.submit(run_task, str(board))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
            why = (str(error).strip().splitlines() or ["no reason given"])[-1]
            raise MucError(
                f"SLURM did not take the job ({why}); see its settings under [slurm] in launchers.toml"
            ) from error
        self._asked = time.monotonic()
        self._state = "PENDING"

    @property
    def where(self) -> str:
        return f"SLURM's job {self._job.job_id} ({self._state})"

    def running(self) -> bool:
        """Whether SLURM has it still."""
        if time.monotonic() - self._asked >= ASK_EVERY_S:
            self._asked = time.monotonic()
            self._state = self._job.watcher.get_state(self._job.job_id, mode="force").split()[0]
            return not self._job.watcher.is_done(self._job.job_id, mode="cache")
        return True

    def stop(self) -> None:
        """Have SLURM end it, should it not have ended by itself."""
        deadline = time.monotonic() + STOPPING_S
        while time.monotonic() < deadline and not self._job.paths.result_pickle.exists():
            time.sleep(0.05)
        subprocess.run(["scancel", self._job.job_id], capture_output=True, check=False)  # nosec B603, B607

    def logs(self) -> list[Path]:
        """Where the tasks printed."""
        return sorted((self._job.paths.folder).glob(f"{self._job.job_id}_*_log.*"))


def refuse_without_slurm() -> None:
    """Raises `MucError`."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        raise MucError(
            f"SLURM is not to be had here: there is no {missing[0]} on the path; start the job on a host from which "
            "batch jobs are submitted, or use another launcher"
        )
