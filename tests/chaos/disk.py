"""A disk that fills up in the middle of a training, and one that is read-only: a small tmpfs of its own.

    python -m tests.chaos.disk FOLDER TRIALS SEED RESULT

The mount is seen by this process and its children only (`unshare`), and goes with them.
"""

import dataclasses
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from muc_core.errors import MucError
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from tests.chaos import notes
from tests.chaos.forks import run_with_room
from tests.chaos.scene import PATIENCE_S, DoesNotHold, Row, Scene, check_whole, done, go_on, over, prepare, start

MOUNTING = ("unshare", "--map-root-user", "--mount")
SIZE_MB = 24


def available() -> bool:
    """Whether this user may mount in a name space of her own."""
    try:
        return subprocess.run([*MOUNTING, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def full(scene: Scene) -> Row:
    return _in_a_mount(scene, "full")


def read_only(scene: Scene) -> Row:
    return _in_a_mount(scene, "read_only")


def _in_a_mount(scene: Scene, name: str) -> Row:
    if not available():
        return Row(f"{name}: not tried, this system does not let its users mount", "nothing was tried")
    result = scene.folder / f"{name}.json"
    (scene.folder / name).mkdir()
    arguments = [str(scene.folder), str(scene.trials), str(scene.random.randrange(2**32)), name, str(result)]
    status = run_with_room("tests.chaos.disk", arguments, prefix=MOUNTING)
    if status:
        raise DoesNotHold(f"the process in the mount ended with {status}")
    return Row(**json.loads(result.read_text()))


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
    before = _content(workspace.home)
    _remount("ro", folder)
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
        said = subprocess.run(
            [sys.executable, "-m", "muc_core.cli", "encoders", "list"],
            check=False,
            capture_output=True,
            text=True,
            env={"MUC_HOME": str(workspace.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())},
        )
        if said.returncode not in (0, 2) or "Traceback" in said.stderr:
            raise DoesNotHold(f"it ends with {said.returncode} and says {said.stderr[-300:]!r}")
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


def main() -> int:
    folder, trials, seed, name, result = sys.argv[1:6]
    target = Path(folder) / name
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(target)], check=True)
    prepare()
    scene = Scene(Path(folder), Path(folder) / "pictures", int(trials), random.Random(int(seed)))
    row = {"full": _fill_up, "read_only": _forbid_writing}[name](scene, target)
    Path(result).write_text(json.dumps(dataclasses.asdict(row)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
