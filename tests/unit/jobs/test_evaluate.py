"""White-box evaluation as a job and as a command, with tiny encoders."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import JsonValue
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.data.sets import load_dataset
from muc_core.encoders.base import Classifier
from muc_core.encoders.embed import embed_images
from muc_core.errors import MucError, UnknownName
from muc_core.evaluation.metrics import METRICS
from muc_core.jobs.tasks.evaluate import EvaluateJob, evaluate, run, views_of
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.progress import SILENT
from muc_core.workspace import Workspace

ARCHITECTURES = {"clip": "muc-tiny", "simclr": "demo-resnet:16", "supervised": "demo-resnet"}
QUICK: dict[str, JsonValue] = {"epochs": 1, "batch_size": 32, "checkpoints": 1}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Originals of three families on 60 pictures of noise in two classes, 12 of Ann's, gradient ascent, Retrain."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption,owner,label"]
    for i in range(60):
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
        lines.append(f"{i}.png,colour number {i},{'ann' if i < 12 else 'bob'},{'cat' if i % 2 else 'dog'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    home = Workspace(tmp_path_factory.mktemp("home"), assets=tmp_path_factory.mktemp("assets"))
    for family, architecture in ARCHITECTURES.items():
        job = {
            "name": family,
            "data": str(folder),
            "family": family,
            "architecture": architecture,
            "held_out": 14,
            "calibration": 2,
            "forget": "owner:ann",
            "settings": QUICK,
        }
        train(TrainJob.model_validate(job), home, SILENT)
        for method in ("gradient-ascent", "retrain"):
            name = f"{family}-{method}"
            after = UnlearnJob(name=name, method=method, original=family, forget="owner:ann", settings=QUICK)
            unlearn(after, home, SILENT)
    return home


def job(family: str = "simclr", **changes: object) -> EvaluateJob:
    fields = {"encoders": [f"{family}-gradient-ascent"], "retrained": f"{family}-retrain", "seeds": 1}
    return EvaluateJob.model_validate({**fields, **changes})


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_every_metric_is_there_or_missing_with_a_reason(workspace: Workspace, family: str) -> None:
    found = evaluate(workspace, job(family))
    (evaluation,) = found.encoders[f"{family}-gradient-ascent"]
    assert evaluation.counts == {"forget": 12, "retain": 32, "held_out": 14}
    missing = {name for names in evaluation.missing.values() for name in names}
    captions = {name for name in METRICS.names() if name[:3] in ("i2t", "t2i", "zer", "mat")}
    of_classifier = {metric.name for metric in METRICS if metric.of_classifier}
    others = (captions if family != "clip" else set()) | (of_classifier if family != "supervised" else set())
    hyperbolic = {name for name in METRICS.names() if name.startswith(("root_", "outside_"))}
    expected = set(METRICS.names()) - missing - others - hyperbolic
    assert evaluation.values.keys() == expected
    assert missing == {"emia_tpr"} | ({"matched_tpr"} if family == "clip" else set())
    for name, value in evaluation.values.items():
        metric = METRICS.get(name)
        assert metric.low is None or value >= metric.low - 1e-6, name
        assert metric.high is None or value <= metric.high + 1e-6, name
    (retrained,) = found.encoders[f"{family}-retrain"]
    assert retrained.values["gap"] == 0
    assert retrained.values["cka"] == pytest.approx(1)
    assert evaluation.values["views"] == pytest.approx(12 / 32)
    assert "fewer than 100 held-out pictures" in " ".join(found.explain())


def test_a_classifier_is_asked_itself_and_its_gap_is_over_its_answers(workspace: Workspace) -> None:
    found = evaluate(workspace, job("supervised", encoders=["supervised", "supervised-gradient-ascent"]))
    (original,), (retrained,) = (found.encoders[name] for name in ("supervised", "supervised-retrain"))
    encoder = workspace.load("supervised")
    assert isinstance(encoder, Classifier)
    assert encoder.classes == ("cat", "dog")
    assert workspace.encoder("supervised-gradient-ascent").manifest.classes == ("cat", "dog")
    source = workspace.encoder("supervised-gradient-ascent").manifest.data
    assert source is not None
    dataset = load_dataset(source.spec).subset(source.split.retain)
    named = encoder.classify(embed_images(encoder, dataset)).argmax(dim=1).tolist()
    right = [encoder.classes[number] == label for number, label in zip(named, dataset.labels, strict=True)]
    assert original.values["classifier_ra"] == pytest.approx(sum(right) / len(right))
    names = ["classifier_ra", "classifier_ta", "classifier_ua", "classifier_mia"]
    gaps = [abs(original.values[name] - retrained.values[name]) for name in names]
    assert original.values["gap"] == pytest.approx(sum(gaps) / 4)


def test_a_classifier_whose_classes_are_unknown_is_not_asked(workspace: Workspace) -> None:
    record = workspace.encoder("supervised")
    files = {name: record.folder / name for name in record.manifest.files}
    workspace.add_encoder(record.manifest.model_copy(update={"name": "nameless", "classes": ()}), files)
    asked = EvaluateJob(encoders=("nameless",), seeds=1, forget="owner:ann")
    (found,) = evaluate(workspace, asked).encoders["nameless"]
    assert "classifier_ua" not in found.values
    assert "it is not known which classes the encoder's classifier tells apart" in found.missing


def test_what_was_found_is_kept_by_content(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(workspace, job(seeds=2))
    monkeypatch.setattr("muc_core.evaluation.white_box.WhiteBox.evaluate", None)
    assert evaluate(workspace, job(seeds=2)) == first
    assert run(job(seeds=2), workspace, SILENT) == {"evaluated": ["simclr-gradient-ascent", "simclr-retrain"]}


def test_without_retrain_there_is_no_gap_and_nothing_in_its_place(workspace: Workspace) -> None:
    found = evaluate(workspace, job(retrained=None))
    (evaluation,) = found.encoders["simclr-gradient-ascent"]
    assert not {"gap", "collateral", "views", "cka", "neighbours", "beyond_retrain"} & evaluation.values.keys()
    assert "there is no Retrain to compare with, and nothing else can stand for it" in " ".join(found.explain())


def test_data_without_classes_are_evaluated_without_probes(workspace: Workspace, tmp_path: Path) -> None:
    source = workspace.encoder("simclr").manifest.data
    assert source is not None
    record = workspace.encoder("simclr-gradient-ascent").manifest
    for number, (picture, _) in enumerate(zip(sorted(Path(source.spec).glob("*.png")), range(40), strict=False)):
        (tmp_path / f"{number:02}.png").write_bytes(picture.read_bytes())
    names = [f"{number:02}.png" for number in range(40)]
    for part, chosen in (("forget", names[:12]), ("held", names[12:24])):
        (tmp_path / f"{part}.txt").write_text("\n".join(chosen))
    foreign = record.model_copy(update={"name": "foreign", "data": None, "method": None, "original": None})
    files = {name: workspace.encoder(record.name).folder / name for name in record.files}
    workspace.add_encoder(foreign, files)
    data = tmp_path / "pictures"
    data.mkdir()
    for name in names:
        (tmp_path / name).rename(data / name)
    request = EvaluateJob(
        encoders=("foreign",),
        data=str(data),
        forget=f"ids:{tmp_path / 'forget.txt'}",
        held_out=f"ids:{tmp_path / 'held.txt'}",
        seeds=1,
    )
    (evaluation,) = evaluate(workspace, request).encoders["foreign"]
    assert "emia" in evaluation.values
    assert "ua" not in evaluation.values
    (reason,) = (reason for reason, names in evaluation.missing.items() if "ua" in names)
    assert "these pictures have no classes" in reason


def test_wrong_requests_are_refused_with_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(UnknownName, match="no encoder 'nobody'"):
        evaluate(workspace, job(encoders=["nobody"]))
    with pytest.raises(MucError, match=r"was trained on .* so it is no Retrain for them"):
        evaluate(workspace, job(retrained="simclr"))
    with pytest.raises(MucError, match=r"was trained on the held-out picture|is in the forget and the"):
        evaluate(workspace, job(held_out="retain"))


def test_cost_in_views_follows_from_the_settings(workspace: Workspace) -> None:
    assert views_of(workspace.encoder("simclr").manifest) == 2 * 44
    assert views_of(workspace.encoder("simclr-retrain").manifest) == 2 * 32
    assert views_of(workspace.encoder("clip-gradient-ascent").manifest) == 12


def test_the_command_prints_and_writes(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(workspace.home))
    asked = ["evaluate", "simclr-gradient-ascent", "--retrained", "simclr-retrain", "--seeds", "1"]
    files = {option: tmp_path / f"table.{option}" for option in ("markdown", "csv", "latex")}
    options = [text for option, file in files.items() for text in (f"--{option}", str(file))]
    result = CliRunner().invoke(app, [*asked, *options])
    assert result.exit_code == 0, result.output
    assert "average gap" in result.stdout
    assert "Not computed (EMIA TPR at 1 %)" in result.stdout
    assert "| average gap |" in files["markdown"].read_text()
    assert files["csv"].read_text().startswith("metric,simclr-gradient-ascent,simclr-retrain")
    assert r"\toprule" in files["latex"].read_text()
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert found["encoders"]["simclr-retrain"][0]["values"]["gap"] == 0
    refused = CliRunner().invoke(app, [*asked, "--csv", str(tmp_path / "none" / "t.csv")])
    assert refused.exit_code == 2
    assert "there is no folder" in refused.stderr
