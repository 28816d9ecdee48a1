"""The sweep as a job: what it measures, keeps, resumes and refuses; searching and saving a strength."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from muc_core.cli.app import app
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import Cancelled, MucError
from muc_core.evaluation.weights import at_strength
from muc_core.jobs.tasks import weakest_strength
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, Sweep, open_bench, read_sweep, run, sweep
from muc_core.jobs.tuning.bench import FOLDER
from muc_core.jobs.tuning.keep import save_strength
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.progress import SILENT
from muc_core.workspace import Workspace
from tests.tuned import Reports

STRENGTHS = (0.0, 0.5, 1.0, 1.5)


def settings(family: str = "simclr", **changes: object) -> StrengthSweepSettings:
    base = {
        "before": f"{family}-before",
        "after": f"{family}-ac",
        "strengths": STRENGTHS,
        "yardstick": Yardstick(views=2, permutations=99, cells=4),
    }
    return StrengthSweepSettings.model_validate(base | changes)


def files(workspace: Workspace) -> set[str]:
    folder = workspace.home / FOLDER
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def effects(found: Sweep) -> list[float]:
    return [p.measured.figures.audit.findings["trace"].effect.value for p in found.points if p.measured.figures]


@pytest.mark.parametrize("family", ["clip", "simclr"])
def test_every_strength_is_measured_and_kept(home: Workspace, family: str) -> None:
    reports = Reports()
    result = run(settings(family), home, reports)
    found = read_sweep(home, settings(family))
    assert result == {"strengths": 4, "others": len(found.others)}
    assert [point.strength for point in found.points] == list(STRENGTHS)
    others = {point.manifest.name for point in found.others}
    assert ("simclr-retrain" in others) == (family == "simclr")
    assert f"{family}-ac" not in others
    assert found.missing == 0
    assert len(effects(found)) == 4
    steps = [step for step, _, _ in reports.told]
    assert steps == sorted(steps)
    assert reports.told[-1][0] == reports.told[-1][1]
    assert any(message.startswith("strength 0.5") for _, _, message in reports.told)


def test_the_sweep_is_deterministic(home: Workspace) -> None:
    first = sweep(home, settings())
    for name in files(home):
        (home.home / FOLDER / name).unlink()
    again = sweep(home, settings())
    assert [point.measured for point in again.points] == [point.measured for point in first.points]
    assert again.key == first.key


def test_a_cancelled_sweep_keeps_what_it_has_and_goes_on_from_there(home: Workspace) -> None:
    asked = settings(yardstick=Yardstick(views=2, permutations=101, cells=4), others=False)
    before = files(home)
    with pytest.raises(Cancelled):
        sweep(home, asked, progress=Reports(stop_at="strength 1,"))
    kept = files(home) - before
    partly = read_sweep(home, asked)
    assert ([point.strength for point in partly.points], partly.missing, len(kept)) == ([0.0, 0.5], 2, 2)
    moments = {name: (home.home / FOLDER / name).stat().st_mtime_ns for name in kept}
    whole = sweep(home, asked)
    assert (whole.missing, len(whole.points)) == (0, 4)
    assert {name: (home.home / FOLDER / name).stat().st_mtime_ns for name in kept} == moments
    assert whole.key != partly.key


def test_a_damaged_file_is_measured_again(home: Workspace) -> None:
    found = sweep(home, settings())
    victim = sorted(files(home))[0]
    (home.home / FOLDER / victim).write_text("{")
    assert [point.measured for point in sweep(home, settings()).points] == [p.measured for p in found.points]


def test_an_encoder_that_cannot_be_audited_does_not_end_the_sweep(home: Workspace) -> None:
    record = home.encoder("simclr-ac")
    dead = {
        name: torch.zeros_like(t) if t.is_floating_point() else t for name, t in load_weights(record.weights).items()
    }
    home.save_encoder(record.manifest.model_copy(update={"name": "dead"}), dead)
    found = sweep(home, settings(after="dead", strengths=(0.0, 1.0), others=False))
    assert found.points[0].measured.figures is not None
    assert found.points[1].measured.figures is None
    assert found.points[1].measured.refused
    home.delete_encoder("dead")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"after": "nobody"}, "no encoder 'nobody'"),
        ({"after": "clip-ac"}, "one architecture"),
        ({"after": "simclr-before"}, "was not made from 'simclr-before'"),
        ({"after": "simclr-retrain"}, "trained anew from other initial weights"),
    ],
)
def test_what_no_line_joins_is_refused(home: Workspace, changes: dict[str, object], words: str) -> None:
    with pytest.raises(MucError, match=words):
        run(settings("simclr", **changes), home, SILENT)


def test_an_encoder_from_elsewhere_is_refused(home: Workspace) -> None:
    manifest = EncoderManifest(name="an-onnx", title="from elsewhere", family="onnx", architecture="any")
    home.save_encoder(manifest, {"w": torch.zeros(2)})
    with pytest.raises(MucError, match="opened as onnx, which answers questions"):
        sweep(home, settings(after="an-onnx"))
    home.delete_encoder("an-onnx")


@pytest.mark.parametrize("strengths", [(0.5,), (0.0, 1.6), (-0.1, 1.0)])
def test_strengths_lie_on_the_dial(strengths: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1\.5|at least 2"):
        settings(strengths=strengths)


def test_a_strength_is_saved_as_it_was_measured(home: Workspace, tmp_path: Path) -> None:
    asked = settings()
    found = sweep(home, asked)
    bench = open_bench(home, asked)
    unlearned = home.encoder("simclr-ac")
    saved = save_strength(bench, unlearned, 1.5, "simclr-strong")
    manifest = saved.manifest
    assert (manifest.original, manifest.run, manifest.method) == ("simclr-before", unlearned.manifest.run, "ac")
    assert manifest.settings["strength"] == 1.5
    assert manifest.settings["strength of"] == "simclr-ac"
    assert manifest.data == unlearned.manifest.data
    expected = at_strength(load_weights(home.encoder("simclr-before").weights), load_weights(unlearned.weights), 1.5)
    for name, tensor in load_weights(saved.weights).items():
        assert torch.equal(tensor.float(), expected[name].half().float())
    again = bench.look_at(home.load("simclr-strong"))
    figures = found.points[-1].measured.figures
    assert figures is not None
    assert again.audit.verdict == figures.audit.verdict
    assert np.allclose(again.positive, figures.positive, atol=1e-6)
    with pytest.raises(MucError, match="already"):
        save_strength(bench, unlearned, 1.5, "simclr-strong")
    assert "simclr-strong" not in [point.manifest.name for point in sweep(home, asked).others]
    home.delete_encoder("simclr-strong")


def test_the_search_uses_what_the_sweep_has_measured(home: Workspace) -> None:
    yardstick = Yardstick(views=2, permutations=99, cells=4)
    sweep(home, settings(others=False))
    asked = weakest_strength.WeakestStrengthSettings(
        before="simclr-before", after="simclr-ac", halvings=2, yardstick=yardstick
    )
    reports = Reports()
    found = weakest_strength.search(home, asked, progress=reports)
    # an encoder trained for one epoch remembers nothing that an audit could see
    assert found.outcome == "cannot tell"
    assert found.reason
    assert reports.told == []
    assert weakest_strength.run(asked, home, SILENT)["search"] == found.model_dump(mode="json")


def test_the_command_measures_the_line_and_searches_it(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(home.home))
    monkeypatch.setenv("MUC_ASSETS", str(home.shipped_folder.parent))
    monkeypatch.setenv("COLUMNS", "160")
    line = ("sweep", "--before", "simclr-before", "--after", "simclr-ac", "--points", "2", "--views", "2")
    told = CliRunner().invoke(app, [*line, "--no-others", "--weakest", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert [point["strength"] for point in found["points"]] == [0.0, 1.5]
    assert {"verdict", "effect", "forget", "retain", "held_out"} <= set(found["points"][0])
    assert found["weakest"]["outcome"] == "cannot tell"
    spoken = CliRunner().invoke(app, [*line, "--no-others", "--weakest"]).stdout
    assert "strength 1.5" in spoken
    assert "The audit cannot tell at any strength." in spoken
