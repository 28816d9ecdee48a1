"""kill -9 of workers, writers and those who submit, at random moments of their work."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel

from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.table import kill_worker
from muc_core.workspace import Workspace
from tests import tuned
from tests.chaos import notes
from tests.chaos.forks import Fork
from tests.chaos.scene import (
    FAMILY,
    DoesNotHold,
    Row,
    Scene,
    check_lost,
    check_whole,
    done,
    go_on,
    measurements,
    over,
    result_of,
    start,
    wait_for,
)

MOST_KILLS_OF_A_JOB = 6
PROMISE_OF_JOBS = "whole or absent; lost in words; the next job runs; gone on with, "


def training(scene: Scene) -> Row:
    """A training that is killed again and again ends in the weights of one that never was."""
    workspace = scene.workspace("training")
    began = done(workspace, start(workspace, "train", scene.training("reference")).id)
    reference = workspace.encoder("reference").manifest

    def check(job: Job) -> None:
        manifest = workspace.encoder(str(job.settings["name"])).manifest
        if (manifest.weights_digest, manifest.metrics) != (reference.weights_digest, reference.metrics):
            raise DoesNotHold(f"{manifest.name} has other weights than {reference.name}")
        ours, theirs = (workspace.run(str(one.run)) for one in (manifest, reference))
        if (ours.history(), ours.manifest.checkpoints) != (theirs.history(), theirs.manifest.checkpoints):
            raise DoesNotHold(f"the run of {manifest.name} has another history than that of {reference.name}")

    row = Row("kill -9 of the worker in a training", PROMISE_OF_JOBS + "the same weights")
    _kill_again_and_again(
        scene, workspace, row, "train", lambda number: scene.training(f"t{number}"), took=_seconds(began), check=check
    )
    return row


def unlearning(scene: Scene) -> Row:
    """The same of an unlearning with quick audits on its way."""
    workspace = scene.workspace("training")
    original = {"original": "reference", "audits": True}
    settings = {"epochs": 2, "batch_size": 16, "checkpoints": 2}

    def asked(name: str) -> BaseModel:
        return tuned.unlearning(FAMILY, name=name, settings=settings, **original)

    began = done(workspace, start(workspace, "unlearn", asked("after")).id)
    reference = workspace.encoder("after").manifest

    def check(job: Job) -> None:
        manifest = workspace.encoder(str(job.settings["name"])).manifest
        if manifest.weights_digest != reference.weights_digest:
            raise DoesNotHold(f"{manifest.name} has other weights than {reference.name}")
        courses = [(workspace.run(str(one.run)).folder / "course.json").read_bytes() for one in (manifest, reference)]
        if courses[0] != courses[1]:
            raise DoesNotHold(f"the audits along the run of {manifest.name} are others than those of {reference.name}")

    row = Row("kill -9 of the worker in an unlearning", PROMISE_OF_JOBS + "the same weights and audits on the way")
    _kill_again_and_again(
        scene, workspace, row, "unlearn", lambda number: asked(f"u{number}"), took=_seconds(began), check=check
    )
    return row


def pair(workspace: Workspace, scene: Scene) -> Workspace:
    """An original encoder and one unlearned from it."""
    done(workspace, start(workspace, "train", scene.training(f"{FAMILY}-before")).id)
    done(workspace, start(workspace, "unlearn", tuned.unlearning(FAMILY)).id)
    return workspace


def sweep(scene: Scene) -> Row:
    """A strength sweep that is killed measures what it would have."""
    workspace = pair(scene.workspace("sweep"), scene)
    began = done(workspace, start(workspace, "strength_sweep", scene.sweep()).id)
    reference = measurements(workspace)
    if len(reference) != len(scene.sweep().strengths):
        raise DoesNotHold(f"{len(reference)} measurements of {len(scene.sweep().strengths)} strengths")

    def check(_job: Job) -> None:
        if measurements(workspace) != reference:
            raise DoesNotHold("the sweep found something else than one that was never killed")

    def fresh(_number: int) -> BaseModel:
        for path in (workspace.home / "measurements").iterdir():
            path.unlink()
        return scene.sweep()

    row = Row("kill -9 of the worker in a strength sweep", PROMISE_OF_JOBS + "the same measurements")
    _kill_again_and_again(scene, workspace, row, "strength_sweep", fresh, took=_seconds(began), check=check)
    return row


def audit(scene: Scene) -> Row:
    """An audit that is killed leaves none, and finds the same in the end."""
    workspace = scene.workspace("sweep")
    began = done(workspace, start(workspace, "audit", scene.audit()).id)
    reference, known = result_of(workspace, began.result["audit"]), 1

    def check(job: Job) -> None:
        nonlocal known
        known += 1
        if result_of(workspace, job.result["audit"]) != reference:
            raise DoesNotHold("the audit found something else than one that was never killed")
        if len(workspace.audits()) != known:
            raise DoesNotHold(f"{known} audits came to their end, and {len(workspace.audits())} are there")

    row = Row("kill -9 of the worker in an audit", PROMISE_OF_JOBS + "the same result")
    _kill_again_and_again(
        scene, workspace, row, "audit", lambda _number: scene.audit(), took=_seconds(began), check=check
    )
    return row


def _kill_again_and_again(
    scene: Scene,
    workspace: Workspace,
    row: Row,
    kind: str,
    settings: Callable[[int], BaseModel],
    *,
    took: float,
    check: Callable[[Job], None],
) -> None:
    """Kill jobs of a kind until that was done often enough, and let each come to its end after some kills.

    Args:
        settings: of the job of a number.
        took: how long one takes, in seconds.
        check: what its result must be.
    """
    number = 0
    while row.tried < scene.trials:
        number += 1
        job = start(workspace, kind, settings(number))
        for _ in range(min(scene.random.randint(1, MOST_KILLS_OF_A_JOB), scene.trials - row.tried)):
            if not _kill(scene, workspace, row, job, scene.random.uniform(0, took)):
                break
            job = go_on(workspace, job.id)
        try:
            check(done(workspace, job.id))
        except (DoesNotHold, MucError) as fault:
            row.broken.append(f"{kind} {number}: {fault}")
            return


def _kill(scene: Scene, workspace: Workspace, row: Row, job: Job, after_s: float) -> bool:
    """Kill the worker of a job some seconds after it began; False when it was over before."""
    running = wait_for(lambda: JobTable(workspace).job(job.id), lambda seen: seen.state != "queued")
    time.sleep(after_s)
    label = f"after {row.fault} {row.tried + 1}"
    following = start(workspace, notes.KIND, notes.Note(label=label, folder=workspace.home))
    kill_worker(running.pid, job.id)
    if over(workspace, job.id).state == "done":
        return False
    with row.trial(f"{after_s:.3f} s into the {job.kind} job {job.id}"):
        check_lost(workspace, job)
        check_whole(workspace)
        done(workspace, following.id)
    return True


def registry(scene: Scene) -> Row:
    """Writers of encoders, runs, audits, maps and the index, killed within a few writes."""
    workspace = scene.workspace("registry")
    row = Row("kill -9 of a writer of encoders, runs, audits", "each is whole or absent; no leftover is listed")
    weights = dict(FAMILIES.get(FAMILY).build(tuned.ARCHITECTURES[FAMILY], 0).state_dict())
    known: set[str] = set()
    for trial in range(scene.trials):
        seed = scene.random.randrange(2**32)
        after_s = scene.random.uniform(0.0, 0.5)
        writer = Fork(lambda seed=seed: _write_at_random(workspace.home, weights, seed))  # type: ignore[misc]
        time.sleep(after_s)
        with row.trial(f"writer of seed {seed} after {after_s:.3f} s"):
            writer.kill()
            writer.wait()
            check_whole(workspace)
            names = {record.manifest.name for record in workspace.encoders()}
            if lost := {name for name in known - names if name.startswith("kept")}:
                raise DoesNotHold(f"{sorted(lost)[0]} was there before and is not any more")
            known = names
        if trial % 10 == 9:  # or the folder grows without an end
            for name in names:
                workspace.delete_encoder(name)
            known = set()
    return row


def _write_at_random(home: Path, weights: dict[str, torch.Tensor], seed: int) -> int:
    chance = random.Random(seed)
    workspace = Workspace(home, assets=home / "none")
    common = {"family": FAMILY, "architecture": tuned.ARCHITECTURES[FAMILY]}
    run = workspace.new_run(kind="train", title="", settings={}, seeds={}, data=None, **common)
    for number in range(1_000_000):
        match chance.choice(["kept", "passing", "rename", "delete", "checkpoint", "audit", "map", "list"]):
            case "kept" | "passing" as name:
                manifest = EncoderManifest(name=f"{name}-{seed}-{number}", title="", **common)
                workspace.save_encoder(manifest, weights)
            case "rename" | "delete" as what:
                passing = [e.manifest.name for e in workspace.encoders() if e.manifest.name.startswith("passing")]
                if passing and what == "delete":
                    workspace.delete_encoder(passing[0])
                elif passing:
                    workspace.rename_encoder(passing[0], f"passing-{seed}-{number}-renamed")
            case "checkpoint":
                run.record(number, number, {"loss": 1 / (number + 1)})
                run.add_checkpoint(number, weights, epoch=number)
            case "audit":
                workspace.save_audit(
                    title="", before="a", after="b", settings={}, digests={}, files={"audit.json": b"x" * 50_000}
                )
            case "map":
                workspace.write_map("key", {"points": torch.randn(1000, 2).numpy()})
            case _:
                workspace.encoders(), workspace.runs(), workspace.audits()
    return 0


def submitting(scene: Scene) -> Row:
    """Whoever queues a job, as a page does, is killed around that: the job runs, or is lost in words; never twice."""
    workspace = scene.workspace("submitting")
    row = Row("kill -9 of the server while it queues a job", "the job runs once, or says that it was never started")
    for trial in range(scene.trials):
        label = f"job {trial}"

        def queue(label: str = label) -> int:
            submit(
                workspace,
                notes.KIND,
                notes.Note(label=label, folder=workspace.home),
                task_modules=[notes.__name__],
            )
            time.sleep(60)
            return 0

        after_s = scene.random.uniform(0.0, 0.4)
        server = Fork(queue)
        time.sleep(after_s)
        with row.trial(f"{label}, killed after {after_s:.3f} s"):
            server.kill()
            server.wait()
            jobs = [job for job in JobTable(workspace).jobs(limit=1) if job.settings["label"] == label]
            states = [over(workspace, job.id).state for job in jobs]
            row.count(states[0] if states else "not queued")
            if states == ["lost"]:
                done(workspace, go_on(workspace, jobs[0].id).id)
            noted = [line for line in notes.read_notes(workspace.home) if line.startswith(f"{label} ")]
            if noted != ([f"{label} begins", f"{label} ends"] if jobs else []):
                raise DoesNotHold(f"noted was {noted}")
            check_whole(workspace)
    return row


def _seconds(job: Job) -> float:
    assert job.seconds is not None
    return job.seconds
