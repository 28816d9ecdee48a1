"""Clocks that jump by up to a year, back and forth, while jobs are queued, run and written."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from unittest.mock import patch

from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.files import new_folder
from tests.chaos import notes
from tests.chaos.scene import DoesNotHold, Row, Scene, check_whole, done, start

YEAR_S = 365 * 86400.0
_true_time = time.time


def jumps(scene: Scene) -> Row:
    """Every look at the clock of day is off by another amount, in this process and in the workers forked from it."""
    workspace = scene.workspace("clock")
    row = Row("the clock is set, by up to a year", "no job is lost or overtaken; durations hold; training is the same")
    done(workspace, start(workspace, "train", scene.training("reference")).id)
    with jumping(scene.random):
        for trial in range(max(1, scene.trials // 10)):
            with row.trial(f"queue {trial}"):
                _queue(scene, workspace, trial)
        with row.trial("training"):
            done(workspace, start(workspace, "train", scene.training("jumped")).id)
            digests = {workspace.encoder(name).manifest.weights_digest for name in ("reference", "jumped")}
            if len(digests) != 1:
                raise DoesNotHold("the training has other weights")
        with row.trial("an encoder that is being written"), new_folder(workspace.encoders_folder / "slow") as folder:
            (folder / "half").write_text("x")
            for _ in range(5):
                Workspace(workspace.home)
            if not (folder / "half").exists():
                raise DoesNotHold("what was being written was swept away")
    workspace.delete_encoder("slow")
    with row.trial("afterwards"):
        check_whole(workspace)
    return row


def _queue(scene: Scene, workspace: Workspace, trial: int) -> None:
    labels = [f"{trial}-{number}" for number in range(4)]
    jobs = [start(workspace, notes.KIND, notes.Note(label=label, folder=workspace.home)) for label in labels]
    seconds = [done(workspace, job.id).seconds for job in jobs]
    if not all(one is not None and 0 <= one < 3600 for one in seconds):
        raise DoesNotHold(f"the jobs took {seconds} s")
    begun = [line.split()[0] for line in notes.read_notes(workspace.home) if line.startswith(f"{trial}-")]
    if begun != [label for label in labels for _ in range(2)]:
        raise DoesNotHold(f"they ran in the order {begun}")
    if [job.id for job in JobTable(workspace).jobs(limit=4)] != [job.id for job in jobs[::-1]]:
        raise DoesNotHold("the list is in another order")


@contextmanager
def jumping(chance: random.Random) -> Iterator[None]:
    """Replace the clock of day; the monotonic one cannot be set on a real machine either."""

    def wrong_time() -> float:
        return _true_time() + chance.uniform(-YEAR_S, YEAR_S)

    class WrongDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "WrongDatetime":
            return cls.fromtimestamp(wrong_time(), tz)

    with (
        patch("time.time", wrong_time),
        patch("muc_core.encoders.manifest.datetime", WrongDatetime),
        patch("muc_core.workspace.workspace.datetime", WrongDatetime),
    ):
        yield
