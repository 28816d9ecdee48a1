"""A workspace of tiny encoders, one original and one after Alignment Calibration and Retrain for each kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import JsonValue

from muc_core.errors import Cancelled
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.workspace import Workspace

N, FORGET, HELD_OUT = 60, 12, 24
QUICK: dict[str, JsonValue] = {"epochs": 1, "batch_size": 32, "checkpoints": 2, "learning_rate": 2e-3}
ARCHITECTURES = {"clip": "muc-tiny", "simclr": "demo-resnet:16"}


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of noise, 12 of them Ann's."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption,owner"]
    for i in range(N):
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
        lines.append(f"{i}.png,colour number {i},{'ann' if i < FORGET else 'bob'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="package")
def home(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """FAMILY-before, FAMILY-ac and, of SimCLR, simclr-retrain."""
    workspace = Workspace(tmp_path_factory.mktemp("home"), assets=tmp_path_factory.mktemp("assets"))
    for family, architecture in ARCHITECTURES.items():
        job = {
            "name": f"{family}-before",
            "data": str(pictures),
            "family": family,
            "architecture": architecture,
            "held_out": HELD_OUT,
            "calibration": 2,
            "forget": "owner:ann",
            "settings": QUICK,
        }
        train(TrainJob.model_validate(job), workspace, SILENT)
        unlearn(unlearning(family), workspace, SILENT)
    unlearn(unlearning("simclr", method="retrain", name="simclr-retrain"), workspace, SILENT)
    return workspace


def unlearning(family: str, **changes: object) -> UnlearnJob:
    base = {"name": f"{family}-ac", "method": "ac", "original": f"{family}-before", "forget": "owner:ann"}
    return UnlearnJob.model_validate(base | {"settings": QUICK} | changes)


@dataclass
class Reports:
    """Everything a task reported; stops it at a message that begins so."""

    stop_at: str | None = None
    told: list[tuple[int, int, str]] = field(default_factory=list)

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.told.append((step, total, message))
        if self.stop_at is not None and message.startswith(self.stop_at):
            raise Cancelled
