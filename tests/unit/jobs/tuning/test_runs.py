"""Along a run: quick audits at checkpoints, keeping a checkpoint, the time a run takes, searching over real runs."""

from pathlib import Path

import pytest

from muc_core.encoders.checkpoint import load_weights
from muc_core.errors import Cancelled, MucError
from muc_core.jobs.table import JobTable
from muc_core.jobs.tasks import time_run, weakest_run
from muc_core.jobs.tasks.unlearn import run as unlearn
from muc_core.jobs.tasks.weakest_run import WeakestRunSettings, strengths_of, trial_name
from muc_core.jobs.training import run_of_job
from muc_core.jobs.tuning.course import read_course
from muc_core.jobs.tuning.keep import keep_checkpoint
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.jobs.tuning.run_time import estimate_run, pictures_used
from muc_core.progress import SILENT
from muc_core.unlearning.method import METHODS
from muc_core.workspace import Workspace
from tests.tuned import ARCHITECTURES, FORGET, QUICK, N, Reports, unlearning


def test_a_watched_run_keeps_what_was_seen_at_each_checkpoint(home: Workspace) -> None:
    plain = unlearn(unlearning("simclr", name="unwatched"), home, SILENT)
    reports = Reports()
    made = unlearn(unlearning("simclr", name="watched", audits=True), home, reports)
    run = home.run(str(made["run"]))
    course = read_course(run)
    assert course is not None
    assert course.refused is None
    assert [point.step for point in course.points] == [0, *(checkpoint.step for checkpoint in run.checkpoints())]
    assert all(point.verdict and point.effect and point.rule for point in course.points)
    assert course.points[0].forget != course.points[-1].forget
    assert any("looking at the forget set" in message for _, _, message in reports.told)
    # looking changes nothing about the run
    one, other = (load_weights(home.encoder(name).weights) for name in ("unwatched", "watched"))
    assert all((one[name] == other[name]).all() for name in one)
    assert read_course(home.run(str(plain["run"]))) is None


def test_a_run_that_cannot_be_audited_goes_on_and_says_why(home: Workspace, tmp_path: Path) -> None:
    reference = home.encoder("simclr-before").manifest.data
    assert reference is not None
    (tmp_path / "ids.txt").write_text("\n".join(reference.split.forget[:4]))
    made = unlearn(unlearning("simclr", name="few", forget=f"ids:{tmp_path / 'ids.txt'}", audits=True), home, SILENT)
    course = read_course(home.run(str(made["run"])))
    assert course is not None
    assert course.points == ()
    assert course.refused is not None
    assert "at least 5" in course.refused


def test_a_stopped_run_can_be_kept(home: Workspace) -> None:
    worker = Workspace(home.home, job="job-7", assets=home.shipped_folder.parent)
    job = unlearning("simclr", name="stopped", settings={**QUICK, "epochs": 4, "checkpoints": 4})
    with pytest.raises(Cancelled):
        unlearn(job, worker, Reports(stop_at="epoch 3"))
    run = run_of_job(home, "job-7")
    assert run is not None
    assert run.state == "cancelled"
    kept = keep_checkpoint(home, run, "stopped").manifest
    last = run.checkpoints()[-1]
    assert (kept.original, kept.run, kept.settings["stopped at step"]) == ("simclr-before", run.manifest.id, last.step)
    assert kept.run_time_s is not None
    assert kept.run_time_s > 0
    assert kept.metrics
    home.load("stopped")
    with pytest.raises(MucError, match="already"):
        keep_checkpoint(home, run, "stopped")
    home.delete_encoder("stopped")


def test_a_run_without_a_checkpoint_keeps_nothing(home: Workspace) -> None:
    worker = Workspace(home.home, job="job-8", assets=home.shipped_folder.parent)
    with pytest.raises(Cancelled):
        unlearn(unlearning("simclr", name="early"), worker, Reports(stop_at="epoch 1"))
    run = run_of_job(home, "job-8")
    assert run is not None
    with pytest.raises(MucError, match="no state yet"):
        keep_checkpoint(home, run, "early")
    assert run_of_job(home, "job-9") is None


