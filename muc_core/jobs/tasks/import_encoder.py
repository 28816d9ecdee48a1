"""Adding an encoder from elsewhere as a job: for files that take long to read, and weights that are fetched first."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.manifest import Output
from muc_core.encoders.preprocessing import Deviation, Mean
from muc_core.errors import MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import EncoderRecord, Workspace
from muc_core.workspace.importing import RecognitionReport, examine, import_encoder

KIND = "import_encoder"


class ImportEncoderSettings(BaseModel):
    """What to add, and what is known of it better than its file says; see `muc_core.workspace.importing`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        min_length=1, description="path of a weight file or folder, a name of open_clip, or hf-hub:NAME"
    )
    name: str | None = Field(default=None, description="what to call the encoder; None: only say what it is")
    arch: str | None = Field(default=None, description="its architecture where it is known")
    size: int | None = Field(default=None, ge=1, le=4096, description="side of the pictures it wants, in pixels")
    mean: tuple[Mean, Mean, Mean] | None = Field(default=None, description="mean of red, green and blue, from 0 to 1")
    std: tuple[Deviation, Deviation, Deviation] | None = Field(default=None, description="deviation of the same")
    interpolation: Interpolation | None = Field(default=None, description="how pictures are resized")
    output: Output | None = Field(default=None, description="projections or features")
    text_onnx: str | None = Field(default=None, description="text tower that belongs to an image tower in ONNX")
    file_name: str | None = Field(default=None, description="what the user calls the file, where source is a copy")


def look(settings: ImportEncoderSettings) -> RecognitionReport:
    """What the source is recognised as; adds nothing. Raises `MucError` as `examine` does."""
    return examine(
        _place(settings.source),
        arch=settings.arch,
        size=settings.size,
        mean=settings.mean,
        std=settings.std,
        interpolation=settings.interpolation,
        output=settings.output,
        text_onnx=None if settings.text_onnx is None else Path(settings.text_onnx),
        file_name=settings.file_name,
    ).report


def add(settings: ImportEncoderSettings, workspace: Workspace, progress: Progress) -> EncoderRecord:
    """Add the encoder under the name given. Raises `MucError`, `Cancelled`; nothing of it stays then."""
    if settings.name is None:
        raise MucError("the encoder has no name; give one")
    return import_encoder(
        workspace,
        _place(settings.source),
        name=settings.name,
        arch=settings.arch,
        size=settings.size,
        mean=settings.mean,
        std=settings.std,
        interpolation=settings.interpolation,
        output=settings.output,
        text_onnx=None if settings.text_onnx is None else Path(settings.text_onnx),
        file_name=settings.file_name,
        progress=progress,
    ).record


def run(settings: ImportEncoderSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Returns `{"report": what it is recognised as}` without a name, `{"encoder": name}` with one."""
    if settings.name is None:
        progress.report(0, 1, "looking at the file")
        report = look(settings)
        progress.report(1, 1, "the file was recognised")
        return {"report": report.model_dump(mode="json")}
    return {"encoder": add(settings, workspace, progress).manifest.name}


def _place(source: str) -> str | Path:
    """A path where there is one, so that it is never taken for a name of open_clip."""
    path = Path(source).expanduser()
    return path if path.exists() else source


TASKS.register(KIND, Task(KIND, ImportEncoderSettings, run))
