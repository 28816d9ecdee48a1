"""The table of jobs: what is queued, running, done, and what became of it.

Page, command line and workers all speak through this table; nobody holds a connection to anybody. Each change of state
names the states it may start from, so that of two who close the same job only the first succeeds.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, JsonValue
from sqlalchemy import ColumnElement, Row, case, exists, func, select, update

from muc_core.errors import MucError, UnknownName
from muc_core.jobs.ends import lost_sentence
from muc_core.workspace import Workspace, new_id
from muc_core.workspace.log import Deed
from muc_core.workspace.tables import jobs

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]

ACTIVE: tuple[State, ...] = ("queued", "running")

UNFINISHED: tuple[State, ...] = ("failed", "cancelled", "lost")
"""Over without a result: such a job can be gone on with."""

SILENT_AFTER_S = 120.0
"""A worker that lives but has not given a sign for so long is given up. Its sign is due every second, but one call into
compiled code may hold the interpreter for a while."""

START_WITHIN_S = 30.0
"""A job whose worker process has not even been started by then lost the process that submitted it."""

CANCEL_WITHIN_S = 1.7
"""From the wish to cancel to killing the worker from outside; the worker itself gives up earlier."""


class Job(BaseModel):
    """One job as it was when asked.

    Attributes:
        id: sorts by age.
        kind: name of the task, see `muc_core.jobs.tasks`.
        settings: of the task, as its settings model dumps them.
        state: queued, running; done, failed, cancelled, lost are final.
        step, total: how far it is; total 0 when nothing was reported yet.
        message: what it is doing, one line.
        values: latest figures by name, such as loss terms.
        history: (step, values) along the way, at most some hundred points, for a plot.
        pid: of the worker process.
        heartbeat: last sign of life.
        created, started, finished: UTC.
        cancel_requested: somebody asked to cancel it.
        error: why it failed or was lost, a sentence.
        result: what the task returned.
        attempt: how often it was put into the queue, once and each time that somebody went on with it.
        who: asked for it, as the log names them; None for one of an earlier version.
        seconds: how long the latest attempt has run, by a clock that nobody sets; None when it has not begun, or the
            machine was started anew since.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    id: str
    kind: str
    settings: dict[str, JsonValue]
    state: State
    step: int
    total: int
    message: str
    values: dict[str, float]
    history: tuple[tuple[int, dict[str, float]], ...]
    pid: int | None
    heartbeat: datetime
    created: datetime
    started: datetime | None
    finished: datetime | None
    cancel_requested: bool
    error: str | None
    result: dict[str, JsonValue]
    attempt: int
    who: str | None = None
    seconds: float | None

    @property
    def share(self) -> float:
        """How much of it is done, in [0, 1]; 0 while nothing was reported."""
        return min(self.step / self.total, 1.0) if self.total else 0.0

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in ACTIVE


