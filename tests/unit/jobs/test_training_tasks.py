"""Training and unlearning as jobs, called in this process: what they leave in the workspace, and what they refuse."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset
from muc_core.errors import Cancelled, MucError, UnknownName
from muc_core.jobs.fair_controls import refuse_fitted_controls
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.train import run as train
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.jobs.training import STATE_FILE, run_of_job
from muc_core.jobs.tuning.course import read_course
from muc_core.jobs.tuning.keep import keep_checkpoint
from muc_core.progress import SILENT
from muc_core.workspace import RunWriter, Workspace

N = 24
QUICK = {"epochs": 2, "batch_size": 8, "checkpoints": 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    lines = ["file,caption,owner"]
    for i in range(N):
        Image.new("RGB", (48, 48), (i * 10, 255 - i * 10, i * 5)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,colour number {i},{'ann' if i < 6 else 'bob'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("home"), assets=tmp_path_factory.mktemp("assets"))
    train(job(pictures), workspace, SILENT)
    return workspace


def job(pictures: Path, name: str = "original", **changes: object) -> TrainJob:
    return TrainJob.model_validate(
        {"name": name, "data": str(pictures), "held_out": 4, "calibration": 2, "forget": "owner:ann", "settings": QUICK}
        | changes
    )


def unlearning(name: str, **changes: object) -> UnlearnJob:
    return UnlearnJob.model_validate(
        {"name": name, "method": "ac", "original": "original", "forget": "owner:ann", "settings": QUICK} | changes
    )


def test_training_leaves_an_encoder_with_everything_recorded(trained: Workspace, pictures: Path) -> None:
    manifest = trained.encoder("original").manifest
    assert manifest.data is not None
    assert manifest.data.spec == str(pictures)
    assert len(manifest.data.split.train) == N - 6
    assert manifest.settings["epochs"] == 2
    assert set(manifest.seeds) == {"run", "split", "weights", "order", "views", "partners"}
    assert manifest.run_time_s is not None
    run = trained.run(str(manifest.run))
    assert run.state == "done"
    assert [c.epoch for c in run.checkpoints()] == [1.0, 2.0]
    assert trained.load("original").has_text


def test_unlearning_leaves_checkpoints_terms_and_an_encoder(trained: Workspace) -> None:
    result = unlearn(unlearning("after-ac"), trained, SILENT)
    record = trained.encoder("after-ac")
    assert record.manifest.method == "ac"
    assert record.manifest.original == "original"
    assert {item.removeprefix("last ") for item in record.manifest.metrics} == {
        "retain",
        "negative",
        "performance",
        "positive",
    }
    history = trained.run(str(result["run"])).history()
    assert [entry.epoch for entry in history] == [1.0, 2.0]


def test_control_matching_compares_with_the_splits_own_calibration_pictures(trained: Workspace) -> None:
    unlearn(unlearning("after-matched", method="ac-matched"), trained, SILENT)
    manifest = trained.encoder("after-matched").manifest
    assert {item.removeprefix("last ") for item in manifest.metrics} == {"retain", "keep", "matching"}
    assert manifest.data is not None
    assert len(manifest.data.split.calibration) == 2


def test_control_matching_without_calibration_pictures_says_what_is_needed(trained: Workspace, pictures: Path) -> None:
    train(job(pictures, "uncalibrated", calibration=0), trained, SILENT)
    with pytest.raises(MucError, match="no such calibration set; train the original with one"):
        unlearn(unlearning("refused", method="ac-matched", original="uncalibrated"), trained, SILENT)


def test_controls_that_unlearning_was_fitted_to_are_refused(trained: Workspace) -> None:
    data = trained.encoder("original").manifest.data
    assert data is not None
    dataset = load_dataset(data.spec)
    calibration, held_out = dataset.subset(data.split.calibration), dataset.subset(data.split.held_out)
    plain = trained.encoder("original").manifest
    matched = plain.model_copy(update={"name": "matched", "method": "ac-matched"})
    for fine, encoders in ((held_out, [plain, matched]), (calibration, [plain])):
        refuse_fitted_controls(fine, dataset, data.split, encoders)
    refuse_fitted_controls(calibration, dataset, None, [matched])
    renamed = [replace(item, id=calibration.ids[0]) for item in held_out.items[:1]]
    namesake = ImageTextDataset("upload", renamed, held_out.subset(held_out.ids[:1]).source)
    refuse_fitted_controls(namesake, dataset, data.split, [matched])
    with pytest.raises(MucError, match="used to unlearn 'matched'"):
        refuse_fitted_controls(calibration, dataset, data.split, [plain, matched])


def test_the_same_unlearning_twice_gives_the_same_bytes(trained: Workspace) -> None:
    for name in ("twice-a", "twice-b"):
        unlearn(unlearning(name, seed=5), trained, SILENT)
    digests = {trained.encoder(name).manifest.weights_digest for name in ("twice-a", "twice-b")}
    assert len(digests) == 1


def test_a_cancelled_training_can_be_resumed_to_the_same_bytes(trained: Workspace, pictures: Path) -> None:
    class StopAfter:
        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            if step > total // 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        train(job(pictures, "resumed"), trained, StopAfter())
    (run,) = [run for run in trained.runs() if run.state == "cancelled"]
    train(job(pictures, "resumed", resume=run.manifest.id), trained, SILENT)
    assert trained.encoder("resumed").manifest.weights_digest == trained.encoder("original").manifest.weights_digest


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill; what is left is what a killed process leaves."""