def test_the_time_of_a_run_comes_from_runs_and_is_not_known_without(home: Workspace, tmp_path: Path) -> None:
    record = home.encoder("simclr-before")
    reference = record.manifest.data
    assert reference is not None
    ac = METHODS.get("ac").settings(epochs=3, checkpoints=1)

    def ask(workspace: Workspace, method: str, architecture: str = ARCHITECTURES["simclr"]) -> object:
        return estimate_run(
            workspace, family="simclr", architecture=architecture, method=method, split=reference.split, settings=ac
        )

    assert ask(Workspace(tmp_path, assets=tmp_path), "ac") is None
    assert ask(home, "ac", "another") is None
    found = estimate_run(
        home,
        family="simclr",
        architecture=ARCHITECTURES["simclr"],
        method="ac",
        split=reference.split,
        settings=ac,
    )
    assert found is not None
    assert found.source == "the same method"
    assert 0 < found.low <= found.seconds <= found.high
    rates = []
    for run in home.runs(family="simclr", method="ac"):
        if run.manifest.state == "done":
            assert run.manifest.run_time_s is not None
            epochs = run.manifest.settings["epochs"]
            assert isinstance(epochs, int)
            rates.append(run.manifest.run_time_s / epochs)
    assert found.low >= 3 * min(rates[:5]) * 0.99  # checkpoints come on top
    other = ask(home, "neggrad")
    assert other is not None
    assert other.source == "other methods"  # type: ignore[attr-defined]


def test_pictures_used_are_those_of_the_method(home: Workspace) -> None:
    reference = home.encoder("simclr-before").manifest.data
    assert reference is not None
    retain = N - FORGET - 24 - 2
    used = {name: pictures_used(name, reference.split) for name in ("ac", "gradient-ascent", "finetune")}
    assert used == {"ac": FORGET + retain, "gradient-ascent": FORGET, "finetune": retain}


def test_a_timing_runs_a_few_steps_and_keeps_only_the_time(home: Workspace) -> None:
    asked = time_run.TimeRunSettings(job=unlearning("simclr", method="l1", name="timed"), steps=3)
    runs, encoders = len(home.runs()), len(home.encoders())
    reports = Reports()
    result = time_run.run(asked, home, reports)
    assert (len(home.runs()), len(home.encoders())) == (runs, encoders)
    assert result["steps"] == 3
    assert isinstance(result["seconds_per_picture"], float)
    assert result["seconds_per_picture"] > 0
    assert [(step, total) for step, total, _ in reports.told] == [(1, 3), (2, 3), (3, 3)]
    table = JobTable(home)
    job, _ = table.add(time_run.KIND, asked.model_dump(mode="json"), unique=False)
    table.claim(job.id)
    table.close(job.id, "done", result=result)
    reference = home.encoder("simclr-before").manifest.data
    assert reference is not None
    settings = METHODS.get("l1").settings(epochs=2, checkpoints=3)
    found = estimate_run(
        home,
        family="simclr",
        architecture=ARCHITECTURES["simclr"],
        method="l1",
        split=reference.split,
        settings=settings,
    )
    assert found is not None
    assert (found.source, found.runs) == ("a timing", 1)
    used = pictures_used("l1", reference.split)
    assert found.seconds == pytest.approx(2 * used * result["seconds_per_picture"])


def searching(**changes: object) -> WeakestRunSettings:
    base = {
        "job": unlearning("simclr", name="trial"),
        "setting": "beta",
        "low": 1,
        "high": 4,
        "halvings": 1,
        "yardstick": Yardstick(views=2, permutations=99, cells=4),
    }
    return WeakestRunSettings.model_validate(base | changes)


def test_searching_over_runs_keeps_each_trial_and_makes_none_twice(home: Workspace) -> None:
    reports = Reports()
    result = weakest_run.run(searching(), home, reports)
    assert result["search"]["outcome"] == "cannot tell"  # type: ignore[index, call-overload]
    assert result["trials"] == {"4": "trial-beta-4"}
    manifest = home.encoder("trial-beta-4").manifest
    assert (manifest.settings["beta"], manifest.original) == (4.0, "simclr-before")
    runs = len(home.runs())
    assert weakest_run.run(searching(), home, SILENT) == result
    assert len(home.runs()) == runs
    with pytest.raises(MucError, match="made in another way"):
        weakest_run.run(searching(job=unlearning("simclr", name="trial", seed=3)), home, SILENT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"setting": "epochs"}, "no strength called 'epochs'; it has alpha, beta, gamma"),
        ({"low": 4, "high": 1}, "the weakest value, 4, must lie below the strongest, 1"),
        ({"high": 5000}, "beta: Input should be less than or equal to 1000"),
        ({"job": unlearning("simclr", method="finetune", name="t")}, "epochs and learning rate are all there is"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(home: Workspace, changes: dict[str, object], words: str) -> None:
    with pytest.raises(MucError, match=words):
        weakest_run.run(searching(**changes), home, SILENT)


def test_names_of_trials_can_be_names() -> None:
    assert strengths_of(METHODS.get("ac")) == ("alpha", "beta", "gamma")
    for value, name in ((2.83, "trial-beta-2.83"), (0.00001, "trial-beta-1e-05"), (1e6, "trial-beta-1e06")):
        assert trial_name(searching(), value) == name