class JobTable:
    """The jobs of a workspace. Reading it also finds out which workers have died."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._database = workspace.database

    @property
    def slot(self) -> Path:
        """Who locks it may work: one job at a time in the workspace, or on each of the hosts that share the queue."""
        return self._workspace.jobs_folder / (f"slot-{platform.node()}.lock" if self._database.shared else "slot.lock")

    def log(self, job_id: str) -> Path:
        """What the worker of a job prints, tracebacks included."""
        return self._workspace.jobs_folder / f"{job_id}.log"

    def job(self, job_id: str) -> Job:
        """One job. Raises `UnknownName`."""
        self.refresh()
        return self._job(job_id)

    def jobs(self, *, states: Sequence[State] | None = None, limit: int = 100) -> list[Job]:
        """Jobs, newest first."""
        self.refresh()
        query = select(jobs).order_by(jobs.c.number.desc()).limit(limit)
        if states is not None:
            query = query.where(jobs.c.state.in_(states))
        with self._database.read() as connection:
            return [_to_job(row) for row in connection.execute(query)]

    def active(self) -> list[Job]:
        """Queued and running jobs in the order they will run."""
        return self.jobs(states=ACTIVE, limit=1000)[::-1]

    def refresh(self) -> None:
        """Close the jobs whose worker died or does not heed a wish to cancel."""
        try:
            with self._database.read() as connection:
                rows = connection.execute(select(jobs).where(jobs.c.state.in_(ACTIVE))).all()
        except MucError:
            _heard.clear()  # while nothing can be heard nobody is silent
            raise
        for row in rows:
            overdue = row.cancel_requested and _ticks() - _asked_since(row) > CANCEL_WITHIN_S
            trouble = _trouble(row, by_ear=self._database.shared)
            if trouble is None and not overdue:
                continue
            if row.host == platform.node():
                kill_worker(row.pid, row.id)
            if row.cancel_requested:
                self.close(row.id, "cancelled")
            else:
                self.close(
                    row.id,
                    "lost",
                    error=lost_sentence(row.id, str(trouble), self.log(row.id)),
                )

    # the submitter's side

    def add(self, kind: str, settings: Mapping[str, JsonValue], *, unique: bool) -> tuple[Job, bool]:
        """Queue a job. With `unique`, an active one of the same kind and settings takes its place.

        Returns:
            The job, and whether it is a new one.
        """
        self.refresh()
        now = time.time()
        with self._database.write(alone=unique) as connection:
            if unique:
                same = select(jobs).where(jobs.c.state.in_(ACTIVE), jobs.c.kind == kind).order_by(jobs.c.number)
                for row in connection.execute(same):
                    if row.settings == settings and not row.cancel_requested:
                        return _to_job(row), False
            job_id = new_id()
            self._workspace.note("job started", {"job": job_id, "kind": kind, **_named_in(settings)})
            connection.execute(
                jobs.insert().values(
                    id=job_id,
                    kind=kind,
                    settings=dict(settings),
                    state="queued",
                    host=platform.node(),
                    heartbeat=now,
                    ticks=_ticks(),
                    created=now,
                    who=self._workspace.who(),
                )
            )
        return self._job(job_id), True

    def queue_again(self, job_id: str) -> Job:
        """Queue a job that is over without a result, with the same settings; it keeps its place among the others.

        Raises:
            UnknownName: there is no such job.
            MucError: it is still going on or is done.
        """
        job = self.job(job_id)
        if job.state in UNFINISHED:
            self._note("job resumed", job)
        now = time.time()
        fresh = {
            "state": "queued",
            "host": platform.node(),
            "pid": None,
            "heartbeat": now,
            "ticks": _ticks(),
            "cancel_requested": False,
            "cancel_ticks": None,
            "message": "",
            "error": None,
            "started": None,
            "started_ticks": None,
            "finished": None,
            "attempt": jobs.c.attempt + 1,
        }
        if not self._change(job_id, fresh, among=UNFINISHED):
            raise MucError(
                f"the job {job_id} is {self._job(job_id).state}; only one that failed, was cancelled or lost can be "
                "gone on with"
            )
        return self._job(job_id)

    def request_cancel(self, job_id: str) -> Job:
        """Cancel a queued job at once; ask a running one to stop; leave a finished one. Raises `UnknownName`."""
        job = self.job(job_id)
        if job.active and not job.cancel_requested:
            self._note("job cancelled", job)
        asked = {"cancel_requested": True, "cancel_ticks": _if_here(_ticks(), None)}
        self._change(job_id, {**asked, "state": "cancelled", "finished": time.time()}, among=("queued",))
        # A second wish must not give the worker more time.
        self._change(job_id, asked, among=("running",), also=jobs.c.cancel_requested.is_(False))
        return self._job(job_id)

    # the worker's side; a worker that was given up and lives must not speak for the one that took its place

    def attach(self, job_id: str, pid: int) -> int:
        """Note which process of this host works on a job; gives the attempt, 0 when another host has taken the job."""
        here = jobs.c.host == platform.node()
        self._change(job_id, {"pid": pid, "heartbeat": time.time(), "ticks": _ticks()}, among=ACTIVE, also=here)
        with self._database.read() as connection:
            return connection.execute(select(jobs.c.attempt).where(jobs.c.id == job_id, here)).scalar_one_or_none() or 0

    def take(self) -> Job | None:
        """Make the oldest job that waits behind another on its host one of this host, which has none.

        The row is locked, and rows that others hold are passed over (SELECT ... FOR UPDATE SKIP LOCKED): of many hosts
        that ask at once each gets another. The worker that waits on the other host finds its attempt over, and ends.
        What is next on its host stays there, so that no job goes from host to host.

        Returns:
            The job, which needs a worker; None when there is none to take or this host has work.
        """
        self.refresh()
        here, other = platform.node(), jobs.alias()
        busy = exists().where(other.c.host == here, other.c.state.in_(ACTIVE))
        before = exists().where(other.c.host == jobs.c.host, other.c.state.in_(ACTIVE), other.c.number < jobs.c.number)
        waiting = select(jobs.c.id).where(
            jobs.c.state == "queued", jobs.c.host != here, jobs.c.cancel_requested.is_(False), before, ~busy
        )
        mine = {"host": here, "pid": None, "heartbeat": time.time(), "ticks": _ticks(), "attempt": jobs.c.attempt + 1}
        with self._database.write() as connection:
            oldest = waiting.order_by(jobs.c.number).limit(1).with_for_update(skip_locked=True, of=jobs)
            job_id = connection.execute(oldest).scalar_one_or_none()
            if job_id is None:
                return None
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(mine))
        return self._job(job_id)

    def waiting_before(self, job_id: str) -> int:
        """How many active jobs were queued before this one, where the queue is shared on the same host."""
        self.refresh()
        number = select(jobs.c.number).where(jobs.c.id == job_id).scalar_subquery()
        query = select(func.count()).where(jobs.c.state.in_(ACTIVE), jobs.c.number < number)
        if self._database.shared:
            query = query.where(jobs.c.host == platform.node())
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def claim(self, job_id: str, *, attempt: int = 1) -> bool:
        """Turn a queued job into a running one; False when it is no longer queued. The caller holds the slot."""
        begun = {"state": "running", "started": time.time(), "started_ticks": _ticks(), "message": ""}
        return self._change(job_id, {**begun, "ticks": _ticks()}, among=("queued",), attempt=attempt)

    def is_wanted(self, job_id: str, *, attempt: int = 1) -> bool | None:
        """True: go on; False: somebody asked to cancel it; None: it has been closed, or begun anew, by whomever."""
        query = select(jobs.c.state, jobs.c.cancel_requested, jobs.c.attempt).where(jobs.c.id == job_id)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.state not in ACTIVE or row.attempt != attempt:
            return None
        return not row.cancel_requested

    def tell(self, job_id: str, news: Mapping[str, Any], *, attempt: int = 1) -> None:
        """Give a sign of life, and write the columns in `news` (step, total, message, values, history)."""
        self._change(job_id, {**news, "heartbeat": time.time(), "ticks": _ticks()}, among=ACTIVE, attempt=attempt)

    def close(
        self,
        job_id: str,
        state: State,
        *,
        error: str | None = None,
        result: Mapping[str, JsonValue] | None = None,
        attempt: int | None = None,
    ) -> bool:
        """Put an active job into a final state; False when somebody else has closed it before.

        `attempt`: only if this one is going on; None: whichever is.
        """
        changes = {"state": state, "finished": time.time(), "error": error, "result": dict(result or {})}
        ticks = _if_here(_ticks(), jobs.c.ticks)
        return self._change(job_id, {**changes, "ticks": ticks}, among=ACTIVE, attempt=attempt)

    def _note(self, what: Deed, job: Job) -> None:
        self._workspace.note(what, {"job": job.id, "kind": job.kind, "of": job.who or "unknown"})

    def _job(self, job_id: str) -> Job:
        with self._database.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise UnknownName(f"there is no job {job_id!r}; `muc jobs` lists the known ones")
        return _to_job(row)

    def _change(
        self,
        job_id: str,
        values: Mapping[str, Any],
        *,
        among: Sequence[State],
        also: ColumnElement[bool] | None = None,
        attempt: int | None = None,
    ) -> bool:
        statement = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(among)).values(dict(values))
        if also is not None:
            statement = statement.where(also)
        if attempt is not None:
            statement = statement.where(jobs.c.attempt == attempt)
        with self._database.write() as connection:
            return bool(connection.execute(statement).rowcount)


NAMED = ("before", "after", "original", "encoder", "name", "method")
"""Settings of jobs that the log names: encoders and methods."""


def _named_in(settings: Mapping[str, JsonValue]) -> dict[str, str]:
    return {name: value for name in NAMED if isinstance(value := settings.get(name), str)}


def kill_worker(pid: int | None, job_id: str) -> None:
    """Kill the worker of a job and what it started, if `pid` still is that worker."""
    worker = _worker(pid, job_id)
    if worker is None:
        return
    # Children first: a worker that ends itself this way does not live to do it afterwards.
    with suppress(psutil.NoSuchProcess):
        for child in worker.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        worker.kill()


def is_worker(pid: int | None, job_id: str) -> bool:
    """Whether that process of this machine is the worker of the job, and lives."""
    return _worker(pid, job_id) is not None


def _worker(pid: int | None, job_id: str) -> psutil.Process | None:
    """The living worker of a job. Its command line names the job: another process of the same pid is not mistaken."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE and job_id in process.cmdline():
            return process
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None


