"""A disk that fills up in the middle of a training, and one that is read-only: a small tmpfs of its own.

It is mounted in a name space of a forked process, is seen by that process and its children only, and goes with them.
"""

import ctypes
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from muc_core.errors import MucError
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from tests.chaos import notes
from tests.chaos.forks import Fork
from tests.chaos.scene import PATIENCE_S, DoesNotHold, Row, Scene, check_whole, done, go_on, over, start
from tests.chaos.servers import page, served

SIZE_MB = 24
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # of unshare(2)


def full(scene: Scene) -> Row:
    """The disk fills up in a training."""
    return _in_a_mount(scene, "full", _fill_up)


def read_only(scene: Scene) -> Row:
    """Nothing can be written, and then it can again."""
    return _in_a_mount(scene, "read-only", _forbid_writing)


def _in_a_mount(scene: Scene, name: str, run: Callable[[Scene, Path], Row]) -> Row:
    folder, result = scene.folder / name, scene.folder / f"{name}.json"
    folder.mkdir()

    def main() -> int:
        if not _mount(folder):
            return _NOT_ALLOWED
        result.write_text(json.dumps(dataclasses.asdict(run(scene, folder))))
        return 0

    with (scene.folder / f"{name}.log").open("ab") as log:
        status = Fork(main, log).wait()
    if status == _NOT_ALLOWED:
        return Row(f"{name}: not tried", "this system does not let its users mount anything")
    if status:
        raise DoesNotHold(f"the process in the mount ended with {status}: {(scene.folder / f'{name}.log').read_text()}")
    return Row(**json.loads(result.read_text()))


_NOT_ALLOWED = 77


def _mount(folder: Path) -> bool:
    """Enter name spaces of one's own and mount a tmpfs; False where that is not allowed."""
    users = f"0 {os.getuid()} 1", f"0 {os.getgid()} 1"
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_MOUNTS | _NEW_USER):
        return False
    Path("/proc/self/setgroups").write_text("deny")
    for file, users_map in zip(("uid_map", "gid_map"), users, strict=True):
        Path(f"/proc/self/{file}").write_text(users_map)
    tmpfs = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    return all(
        subprocess.run(command, check=False).returncode == 0 for command in (["mount", "--make-rprivate", "/"], tmpfs)
    )


def _fill_up(scene: Scene, folder: Path) -> Row:
    row = Row("the disk fills up in a training", "a sentence says so; whole or absent; gone on with, the same weights")
    workspace = Workspace(folder / "home", assets=folder / "none")
    done(workspace, start(workspace, "train", scene.training("reference")).id)
    wanted = workspace.encoder("reference").manifest.weights_digest
    ballast = folder / "ballast"
    for trial in range(max(1, scene.trials // 5)):
        name, left = f"t{trial}", scene.random.randrange(300_000)
        with row.trial(f"{left:,} bytes left"):
            job = start(workspace, "train", scene.training(name))
            time.sleep(scene.random.uniform(0, 0.5))
            _fill(ballast, left)
            time.sleep(2)
            ballast.unlink()  # the worker tries for some seconds to say what happened
            found = over(workspace, job.id)
            row.count(found.state)
            if found.state == "failed" and "the disk is full" not in str(found.error):
                raise DoesNotHold(f"the job says {found.error!r}")
            check_whole(workspace)
            if found.state != "done":
                done(workspace, go_on(workspace, job.id).id)
            if workspace.encoder(name).manifest.weights_digest != wanted:
                raise DoesNotHold("the training has other weights")
            check_whole(workspace)
            workspace.delete_encoder(name)
            for run in workspace.runs():
                workspace.delete_run(run.manifest.id)
    return row


def _fill(ballast: Path, left: int) -> None:
    """Write until the disk is full, then give `left` bytes back."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            file.truncate(max(0, file.tell() - left))


def _forbid_writing(scene: Scene, folder: Path) -> Row:
    row = Row("the workspace is read-only", "every refusal is a sentence; nothing changes; writable again, all goes on")
    workspace = Workspace(folder / "home", assets=folder / "none")
    done(workspace, start(workspace, "train", scene.training("reference")).id)
    note = notes.Note(label="note", folder=folder)
    _remount("ro", folder)
    before = _content(workspace.home)  # the worker may have gone on writing until then
    attempts: dict[str, Callable[[], object]] = {
        "opening it": lambda: Workspace(workspace.home),
        "listing": workspace.encoders,
        "listing jobs": lambda: JobTable(workspace).jobs(),
        "queueing a job": lambda: start(workspace, notes.KIND, note),
        "deleting an encoder": lambda: workspace.delete_encoder("reference"),
        "renaming an encoder": lambda: workspace.rename_encoder("reference", "other"),
        "saving an audit": lambda: workspace.save_audit(
            title="", before="a", after="b", settings={}, digests={}, files={"audit.json": b""}
        ),
    }
    for what, attempt in attempts.items():
        with row.trial(what):
            try:
                attempt()
            except MucError as refusal:
                if str(folder) not in str(refusal):
                    raise DoesNotHold(f"the refusal does not say what: {refusal}") from None
    with row.trial("muc encoders list"):
        muc = subprocess.run(
            [sys.executable, "-m", "muc_core.cli", "encoders", "list"],
            check=False,
            capture_output=True,
            text=True,
            env={"MUC_HOME": str(workspace.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())},
        )
        if muc.returncode not in (0, 2) or "Traceback" in muc.stderr:
            raise DoesNotHold(f"it ends with {muc.returncode} and says {muc.stderr[-300:]!r}")
    with row.trial("the page"), served(workspace) as (_, port):
        said = page(port, "jobs")
        if "could not be opened or written" not in said or "Traceback" in said:
            raise DoesNotHold(f"it says {said[-1000:]!r}")
    _remount("rw", folder)
    with row.trial("writable again"):
        if _content(workspace.home) != before:
            raise DoesNotHold("something changed")
        check_whole(workspace)
        done(workspace, start(workspace, notes.KIND, note).id)
    return row


def _remount(how: str, folder: Path) -> None:
    """Refused while a worker that has said its last word still has its log open."""
    deadline = time.monotonic() + PATIENCE_S
    while subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=False, capture_output=True).returncode:
        if time.monotonic() > deadline:
            raise DoesNotHold(f"{folder} could not be mounted {how}")
        time.sleep(0.1)


def _content(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}
