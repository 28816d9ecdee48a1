"""The database that holds index and jobs goes away in the middle of a training, and comes back."""

import os
import time
from pathlib import Path

from muc_core.jobs import JobTable
from muc_core.workspace.place import VARIABLE
from tests import postgres
from tests.chaos import notes
from tests.chaos.scene import DoesNotHold, Row, Scene, check_whole, done, go_on, over, start, wait_for

AWAY_S = 3.0


def goes_away(scene: Scene) -> Row:
    """PostgreSQL is stopped for some seconds at a random moment of a training or of its end."""
    row = Row(
        f"the database goes away for {AWAY_S:.0f} s in a training",
        "the job ends well or says so; whole or absent; the same weights; no password in a log",
    )
    with postgres.served() as server:
        os.environ[VARIABLE] = server.new_database()
        try:
            workspace = scene.workspace("database")
            began = done(workspace, start(workspace, "train", scene.training("reference")).id)
            wanted = workspace.encoder("reference").manifest.weights_digest
            for trial in range(max(1, scene.trials // 5)):
                name, after_s = f"t{trial}", scene.random.uniform(0, 1.2 * (began.seconds or 1))
                with row.trial(f"{name} after {after_s:.2f} s"):
                    job = start(workspace, "train", scene.training(name))
                    waits = start(workspace, notes.KIND, notes.Note(label=name, folder=workspace.home))
                    wait_for(lambda: JobTable(workspace).job(job.id), lambda job: job.state != "queued")  # noqa: B023
                    time.sleep(after_s)
                    server.stop()
                    time.sleep(AWAY_S)
                    server.start()
                    found = over(workspace, job.id)
                    row.count(found.state)
                    if found.state != "done":
                        if not found.error:
                            raise DoesNotHold(f"the job is {found.state} and does not say why")
                        done(workspace, go_on(workspace, job.id).id)
                    done(workspace, waits.id)
                    if workspace.encoder(name).manifest.weights_digest != wanted:
                        raise DoesNotHold(f"{name} has other weights than one that was left alone")
                    check_whole(workspace)
                    said = "".join(path.read_text() for path in Path(workspace.jobs_folder).glob("*.log"))
                    if server.password in said:
                        raise DoesNotHold("the password is in a log")
            begun = [line for line in notes.read_notes(workspace.home) if line.endswith("begins")]
            if len(begun) != row.tried:
                raise DoesNotHold(f"jobs that waited began {len(begun)} times, not {row.tried}")
        finally:
            del os.environ[VARIABLE]
    return row