def _if_here(value: float, otherwise: Any) -> ColumnElement[Any]:
    """A value of this host's monotonic clock for jobs of this host; those of others know another clock."""
    return case((jobs.c.host == platform.node(), value), else_=otherwise)


def _asked_since(row: Row[Any]) -> float:
    """When somebody asked to cancel a job, or, if it was on another host, when this process first saw that."""
    if row.host == platform.node() and row.cancel_ticks is not None:
        return float(row.cancel_ticks)
    return _heard_since(f"{row.id} cancel", row.attempt)


def _trouble(row: Row[Any], *, by_ear: bool) -> str | None:
    """Why the worker of an active job must be given up; None while there is hope.

    `by_ear`: silence is what this process has listened to itself, for the table may have been out of reach meanwhile.
    """
    if row.host != platform.node():
        # Written from another machine or container: its processes cannot be seen from here.
        silence = _ticks() - _heard_since(row.id, row.heartbeat)
        return f"no sign of life from {row.host} for {silence:.0f} s" if silence > SILENT_AFTER_S else None
    silence = _ticks() - row.ticks
    since_heard = _ticks() - _heard_since(row.id, row.heartbeat) if by_ear else silence
    if row.pid is None:
        # Ticks ahead of now: the machine was started anew since.
        return "it was never started" if silence > START_WITHIN_S or silence < 0 else None
    if _worker(row.pid, row.id) is None:
        return f"process {row.pid} is gone"
    return f"no sign of life for {since_heard:.0f} s" if since_heard > SILENT_AFTER_S else None


_heard: dict[str, tuple[float, float]] = {}


def _heard_since(job_id: str, heartbeat: float) -> float:
    """When this process first saw this sign of life: no two machines' clocks agree, and each may be set."""
    if _heard.get(job_id, (None, 0.0))[0] != heartbeat:
        _heard[job_id] = (heartbeat, _ticks())
    return _heard[job_id][1]


def _ticks() -> float:
    """Seconds of a clock that all processes share and that stands still while the machine sleeps."""
    return time.monotonic()


def _to_job(row: Row[Any]) -> Job:
    fields = dict(row._mapping)
    for moment in ("heartbeat", "created", "started", "finished"):
        if fields[moment] is not None:
            fields[moment] = datetime.fromtimestamp(fields[moment], UTC)
    run = row.ticks - row.started_ticks if row.started_ticks is not None else -1.0
    fields["seconds"] = run if run >= 0 else None
    return Job.model_validate({name: fields[name] for name in Job.model_fields})
