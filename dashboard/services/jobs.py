"""The jobs that the user may see: an engineer all of them, anybody else those that they asked for."""

from collections.abc import Sequence

from dashboard.services.home import workspace
from dashboard.services.people import current_user
from dashboard.services.roles import User
from muc_core.errors import UnknownName
from muc_core.jobs import Job, JobTable
from muc_core.jobs.table import State


def jobs(*, states: Sequence[State] | None = None, limit: int = 100) -> list[Job]:
    """Jobs, newest first, of the latest `limit`."""
    return _seen(JobTable(workspace()).jobs(states=states, limit=limit))


def active_jobs() -> list[Job]:
    """Queued and running jobs in the order they will run."""
    return _seen(JobTable(workspace()).active())


def job_of(job_id: str) -> Job:
    """One job. Raises `UnknownName` when there is none, or it is somebody else's."""
    job = JobTable(workspace()).job(job_id)
    if not _seen([job]):
        raise UnknownName(f"there is no job {job_id!r} of yours")
    return job


def job_log(job_id: str) -> str:
    """What the worker of a job printed. Raises `UnknownName`; `OSError` when it cannot be read."""
    return JobTable(workspace()).log(job_of(job_id).id).read_text(encoding="utf-8", errors="replace")


def made_by(job_id: object, user: User) -> bool:
    """Whether a user asked for this job."""
    try:
        return isinstance(job_id, str) and JobTable(workspace()).job(job_id).who == user.who
    except UnknownName:  # of a table that was begun anew
        return False


def _seen(found: list[Job]) -> list[Job]:
    user = current_user()
    return found if user.is_engineer else [job for job in found if job.who == user.who]
