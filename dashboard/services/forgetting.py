"""Deleting what came from uploads."""

from dashboard.services import audits, uploads
from dashboard.services.encoders import workspace
from muc_core.workspace.files import writing


def forget_uploads() -> int:
    """Delete all that is held or was written of this session's uploads; how many files there were.

    Results of audits that were saved stay: they hold figures and no pictures. A job that reads a file just now fails.
    """
    files = [path for path in uploads.files_for_jobs() if path.exists()]
    workspace().note("uploads deleted", {"files": str(len(files))})
    with writing(workspace().home):
        for path in files:
            path.unlink(missing_ok=True)
    uploads.let_go()
    audits.let_go()
    return len(files)
