"""Long work outside the page: job table, launcher and worker process."""

from muc_core.jobs.launcher import cancel, follow, resume, submit
from muc_core.jobs.table import Job, JobTable

__all__ = ["Job", "JobTable", "cancel", "follow", "resume", "submit"]
