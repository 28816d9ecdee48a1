"""Runs a bench plan and keeps what comes; started again, only what is missing is done.

OUT/results.jsonl  a record a line, see `results.Result`
OUT/plan.json      the plan, versions and device of the latest start
"""

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from muc_core.encoders.manifest import installed_versions
from muc_core.errors import MucError
from muc_core.jobs.bench.plan import Evaluated, Plan, evaluations
from muc_core.jobs.bench.pool import Device, work_through
from muc_core.jobs.bench.results import PLAN, RESULTS, Result, read_results
from muc_core.jobs.bench.search import search
from muc_core.progress import SILENT, Progress
from muc_core.workspace.files import write_file, writing


def run_plan(
    plan: Plan,
    out: Path,
    *,
    scratch: Path | None = None,
    processes: int = 1,
    device: Device = "auto",
    time_limit_s: float | None = None,
    keep_encoders: bool = False,
    trials: int = 0,
    progress: Progress = SILENT,
) -> tuple[int, int]:
    """Do what is missing of a plan.

    Args:
        out: where results are and go.
        scratch: where encoders lie while they are needed; None: `out/encoders`. They are deleted when the plan is
            complete unless `keep_encoders`.
        processes: runs at a time.
        device: auto takes a GPU when there is one.
        time_limit_s: stop after so many seconds with what is complete.
        trials: settings of each method to try before, see `search`; 0: the recipes are run.

    Returns:
        Evaluations done and those of the plan.

    Raises:
        MucError: `out` has results of other settings, or cannot be written; there is no GPU but one was asked for.
        Cancelled: from `progress`; what is done stays.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise MucError("there is no GPU that PyTorch can use; leave the device to auto, or say cpu")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    home = scratch or out / "encoders"
    deadline = None if time_limit_s is None else time.time() + time_limit_s
    if trials:
        found = search(
            plan,
            out,
            home,
            trials=trials,
            processes=processes,
            device=device,
            deadline=deadline,
            progress=progress,
        )
        if found is None:
            return 0, len(evaluations(plan))
        plan = found
    planned = evaluations(plan)
    done = {result.key: result for result in read_results(out)}
    _refuse_other_settings(planned, list(done.values()), out)
    made_with = {"versions": installed_versions(), "device": _device_name(device), "processes": processes}
    content = {**plan.model_dump(mode="json"), **made_with}
    write_file(out / PLAN, (json.dumps(content, indent=1) + "\n").encode())
    waiting = [each for each in planned if each.key not in done]
    finished = len(planned) - len(waiting)
    progress.report(finished, len(planned), "starting")
    with (out / RESULTS).open("a", encoding="utf-8") as file:
        for result in work_through(waiting, home, processes=processes, device=device, deadline=deadline):
            file.write(result.model_dump_json() + "\n")
            file.flush()
            finished += 1
            seeds = f"training {result.train_seed}, unlearning {result.unlearn_seed}"
            progress.report(finished, len(planned), f"{result.family} {result.method}, {seeds}")
    if finished == len(planned) and not keep_encoders:
        shutil.rmtree(home, ignore_errors=True)
    return finished, len(planned)


def _refuse_other_settings(planned: Sequence[Evaluated], done: Sequence[Result], out: Path) -> None:
    wanted = {(each.made.family, each.made.method): each.made.job.settings for each in planned}
    for result in done:
        settings = wanted.get((result.family, result.method), result.settings)
        if settings != result.settings:
            raise MucError(
                f"{out} has results of {result.method} on {result.family} with other settings; choose another folder, "
                "or remove them"
            )


def _device_name(device: Device) -> str:
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"CPU with {os.cpu_count()} cores"
