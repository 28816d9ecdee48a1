"""How the demo's encoders are made: one recipe each, from nothing, with fixed seeds.

The settings come from the searches that docs/demo-search.md reports.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError, UnknownName
from muc_core.jobs.presets import PRESETS
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT, Progress
from muc_core.workspace import Workspace

TWO_VIEW = ("demo-simclr", "demo-moco")
"""Originals that are trained with the preset of their name and unlearned with the settings that it brings."""

CLIP_ONLY = ("ac-matched",)
"""Methods that the two-view demos do not show: the encoders that come with the program must stay small."""

ORIGINALS: tuple[TrainJob, ...] = (
    TrainJob(name="demo-clip", settings={"epochs": 40, "learning_rate": 2e-3, "checkpoints": 1}),
    *(PRESETS.get(name).job(name, settings={"checkpoints": 1}) for name in (*TWO_VIEW, "demo-simclr-blind")),
)


def _after(original: str, method: str, settings: Mapping[str, JsonValue]) -> UnlearnJob:
    return UnlearnJob(
        name=f"{original}-{method}",
        method=method,
        original=original,
        forget="owner:artist",
        settings={**settings, "checkpoints": 1},
    )


UNLEARNED: tuple[UnlearnJob, ...] = (
    _after("demo-clip", "retrain", {"epochs": 40, "learning_rate": 2e-3}),
    _after(
        "demo-clip",
        "ac",
        {"epochs": 8, "learning_rate": 2e-3, "schedule": "cosine", "alpha": 0.0, "beta": 2.0, "gamma": 0.0},
    ),
    _after("demo-clip", "ac-matched", {}),
    _after("demo-clip", "finetune", {"epochs": 10, "learning_rate": 4e-3, "schedule": "cosine"}),
    _after("demo-clip", "gradient-ascent", {"epochs": 5, "learning_rate": 2e-4}),
    _after("demo-clip", "neggrad", {"epochs": 5, "learning_rate": 5e-4}),
    _after("demo-clip", "l1", {"epochs": 10, "learning_rate": 2e-3, "schedule": "cosine", "penalty": 1e-4}),
    *(
        _after(name, method, settings)
        for name in TWO_VIEW
        for method, settings in PRESETS.get(name).unlearning.items()
        if method not in CLIP_ONLY
    ),
)


def build_demo(out: Path, *, only: Sequence[str] = (), progress: Progress = SILENT) -> list[EncoderManifest]:
    """Train the demo's encoders and put them into `out/NAME/`, replacing what is there under these names.

    Args:
        out: folder, made when missing.
        only: names to build; the original is trained for its unlearned ones in any case. Empty: all.
        progress: counts the steps of each encoder.

    Raises:
        UnknownName: `only` names none of the demo's encoders.
        MucError: `out` cannot be written.
        Cancelled: from `progress`; encoders already built stay.
    """
    known = [*(job.name for job in ORIGINALS), *(job.name for job in UNLEARNED)]
    if wrong := [name for name in only if name not in known]:
        raise UnknownName(f"the demo has no encoder {wrong[0]!r}; known: {', '.join(known)}")
    wanted = set(only or known)
    manifests = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), assets=Path(folder) / "none")
        for original in ORIGINALS:
            after = [job for job in UNLEARNED if job.original == original.name and job.name in wanted]
            if original.name in wanted or after:
                train(original, workspace, _Named(progress, original.name))
            if original.name in wanted:
                manifests.append(_publish(workspace, original.name, out))
            for job in after:
                unlearn(job, workspace, _Named(progress, job.name))
                manifests.append(_publish(workspace, job.name, out))
    return manifests


@dataclass(frozen=True)
class _Named:
    """Progress that says which encoder is being trained."""

    inner: Progress
    name: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.inner.report(step, total, f"{self.name}: {message}", values)


def _publish(workspace: Workspace, name: str, out: Path) -> EncoderManifest:
    record = workspace.encoder(name)
    try:
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.copytree(record.folder, out / name)
    except OSError as error:
        raise MucError(f"{out / name} cannot be written ({error.strerror}); choose another folder") from error
    return record.manifest
