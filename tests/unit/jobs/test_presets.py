"""Presets: they are valid, start on the data they are for, and hand their unlearning settings on."""

from pathlib import Path

import pytest
from pydantic import JsonValue

import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.sets import load_dataset
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder  # noqa: F401
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs.presets import PRESETS, plain, suited_settings, with_defaults
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.unlearning.method import METHODS
from muc_core.workspace import Workspace
from tests.data_sets import write_cifar

BRIEF: dict[str, JsonValue] = {"epochs": 1, "batch_size": 8, "checkpoints": 1}


@pytest.mark.parametrize("name", PRESETS.names())
def test_every_setting_of_a_preset_is_one_that_the_method_has(name: str) -> None:
    preset = PRESETS.get(name)
    with_defaults(METHODS.get("retrain").settings, preset.training)()
    for method, values in preset.unlearning.items():
        with_defaults(METHODS.get(method).settings, values)()
    assert preset.family in FAMILIES.names()


def test_the_paper_presets_have_the_papers_figures() -> None:
    for name in ("paper-cifar10-simclr", "paper-cifar10-moco"):
        preset = PRESETS.get(name)
        training = with_defaults(METHODS.get("retrain").settings, preset.training)()
        assert (training.batch_size, training.optimizer, training.momentum) == (512, "sgd", 0.9)
        assert (training.weight_decay, training.learning_rate, training.schedule) == (5e-4, 0.06, "cosine")
        assert (training.epochs, training.warmup, training.gradient_clip) == (800, 0.0, None)
        ac = with_defaults(METHODS.get("ac").settings, preset.unlearning["ac"])()
        assert (ac.epochs, ac.learning_rate) == (10, 0.006)
        assert preset.architecture.startswith("cifar-resnet18")


def test_other_defaults_keep_the_bounds_and_the_description() -> None:
    settings = METHODS.get("ac").settings
    changed = with_defaults(settings, {"learning_rate": 0.25, "augment": {"crop_scale": 0.3}})
    assert changed().learning_rate == 0.25
    assert changed().augment is not None
    assert changed(learning_rate=0.5).learning_rate == 0.5
    assert changed.model_fields["learning_rate"].description == settings.model_fields["learning_rate"].description
    assert settings().learning_rate != 0.25
    for wrong in (with_defaults(settings, {"learning_rate": 0.25}), settings):
        with pytest.raises(ValueError, match="greater than 0"):
            wrong(learning_rate=-1)
    with pytest.raises(ValueError, match="speed"):
        with_defaults(settings, {"speed": 3})


def test_an_encoder_is_unlearned_with_the_settings_of_its_preset() -> None:
    method = METHODS.get("ac")
    from_preset = EncoderManifest(
        name="a", title="a", family="simclr", architecture="cifar-resnet18", preset="paper-cifar10-simclr"
    )
    assert suited_settings(method, from_preset)().optimizer == "sgd"
    assert suited_settings(method, from_preset.model_copy(update={"preset": None})) is method.settings
    with pytest.raises(MucError, match="paper-cifar10-moco"):
        suited_settings(method, from_preset.model_copy(update={"preset": "gone"}))


@pytest.mark.parametrize("name", ["paper-cifar10-simclr", "paper-cifar10-moco", "paper-cifar10-supervised"])
def test_the_paper_presets_start_on_a_directory_in_cifars_format(name: str, tmp_path: Path) -> None:
    write_cifar(tmp_path / "data", "cifar10", a_batch=4)
    workspace = Workspace(tmp_path / "home", assets=tmp_path / "none")
    job = PRESETS.get(name).job("original", data=f"cifar10:{tmp_path / 'data'}", settings=BRIEF)
    job = job.model_copy(update={"held_out": 4, "calibration": 6})
    train(job, workspace, SILENT)
    manifest = workspace.encoder("original").manifest
    assert manifest.preset == name
    assert manifest.data is not None
    split = manifest.data.split
    assert all(item_id.startswith("test/") for item_id in split.held_out)
    assert all(item_id.startswith("train/") for item_id in split.train)
    (tmp_path / "ids.txt").write_text("\n".join(split.train[:4]))
    settings = suited_settings(METHODS.get("ac"), manifest)(**BRIEF)
    unlearn(
        UnlearnJob(
            method="ac",
            original="original",
            forget=f"ids:{tmp_path / 'ids.txt'}",
            name="after",
            settings=settings.model_dump(mode="json"),
        ),
        workspace,
        SILENT,
    )
    after = workspace.load("after")
    assert (after.image_size, after.dimension) == (32, 512 if after.family == "supervised" else 128)
    if after.family == "supervised":
        dataset = load_dataset(manifest.data.spec)
        labels = {str(dataset.labels[dataset.index_of(item_id)]) for item_id in split.train}
        assert manifest.classes == tuple(sorted(labels))
        assert manifest.architecture == f"cifar-resnet18@{len(labels)}"
    assert workspace.encoder("after").manifest.preset == name


def test_a_preset_without_pictures_asks_for_them() -> None:
    with pytest.raises(MucError, match="brings no pictures"):
        PRESETS.get("paper-cifar10-simclr").job("a")


@pytest.mark.parametrize("name", FAMILIES.names())
def test_without_a_preset_a_family_has_its_own_defaults(name: str) -> None:
    job = plain(FAMILIES.get(name)).job("a", data="demo")
    assert (job.preset, job.family, job.settings) == (None, name, {})
