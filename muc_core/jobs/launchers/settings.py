"""How jobs are started: the workspace's `launchers.toml`, what a command chose, and what is kept with each job.

launcher = "accelerate"        # of jobs that are started without --launcher; otherwise "local"

[accelerate]
processes = 4                  # on each host, one for each GPU
hosts = ["gpu1", "gpu2"]       # by ssh; without them, this host

[slurm]
nodes = 2
processes = 4                  # on each node
partition = "long"
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from muc_core.encoders.manifest import explain
from muc_core.errors import MucError, UnknownName
from muc_core.jobs.tasks import Task
from muc_core.workspace import Workspace
from muc_core.workspace.files import write_file

LauncherName = Literal["local", "accelerate", "slurm"]
LAUNCHERS: tuple[LauncherName, ...] = get_args(LauncherName)

FILE = "launchers.toml"

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,252}$")]
"""As ssh takes it, USER@HOST too; never what ssh would read as an option."""

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._,&|:-]{0,99}$")]
"""What may stand in a line of a batch script."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccelerateSettings(_Frozen):
    """`accelerate launch` on this host, or on each of several by ssh."""

    processes: int = Field(2, ge=1, le=64, description="processes on each host, one for each GPU")
    hosts: tuple[Host, ...] = Field((), description="hosts by ssh, the first leads; none: this host")
    port: int = Field(
        29_500, ge=1024, le=65_535, description="at which the first host listens; without hosts any free one"
    )


class SlurmSettings(_Frozen):
    """What is asked of SLURM, through submitit; what is None is left to the cluster."""

    nodes: int = Field(1, ge=1, le=1024)
    processes: int = Field(2, ge=1, le=64, description="on each node, one for each GPU")
    gpus_per_node: int | None = Field(None, ge=0, le=64)
    cpus_per_process: int | None = Field(None, ge=1, le=1024)
    memory_gb: int | None = Field(None, ge=1, description="on each node")
    minutes: int = Field(24 * 60, ge=1, description="after which SLURM ends the job")
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None


class Launch(_Frozen):
    """How one job is started, or all of a workspace unless a command says otherwise."""

    launcher: LauncherName = "local"
    accelerate: AccelerateSettings = AccelerateSettings()
    slurm: SlurmSettings = SlurmSettings()

    @property
    def here(self) -> bool:
        """Whether all processes are on this host, which has no part in what SLURM does."""
        return self.launcher == "local" or (self.launcher == "accelerate" and not self.accelerate.hosts)

    @property
    def world(self) -> int:
        """Processes in all."""
        if self.launcher == "local":
            return 1
        if self.launcher == "slurm":
            return self.slurm.nodes * self.slurm.processes
        return max(1, len(self.accelerate.hosts)) * self.accelerate.processes


def launch_of(workspace: Workspace, task: Task[Any], wanted: str | None) -> Launch:
    """How a job of that kind is to be started.

    Args:
        wanted: name of a launcher; None: what `launchers.toml` says, for kinds that more than one process can do.

    Raises:
        UnknownName: there is no launcher of that name.
        MucError: the file is damaged, the kind of job can be done by one process only, or two are too many already.
    """
    if wanted is not None and wanted not in LAUNCHERS:
        raise UnknownName(f"there is no launcher {wanted!r}; known: {', '.join(LAUNCHERS)}")
    if not task.joint:
        if wanted not in (None, "local"):
            raise MucError(f"a job of the kind {task.kind!r} is done by one process; leave the launcher {wanted!r} out")
        return Launch()
    launch = _read(workspace.home / FILE)
    if wanted is not None:
        launch = launch.model_copy(update={"launcher": wanted})
    if launch.launcher != "local" and launch.world < 2:
        raise MucError(
            f"{workspace.home / FILE} asks {launch.launcher} for 1 process, which needs no launcher; set processes to "
            "2 or more, or the launcher to local"
        )
    return launch


def keep(workspace: Workspace, job_id: str, launch: Launch) -> None:
    """Note how a job is started, for its worker and for whoever goes on with it. Raises `MucError`."""
    if launch.launcher != "local":
        write_file(_kept(workspace, job_id), launch.model_dump_json(indent=1).encode())


def kept(workspace: Workspace, job_id: str) -> Launch:
    """How a job is started. Raises `MucError` when the note is damaged."""
    path = _kept(workspace, job_id)
    try:
        return Launch.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Launch()
    except (OSError, ValidationError) as error:
        raise MucError(f"{path} is damaged; start the job again") from error


def _kept(workspace: Workspace, job_id: str) -> Path:
    return workspace.jobs_folder / f"{job_id}.launch.json"


def _read(path: Path) -> Launch:
    try:
        return Launch.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Launch()
    except ValidationError as error:
        raise MucError(f"{path}: {explain(error)}; docs/scale.md shows what it may say") from error
    except (OSError, ValueError) as error:
        raise MucError(f"{path} cannot be read as TOML ({error}); docs/scale.md shows what it may say") from error
