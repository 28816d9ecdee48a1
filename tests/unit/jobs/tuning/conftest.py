"""A workspace of tiny encoders, one original and one after Alignment Calibration and Retrain for each kind."""

from pathlib import Path

import pytest

from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.workspace import Workspace
from tests.tuned import ARCHITECTURES, HELD_OUT, QUICK, unlearning, write_pictures


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


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
