"""Checking an encoder as a job: the probes of `muc_core.encoders.probes`, whose results are kept in the workspace.

    checks/DIGEST.json  the probes of the latest check
    checks/DIGEST.npz   vectors of fixed drawings at the first check, with which every later one compares

DIGEST is that of the encoder: it stays when the encoder is renamed or added again, and it also stays when the owner of
an encoder behind a URL swaps the model, which the comparison then shows.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from muc_core.encoders.manifest import Moment, utc_now
from muc_core.encoders.probes import Probe, check_encoder
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace
from muc_core.workspace.files import write_file, writing

KIND = "check_encoder"


class CheckEncoderSettings(BaseModel):
    """Which encoder to check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(description="name of the encoder")


class Check(BaseModel):
    """What a check found.

    Attributes:
        moment: when, ISO 8601, UTC.
        probes: in the order of the check.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moment: Moment
    probes: tuple[Probe, ...]

    @property
    def failed(self) -> tuple[Probe, ...]:
        return tuple(probe for probe in self.probes if probe.passed is False)


def check(workspace: Workspace, name: str, progress: Progress = SILENT) -> Check:
    """Check an encoder and keep what was found. Raises `UnknownName`; `MucError` when it cannot be loaded."""
    digest = workspace.encoder(name).manifest.content_digest
    found = Check(
        moment=utc_now(),
        probes=check_encoder(workspace.load(name), canaries=canaries_of(workspace, digest), progress=progress),
    )
    path = _folder(workspace) / f"{digest}.json"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, found.model_dump_json(indent=1).encode())
    return found


def read_check(workspace: Workspace, digest: str) -> Check | None:
    """The latest check of an encoder by its digest; None when there was none (or its file is damaged)."""
    try:
        return Check.model_validate_json((_folder(workspace) / f"{digest}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def canaries_of(workspace: Workspace, digest: str) -> Path:
    """Where the vectors of an encoder's first check are kept; the file may be missing."""
    return _folder(workspace) / f"{digest}.npz"


def forget_canaries(workspace: Workspace, digest: str) -> None:
    """The next check of this encoder counts as its first. Raises `MucError` when the file cannot be removed."""
    path = canaries_of(workspace, digest)
    with writing(path):
        path.unlink(missing_ok=True)


def run(settings: CheckEncoderSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Check an encoder. Returns `{"checked": name, "failed": names of probes}`; see `read_check`."""
    found = check(workspace, settings.encoder, progress)
    return {"checked": settings.encoder, "failed": [probe.name for probe in found.failed]}


def _folder(workspace: Workspace) -> Path:
    return workspace.home / "checks"


TASKS.register(KIND, Task(KIND, CheckEncoderSettings, run))