@pytest.fixture
def as_a_job(trained: Workspace) -> Workspace:
    return Workspace(trained.home, assets=trained.home / "none", job=secrets.token_hex(4))


def killed_at(call: int, calls: list[str], name: str, function: Callable[..., object]) -> Callable[..., object]:
    """The function, before which the process dies if it is the one to be killed at."""

    def instead(*arguments: object, **options: object) -> object:
        calls.append(name)
        if len(calls) == call:
            raise Killed
        return function(*arguments, **options)

    return instead


KILLED_AT = ["add_checkpoint", "finish", "go_back_to", "record", "write_file", "_update"]


def test_a_job_killed_at_any_write_ends_in_the_same_bytes(
    trained: Workspace, as_a_job: Workspace, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at its first write, gone on with and killed at its second, ... until it comes to its end."""
    wanted = unlearning("whole", seed=3, audits=True)
    unlearn(wanted, trained, SILENT)
    monkeypatch.setattr("muc_core.jobs.training.KEEP_AFTER_S", 0.0)
    monkeypatch.setattr("muc_core.jobs.training.KEEP_SHARE", 1e9)
    monkeypatch.setattr(RunWriter, "__exit__", lambda writer, *_: writer._lock.release())  # a kill closes no run
    result, kills = None, 0
    while result is None:
        calls: list[str] = []
        with monkeypatch.context() as patch:
            for name in KILLED_AT:
                patch.setattr(RunWriter, name, killed_at(kills + 1, calls, name, getattr(RunWriter, name)))
            save = killed_at(kills + 1, calls, "save", Workspace.save_encoder)
            patch.setattr(Workspace, "save_encoder", save)
            try:
                result = unlearn(wanted.model_copy(update={"name": "killed"}), as_a_job, SILENT)
            except Killed:
                kills += 1
    assert kills > 5
    ours, theirs = as_a_job.encoder("killed").manifest, trained.encoder("whole").manifest
    assert (ours.weights_digest, ours.metrics) == (theirs.weights_digest, theirs.metrics)
    run, other = as_a_job.run(str(ours.run)), trained.run(str(theirs.run))
    assert result == {"encoder": "killed", "run": run.manifest.id}
    assert run.state == "done"
    assert run.history() == other.history()
    assert run.manifest.checkpoints == other.manifest.checkpoints
    assert read_course(run) == read_course(other)
    assert not (run.folder / STATE_FILE).exists()
    assert [one.manifest.id for one in as_a_job.runs() if one.manifest.job == as_a_job.job] == [run.manifest.id]


@pytest.mark.parametrize("method", ["writer.finish", "_forget_state"])
def test_a_job_killed_after_its_encoder_was_saved_finds_it(
    as_a_job: Workspace, pictures: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"saved-{method.strip('_w').replace('.', '-').replace('_', '-')}"
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "__exit__", lambda writer, *_: writer._lock.release())
        if method == "writer.finish":
            patch.setattr(RunWriter, "finish", killed_at(1, [], "finish", RunWriter.finish))
        else:
            patch.setattr("muc_core.jobs.training._forget_state", killed_at(1, [], "forget", lambda run: None))
        with pytest.raises(Killed):
            train(job(pictures, name), as_a_job, SILENT)
    saved = as_a_job.encoder(name).manifest
    assert train(job(pictures, name), as_a_job, SILENT) == {"encoder": name, "run": saved.run}
    run = as_a_job.run(str(saved.run))
    assert (run.state, run.manifest.encoder, run.manifest.run_time_s) == ("done", name, saved.run_time_s)
    assert not (run.folder / STATE_FILE).exists()
    assert as_a_job.encoder(name).manifest == saved
    with pytest.raises(MucError, match="already"):  # another job may not have it
        train(job(pictures, name), Workspace(as_a_job.home, job="another"), SILENT)


def test_a_checkpoint_kept_of_a_stopped_run_is_not_taken_for_its_end(
    as_a_job: Workspace, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "save_encoder", killed_at(1, [], "save", Workspace.save_encoder))
        with pytest.raises(Killed):
            unlearn(unlearning("stopped"), as_a_job, SILENT)
    run = run_of_job(as_a_job, str(as_a_job.job))
    assert run is not None
    keep_checkpoint(as_a_job, run, "stopped")
    with pytest.raises(MucError, match="already"):
        unlearn(unlearning("stopped"), as_a_job, SILENT)


def test_a_run_begun_before_there_was_some_setting_is_gone_on_with(
    as_a_job: Workspace, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Workspace, "save_encoder", killed_at(1, [], "save", Workspace.save_encoder))
        with pytest.raises(Killed):
            train(job(pictures, "older"), as_a_job, SILENT)
    run = run_of_job(as_a_job, str(as_a_job.job))
    assert run is not None
    file = run.folder / "manifest.json"
    content = json.loads(file.read_text())
    del content["settings"]["chunk_size"]
    file.write_text(json.dumps(content))
    assert train(job(pictures, "older"), as_a_job, SILENT)["run"] == run.manifest.id


def test_resuming_with_other_settings_is_refused(trained: Workspace, pictures: Path) -> None:
    run = trained.encoder("original").manifest.run
    with pytest.raises(MucError, match="other settings"):
        train(job(pictures, "other", resume=run, seed=9), trained, SILENT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "wish"}, "no unlearning method 'wish'"),
        ({"original": "nobody"}, "no encoder 'nobody'"),
        ({"forget": "owner:nobody"}, "nobody"),
        ({"forget": "held-out"}, "never trained on"),
        ({"forget": "train"}, "at least one must be retained"),
        ({"settings": {"epochs": 0}}, "epochs"),
        ({"settings": {"speed": 3}}, "speed"),
        ({"settings": QUICK | {"batch_size": 2}}, "set batch_size to"),
        ({"name": "original"}, "already"),
        ({"name": "No Such Name"}, "lower-case"),
    ],
)
def test_bad_input_is_refused_in_words_and_leaves_nothing(
    trained: Workspace, changes: dict[str, object], words: str
) -> None:
    before = [record.manifest.name for record in trained.encoders()]
    with pytest.raises((MucError, UnknownName), match=words):
        unlearn(unlearning("refused", **changes) if "name" not in changes else unlearning(**changes), trained, SILENT)  # type: ignore[arg-type]
    assert [record.manifest.name for record in trained.encoders()] == before


def test_data_that_changed_since_training_is_refused(trained: Workspace, pictures: Path) -> None:
    captions = (pictures / "captions.csv").read_text()
    (pictures / "captions.csv").write_text(captions.replace("number 3", "number three"))
    try:
        with pytest.raises(MucError, match="changed since"):
            unlearn(unlearning("changed"), trained, SILENT)
    finally:
        (pictures / "captions.csv").write_text(captions)
