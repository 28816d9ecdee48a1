"""An audit of an encoder behind a URL that hangs, lies, refuses or dies in the middle: no answer is asked for twice."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from muc_core.encoders.remote.connect import connect, remote_manifest
from muc_core.jobs import Job, JobTable
from muc_core.jobs.table import kill_worker
from muc_core.workspace import Workspace
from tests.chaos.scene import (
    DoesNotHold,
    Row,
    Scene,
    check_lost,
    check_whole,
    done,
    go_on,
    over,
    result_of,
    start,
    wait_for,
)
from tests.chaos.servers import page, served
from tests.chaos.service import RETRY_AFTER_S, Running, running
from tests.unit.encoders.remote import servers

NAME = "far"
PROMISE = "the job says what happened; what was answered is kept; gone on with, the same audit"


@dataclass(frozen=True)
class Audited:
    """An encoder behind a URL, and what an audit of it finds when nothing happens.

    Attributes:
        result: as it is kept.
        items: that the service embeds for it.
        remembered: of them that are kept; the probes of an audit ask anew each time.
    """

    workspace: Workspace
    service: Running
    result: bytes
    items: int
    remembered: int


def hangs(scene: Scene) -> Row:
    row = Row("a service that stops answering", PROMISE)
    with _audited(scene, "hangs", timeout_s=3) as audited:
        _fails(scene, row, audited, "hang", words := "gave no answer within")
        with row.trial("the page, while it hangs"):
            audited.service.misbehave("hang", after=0)
            _forget(audited)
            over(audited.workspace, start(audited.workspace, "audit", scene.audit(before=None, after=NAME)).id)
            with served(audited.workspace) as (_, port):
                if words not in (said := page(port, "jobs")):
                    raise DoesNotHold(f"it says {said[-1000:]!r}")
    return row


def lies(scene: Scene) -> Row:
    row = Row("a service that lies about lengths", PROMISE)
    with _audited(scene, "lies") as audited:
        _fails(scene, row, audited, "short", "vectors for")
        _fails(scene, row, audited, "long", f"a vector of {servers.DIMENSION + 1} numbers")
        _fails(scene, row, audited, "cut", "the connection failed")
    return row


def dies(scene: Scene) -> Row:
    row = Row("a service that dies in the middle", PROMISE)
    with _audited(scene, "dies") as audited:
        _fails(scene, row, audited, "die", "the connection failed")
    return row


def wants_to_be_left_alone(scene: Scene) -> Row:
    """429 with Retry-After: the audit waits, says so, asks nothing meanwhile, and ends by itself."""
    row = Row(f"a service that answers 429 for {RETRY_AFTER_S} s", "it waits, says so, and ends by itself")
    with _audited(scene, "busy") as audited, row.trial("429"):
        _forget(audited)
        audited.service.misbehave("429", after=scene.random.randint(0, 6))
        job = start(audited.workspace, "audit", scene.audit(before=None, after=NAME))
        said = wait_for(
            lambda: JobTable(audited.workspace).job(job.id),
            lambda seen: "asked to be left alone" in seen.message or not seen.active,
        )
        if not said.active:
            raise DoesNotHold(f"nobody was told of the pause; the job is {said.state}: {said.error}")
        _same(audited, done(audited.workspace, job.id))
        # requests that were under way together are refused together; after that nobody may ask
        times = audited.service.refusals()
        if not times or times[-1] - times[0] > RETRY_AFTER_S / 2:
            raise DoesNotHold(f"it was asked {len(times)} times while it wanted to be left alone")
    return row


def worker_dies(scene: Scene) -> Row:
    """kill -9 of the worker of such an audit."""
    row = Row("kill -9 of the worker in an audit behind a URL", PROMISE)
    with _audited(scene, "worker") as audited:
        for trial in range(max(1, scene.trials // 10)):
            _forget(audited)
            before, at = audited.service.answered(), scene.random.randint(4, audited.remembered - 4)
            job = start(audited.workspace, "audit", scene.audit(before=None, after=NAME))
            with row.trial(f"kill {trial} after {at} items"):
                wait_for(
                    lambda job=job: JobTable(audited.workspace).job(job.id),  # type: ignore[misc]
                    lambda seen, goal=before + at: audited.service.answered() >= goal or not seen.active,  # type: ignore[misc]
                )
                kill_worker(JobTable(audited.workspace).job(job.id).pid, job.id)
                if over(audited.workspace, job.id).state != "done":
                    check_lost(audited.workspace, job)
                    audited.service.start()  # anew, or requests of the killed worker may still be counted
                    _end_well(audited, job)
    return row


def _fails(scene: Scene, row: Row, audited: Audited, kind: str, words: str) -> None:
    """The service misbehaves after some requests; then it does not any more, and the job is gone on with."""
    for _ in range(max(1, scene.trials // 10)):
        _forget(audited)
        after = scene.random.randint(0, 6)
        with row.trial(f"{kind} after {after} requests"):
            audited.service.misbehave(kind, after=after)
            job = over(audited.workspace, start(audited.workspace, "audit", scene.audit(before=None, after=NAME)).id)
            audited.service.behave()
            audited.service.start()
            if job.state != "failed" or words not in str(job.error) or audited.service.url not in str(job.error):
                raise DoesNotHold(f"the job is {job.state} and says {job.error!r}")
            _end_well(audited, job)


def _end_well(audited: Audited, job: Job) -> None:
    check_whole(audited.workspace)
    kept, before = _remembered(audited.workspace), audited.service.answered()
    _same(audited, done(audited.workspace, go_on(audited.workspace, job.id).id))
    asked = audited.service.answered() - before
    # fewer is possible: a thread that was just writing what it got may outlive the kill by that write
    if asked > audited.items - kept:
        raise DoesNotHold(f"{asked} items were asked for although {kept} of {audited.items} were remembered")


def _same(audited: Audited, job: Job) -> None:
    if result_of(audited.workspace, job.result["audit"]) != audited.result:
        raise DoesNotHold("the audit found something else than one to which nothing happened")


@contextmanager
def _audited(scene: Scene, name: str, *, timeout_s: float = 20) -> Iterator[Audited]:
    """An encoder behind a URL. On a busy machine an answer may take seconds, and what is asked twice counts twice."""
    workspace = scene.workspace(f"remote-{name}")
    with running(scene.folder / f"service-{name}") as service:
        settings = servers.settings(
            service.url,
            most_items=4,
            timeout_s=timeout_s,
            retries=1,
            has_text=False,
            concurrency=2,
        )
        workspace.add_encoder(*remote_manifest(NAME, settings, connect(settings)))
        before = service.answered()
        job = done(workspace, start(workspace, "audit", scene.audit(before=None, after=NAME)).id)
        items = service.answered() - before
        result = result_of(workspace, job.result["audit"])
        yield Audited(workspace, service, result, items, _remembered(workspace))


def _remembered(workspace: Workspace) -> int:
    path = workspace.home / "cache" / "remote" / "vectors.sqlite"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM vectors").fetchone()[0])


def _forget(audited: Audited) -> None:
    shutil.rmtree(audited.workspace.home / "cache" / "remote", ignore_errors=True)
