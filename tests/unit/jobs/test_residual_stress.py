"""Residual stress as a job: what it finds with tiny encoders of every family, what it keeps, and what it refuses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import JsonValue

from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import Cancelled, MucError
from muc_core.evaluation.stress import ResidualStress
from muc_core.jobs.stress_plan import ResidualStressSettings, plan_stress
from muc_core.jobs.tasks.residual_stress import (
    find_stress,
    read_stress,
    run,
    saved_stresses,
    stress,
)
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.workspace import Workspace

N = 60
ARCHITECTURES = {"clip": "muc-tiny", "simclr": "demo-resnet:16", "moco": "demo-resnet:16@32"}
QUICK: dict[str, JsonValue] = {"epochs": 1, "batch_size": 32, "checkpoints": 1}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of noise, 12 of them Ann's."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption,owner"]
    for i in range(N):
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
        lines.append(f"{i}.png,colour number {i},{'ann' if i < 12 else 'bob'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def home(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """For each family an original, one after Alignment Calibration and a Retrain."""
    workspace = Workspace(tmp_path_factory.mktemp("home"), assets=tmp_path_factory.mktemp("assets"))
    for family, architecture in ARCHITECTURES.items():
        job = TrainJob.model_validate(
            {
                "name": f"{family}-before",
                "data": str(pictures),
                "family": family,
                "architecture": architecture,
                "held_out": 24,
                "calibration": 2,
                "forget": "owner:ann",
                "settings": QUICK,
            }
        )
        train(job, workspace, SILENT)
        for method in ("ac", "retrain"):
            after = UnlearnJob(
                name=f"{family}-{method}",
                method=method,
                original=f"{family}-before",
                forget="owner:ann",
                settings=QUICK,
            )
            unlearn(after, workspace, SILENT)
    return workspace


def settings(family: str = "simclr", **changes: object) -> ResidualStressSettings:
    return ResidualStressSettings.model_validate(
        {
            "before": f"{family}-before",
            "after": f"{family}-ac",
            "retrained": f"{family}-retrain",
            "forget": "owner:ann",
            "steps": 4,
            "every": 2,
            "pass_steps": 2,
            "batch_size": 16,
            "splits": 1,
            "points": 3,
        }
        | changes
    )


@dataclass
class Reports:
    steps: list[tuple[int, int]] = field(default_factory=list)
    stop_after: float = 2.0

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.steps.append((step, total))
        if step > self.stop_after * total:
            raise Cancelled


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_every_trainable_family_is_stressed_and_the_result_is_kept(home: Workspace, family: str) -> None:
    reports = Reports()
    result = run(settings(family), home, reports)
    found = read_stress(home, str(result["stress"]))
    assert found is not None
    assert result["verdict"] == found.verdict
    assert found.mode == ("image-text" if family == "clip" else "two-view")
    assert (found.n_items, found.n_controls) == (12, 24)
    assert found.encoders == {"before": f"{family}-before", "after": f"{family}-ac", "retrained": f"{family}-retrain"}
    assert [point.step for point in found.relearning.curves["after"]] == [0, 2, 4]
    assert set(found.relearning.curves) == {"after", "retrained"}
    assert found.relearning.halves == 2
    assert (found.relearning.curves["after"][0].first is None) == (family != "clip")
    assert [point.share for point in found.line.points] == [0, 0.5, 1]
    assert set(found.separation.linear) == set(found.separation.neighbours) == {"before", "after", "retrained"}
    assert found.line.points[0].standings["after"] == found.int8.plain["after"]
    assert found.line.points[2].standings["after"] == found.int8.plain["before"]
    assert len(found.explain()) >= 6
    assert reports.steps == sorted(reports.steps)
    assert reports.steps[-1][0] == reports.steps[-1][1]


def test_what_was_found_is_not_looked_for_again(home: Workspace) -> None:
    key, found = stress(home, settings())
    reports = Reports()
    assert stress(home, settings(), progress=reports) == (key, found)
    assert reports.steps == [(1, 1)]
    assert find_stress(home, settings()) == found


def test_what_was_kept_is_listed_newest_first_and_damaged_files_are_left_out(home: Workspace) -> None:
    key, found = stress(home, settings())
    folder = home.home / "stress"
    (folder / "another-version.json").write_text('{"encoders": {}}')
    (folder / ".tmp-1.json").write_text((folder / f"{key}.json").read_text())
    os.utime(folder / f"{key}.json", (4e9, 4e9))
    kept = saved_stresses(home)
    assert (kept[0].key, kept[0].result) == (key, found)
    assert (kept[0].result.forget, kept[0].result.controls) == ("owner:ann", "held-out")
    assert {"another-version", ".tmp-1"}.isdisjoint(one.key for one in kept)
    assert kept == sorted(kept, key=lambda one: one.made, reverse=True)


def test_the_cost_counts_every_look_and_every_step(home: Workspace) -> None:
    """By hand: 3 encoders looked at as they are, in 8 bits and by features; one point on each of two lines; two halves
    for each of two encoders, looked at after 0, 2 and 4 steps."""
    cost = plan_stress(home, settings("clip")).cost
    assert (cost.trainings, cost.steps, cost.views) == (4, 4, 1)
    assert cost.looked == (3 * 3 + 2) * (12 + 24) + 4 * 3 * (6 + 24)
    assert cost.trained == 4 * 4 * 16
    alone = plan_stress(home, settings("simclr", retrained=None)).cost
    assert (alone.trainings, alone.looked) == (2, 8 * ((3 * 2 + 1) * 36 + 2 * 3 * 30))
    assert alone.seconds(0.5) == 0.5 * (alone.looked + 6 * alone.trained)


def test_other_settings_and_other_encoders_are_looked_at_anew(home: Workspace) -> None:
    stress(home, settings())
    for changes in ({"seed": 3}, {"steps": 6}, {"retrained": None, "seed": 5}, {"after": "simclr-before"}):
        assert find_stress(home, settings("simclr", **changes)) is None


def test_the_same_seed_gives_the_same_result(home: Workspace) -> None:
    key, first = stress(home, settings(seed=4))
    (home.home / "stress" / f"{key}.json").write_text("{")
    assert read_stress(home, key) is None
    assert stress(home, settings(seed=4)) == (key, first)


def test_without_retrain_fewer_questions_are_answered_and_it_is_said(home: Workspace) -> None:
    _, found = stress(home, settings(retrained=None))
    assert set(found.relearning.curves) == set(found.line.returns_at) == {"after"}
    assert any("Without Retrain" in warning for warning in found.warnings)


def test_an_encoder_that_was_not_changed_rises_no_further_than_itself(home: Workspace) -> None:
    _, found = stress(home, settings(after="simclr-before", retrained=None))
    assert found.line.points[0].standings == found.line.points[1].standings == found.line.points[2].standings


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_it_can_be_cancelled_and_leaves_nothing(home: Workspace, share: float) -> None:
    before = sorted((home.home / "stress").glob("*")) if (home.home / "stress").exists() else []
    with pytest.raises(Cancelled):
        run(settings(seed=9), home, Reports(stop_after=share))
    assert (sorted((home.home / "stress").glob("*")) if (home.home / "stress").exists() else []) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"before": "nobody"}, "no encoder 'nobody'"),
        ({"forget": "owner:nobody"}, "nobody"),
        ({"controls": "retain"}, "was trained on; choose controls that were not"),
        ({"forget": "held-out"}, "both forgotten and a control"),
        ({"controls": "calibration"}, "there are 2 controls; at least 20"),
        ({"forget": "calibration"}, "there are 2 forgotten pictures; at least 10"),
        ({"retrained": "simclr-before"}, "so it is no Retrain for them"),
        ({"after": "clip-ac"}, "one architecture"),
        ({"data": "demo"}, "not those that"),
    ],
)
def test_bad_input_is_refused_in_words(home: Workspace, changes: dict[str, object], words: str) -> None:
    with pytest.raises(MucError, match=words):
        run(settings("simclr", **changes), home, SILENT)


@pytest.mark.parametrize("family", ["onnx", "remote", "torchscript", "backbone"])
def test_what_cannot_be_trained_is_refused_and_why(home: Workspace, family: str) -> None:
    manifest = EncoderManifest(name=f"a-{family}", title="from elsewhere", family=family, architecture="any")
    home.save_encoder(manifest, {"w": torch.zeros(2)})
    with pytest.raises(MucError, match=f"opened as {family}, which answers questions but whose weights cannot be"):
        run(settings(after=f"a-{family}"), home, SILENT)


def test_encoders_of_which_nothing_is_known_need_their_data_named(home: Workspace, pictures: Path) -> None:
    for name in ("before", "ac"):
        record = home.encoder(f"simclr-{name}")
        manifest = record.manifest.model_copy(update={"name": f"unknown-{name}", "data": None})
        home.save_encoder(manifest, load_weights(record.weights))
    asked = settings("unknown", retrained=None)
    with pytest.raises(MucError, match="not known what 'unknown-ac' was trained on"):
        run(asked, home, SILENT)
    with pytest.raises(MucError, match="part of a split"):
        run(asked.model_copy(update={"data": str(pictures)}), home, SILENT)


def test_damaged_weights_are_refused(home: Workspace) -> None:
    record = home.encoder("simclr-ac")
    folder = home.save_encoder(
        record.manifest.model_copy(update={"name": "damaged"}), load_weights(record.weights)
    ).folder
    other = home.encoder("simclr-before").weights.read_bytes()
    (folder / "weights.safetensors").write_bytes(other)
    with pytest.raises(MucError, match="another SHA-256"):
        run(settings(after="damaged"), home, SILENT)


def test_families_are_those_that_can_be_trained() -> None:
    assert set(ARCHITECTURES) <= set(FAMILIES.names())


@pytest.mark.slow
def test_the_demo_shows_what_is_hidden_and_what_is_forgotten(tmp_path: Path) -> None:
    """The untouched half comes back in the encoder after AC, and stays where it is in Retrain."""
    _, found = stress(
        Workspace(tmp_path),
        ResidualStressSettings(
            before="demo-clip", after="demo-clip-ac", retrained="demo-clip-retrain", forget="owner:artist"
        ),
    )
    after, retrained = (found.relearning.curves[role] for role in ("after", "retrained"))
    assert after[-1].effect.value - after[0].effect.value > retrained[-1].effect.value - retrained[0].effect.value
    assert isinstance(found, ResidualStress)
