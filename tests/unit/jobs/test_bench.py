"""The bench of methods: its plan, its order of work, what it keeps, and the tables made of it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from muc_core.audit.result import Interval
from muc_core.errors import Cancelled, MucError, UnknownName
from muc_core.evaluation.metrics import METRICS
from muc_core.evaluation.spread import spread
from muc_core.evaluation.tables import Table
from muc_core.jobs.bench.plan import Evaluated, Made, Plan, evaluations, known_families, make_plan, needed, recipe_of
from muc_core.jobs.bench.pool import _Queue
from muc_core.jobs.bench.report import BEGIN, END, Report, into_page, read_report, title_of
from muc_core.jobs.bench.results import PLAN, RESULTS, Audited, Result, read_results
from muc_core.jobs.bench.run import run_plan
from muc_core.jobs.presets import PRESETS
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.unlearning.method import METHODS
from tests.data_sets import write_cifar


def plan(**changes: object) -> Plan:
    settings = {"families": ["simclr"], "methods": ["ac"], "train_seeds": 2, "unlearn_seeds": 2, "epochs_scale": 0.001}
    return make_plan(**{**settings, **changes})  # type: ignore[arg-type]


# the plan


def test_a_plan_evaluates_every_encoder_with_every_seed_once() -> None:
    found = evaluations(plan(eval_seeds=3))
    # of each training: the original, and two of each of two methods
    assert len(found) == 2 * (1 + 2 * 2) * 3
    assert len({each.key for each in found}) == len(found)
    assert {each.made.method for each in found} == {"original", "ac", "retrain"}


def test_retrain_is_compared_with_another_retrain_and_with_none_where_there_is_no_other() -> None:
    for each in evaluations(plan()):
        assert each.retrained is not None
        assert each.retrained.train_seed == each.made.train_seed
        assert each.retrained.name != each.made.name
    alone = [each for each in evaluations(plan(unlearn_seeds=1)) if each.made.method == "retrain"]
    assert [each.retrained for each in alone] == [None, None]


def test_every_encoder_has_its_own_seed() -> None:
    jobs = {each.made.name: each.made.job for each in evaluations(plan())}
    unlearned = [job for job in jobs.values() if isinstance(job, UnlearnJob)]
    retrains = [job.seed for job in unlearned if job.method == "retrain"]
    assert len(set(retrains)) == len(retrains)
    assert not set(retrains) & {job.seed for job in jobs.values() if not isinstance(job, UnlearnJob)}


def test_recipes_are_the_demos_with_their_epochs_scaled() -> None:
    made = evaluations(plan(epochs_scale=0.1, train_seeds=1))[0].made
    assert made.method == "original"
    assert made.job.settings["epochs"] == 40
    assert recipe_of("simclr", "ac")["epochs"] == 20
    tiny = [each.made.job.settings["epochs"] for each in evaluations(plan())]
    assert set(tiny) == {1}


def test_other_settings_make_other_names() -> None:
    names = [{each.made.name for each in evaluations(plan(epochs_scale=scale))} for scale in (0.1, 0.2)]
    assert not names[0] & names[1]


def test_unknown_families_and_methods_are_named() -> None:
    with pytest.raises(UnknownName, match="no family 'onnx' to run; known: clip, simclr, moco, meru, supervised"):
        plan(families=["onnx"])
    with pytest.raises(UnknownName, match="neggrad"):
        plan(methods=["nothing"])


def test_a_preset_is_run_on_what_it_is_given_with_its_own_settings_and_a_random_forget_set() -> None:
    found = evaluations(make_plan(preset="paper-cifar10-simclr", data="cifar10:data", methods=["ac"], train_seeds=1))
    jobs = {each.made.method: each.made.job for each in found}
    original, ac, retrain = jobs["original"], jobs["ac"], jobs["retrain"]
    assert isinstance(original, TrainJob)
    assert (original.data, original.settings["epochs"], original.held_out) == ("cifar10:data", 800, 10_000)
    assert isinstance(ac, UnlearnJob)
    assert (ac.forget, ac.settings["beta"], ac.settings["epochs"]) == ("random:10%", 10.0, 10)
    assert (retrain.settings["epochs"], retrain.settings["optimizer"]) == (800, "sgd")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"preset": "paper-cifar10-simclr"}, "name what to train on"),
        ({"preset": "nothing", "data": "x"}, "there is no preset 'nothing'"),
        ({"families": ["clip"], "preset": "demo-moco"}, "not both"),
        ({"families": ["clip"], "data": "x"}, "name the preset"),
    ],
)
def test_presets_and_families_that_do_not_go_together_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MucError, match=sentence):
        make_plan(**given)


@pytest.mark.slow
def test_a_preset_of_the_paper_runs_to_its_report_on_a_directory_in_cifars_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path / "data", "cifar10", a_batch=24)
    paper = PRESETS.get("paper-cifar10-simclr")
    small = replace(paper, architecture="demo-resnet", held_out=24, calibration=20)
    monkeypatch.setitem(PRESETS._entries, paper.name, small)
    asked = make_plan(
        preset=paper.name,
        data=f"cifar10:{tmp_path / 'data'}",
        forget="random:12",
        methods=["gradient-ascent"],
        train_seeds=1,
        unlearn_seeds=1,
        epochs_scale=0.001,
    )
    assert run_plan(asked, tmp_path / "out", device="cpu") == (3, 3)
    report = read_report(tmp_path / "out")
    assert report.families == (paper.name,)
    assert [result.error for result in report.results] == [None] * 3
    assert "gap" in next(result for result in report.results if result.method == "gradient-ascent").values


def test_every_method_is_planned_for_every_family_that_it_works_on_and_some_with_the_contrastive_term() -> None:
    full = make_plan(families=known_families())
    found = {(each.made.family, each.made.method) for each in evaluations(full)}
    expected = {(family, "original") for family in known_families()} | {
        (family, method.name) for family in known_families() for method in METHODS if method.works_on(family)
    }
    assert found == expected | {("supervised", "neggrad+contrast"), ("supervised", "l1+contrast")}


def test_a_method_can_be_run_with_the_contrastive_term_of_coun_on_classifiers_alone() -> None:
    found = plan(families=["simclr", "supervised"], methods=["neggrad", "neggrad+contrast"], train_seeds=1)
    made = [each.made for each in evaluations(found)]
    assert {each.family for each in made if each.method == "neggrad+contrast"} == {"supervised"}
    jobs = {each.method: each.job for each in made if each.family == "supervised"}
    plain_job, contrasted = jobs["neggrad"], jobs["neggrad+contrast"]
    assert isinstance(contrasted, UnlearnJob)
    assert contrasted.method == "neggrad"
    assert contrasted.settings == {**plain_job.settings, "contrast": METHODS.get("coun").settings().contrast}
    assert contrasted.name != plain_job.name
    with pytest.raises(MucError, match="for encoders that learn from classes; take neggrad"):
        plan(methods=["neggrad+contrast"])
    with pytest.raises(UnknownName):
        plan(families=["supervised"], methods=["nothing+contrast"])
    assert title_of("neggrad+contrast") == "NegGrad + contrast"


# the order of work


def test_work_begins_with_originals_and_evaluates_as_soon_as_it_can(tmp_path: Path) -> None:
    queue = _Queue(evaluations(plan(train_seeds=1)), tmp_path)
    first = queue.next()
    assert isinstance(first, Made)
    assert first.method == "original"
    assert queue.next() is None  # all else is made from it
    queue.made.add(first.name)
    order = []
    while (task := queue.next()) is not None:
        order.append((type(task).__name__, task.method if isinstance(task, Made) else task.made.method))
        if isinstance(task, Made):
            queue.made.add(task.name)
    makes = [method for kind, method in order if kind == "Made"]
    assert makes == ["retrain", "retrain", "ac", "ac"]
    assert order.index(("Evaluated", "original")) < order.index(("Made", "ac"))
    assert len(order) == 4 + 5


def test_what_cannot_be_made_is_given_up_with_its_reason(tmp_path: Path) -> None:
    queue = _Queue(evaluations(plan(train_seeds=1)), tmp_path)
    original = queue.next()
    assert isinstance(original, Made)
    queue.failed[original.name] = "the loss became nan"
    given_up = list(queue.give_up())
    assert len(given_up) == 5
    assert {result.error for result in given_up} == {"the loss became nan"}
    assert queue.next() is None


def test_a_failed_unlearning_spoils_no_other(tmp_path: Path) -> None:
    queue = _Queue(evaluations(plan(train_seeds=1)), tmp_path)
    names = {one.method: one.name for each in queue.evaluations for one in needed(each)}
    queue.making = [one for one in queue.making if one.name != names["ac"]]
    queue.failed[names["ac"]] = "diverged"
    (result,) = queue.give_up()
    assert (result.method, result.error) == ("ac", "diverged")


# running


class Until:
    """Cancels after some finished evaluations."""

    def __init__(self, finished: int) -> None:
        self.finished = finished

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        if step >= self.finished:
            raise Cancelled


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    small = plan(train_seeds=1, unlearn_seeds=1, methods=["gradient-ascent"])
    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        run_plan(small, out, progress=Until(1))
    (first,) = read_results(out)
    encoders = {folder.name: folder.stat().st_mtime_ns for folder in (out / "encoders" / "encoders").iterdir()}
    assert len(encoders) >= 2
    with (out / RESULTS).open("a") as file:  # what a writer that was killed leaves behind
        file.write('{"key": "cut o')
    assert run_plan(small, out, keep_encoders=True) == (3, 3)
    results = read_results(out)
    assert results[0] == first
    assert [result.method for result in results] == ["original", "retrain", "gradient-ascent"]
    for name, before in encoders.items():
        assert (out / "encoders" / "encoders" / name).stat().st_mtime_ns == before  # not made again
    last = results[-1]
    assert last.error is None
    assert {"gap", "emia", "ra", "ta", "ua", "cmia", "rte", "views", "cka"} <= last.values.keys()
    assert last.audit is not None
    assert "gap" not in results[1].values  # there is no other Retrain, and nothing else stands for it
    assert not list((out / "encoders" / "runs").iterdir())

    stressed = small.model_copy(update={"stress": True})
    assert run_plan(stressed, out, keep_encoders=True) == (4, 4)  # the one that has a Retrain beside it
    assert read_results(out)[-1].error is None
    assert "### Residual stress" in read_report(out).to_markdown()

    assert run_plan(small, out) == (3, 3)  # nothing left to do
    assert not (out / "encoders").exists()
    assert "Gradient ascent" in read_report(out).to_markdown()
    with pytest.raises(MucError, match="with other settings; choose another folder"):
        run_plan(plan(train_seeds=1, unlearn_seeds=1, epochs_scale=0.1), out)


def test_a_run_whose_time_is_over_stops_with_what_it_has(tmp_path: Path) -> None:
    assert run_plan(plan(), tmp_path / "out", time_limit_s=0) == (0, 10)
    assert read_results(tmp_path / "out") == []
    assert json.loads((tmp_path / "out" / PLAN).read_text())["train_seeds"] == 2


def test_a_defect_is_shown_and_tried_again_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("muc_core.jobs.bench.pool.make", broken)
    assert run_plan(plan(), tmp_path / "out") == (0, 10)
    assert read_results(tmp_path / "out") == []
    assert "on purpose" in caplog.text


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULTS).write_text("nothing\n")
    with pytest.raises(MucError, match=r"results.jsonl, line 1 is not a result"):
        read_results(tmp_path)
    with pytest.raises(MucError, match="has no results"):
        read_report(tmp_path / "none")


# tables


def result(method: str, train_seed: int, unlearn_seed: int, gap: float | None, **changes: object) -> Result:
    values = {"ua": 0.5, "rte": 2.0} | ({} if gap is None else {"gap": gap})
    audit = Audited(verdict="forgotten", effect=Interval(value=0.1, low=0.0, high=0.2), p=0.3, before=1.0)
    fields = {
        "key": f"{method}{train_seed}{unlearn_seed}{len(changes)}",
        "family": "clip",
        "method": method,
        "train_seed": train_seed,
        "unlearn_seed": unlearn_seed,
        "eval_seed": 0,
        "settings": {"epochs": 3},
        "values": values,
        "audit": audit,
    }
    return Result.model_validate({**fields, **changes})


def report() -> Report:
    gaps = {"ac": [[0.10, 0.14], [0.20, 0.16]], "neggrad": [[0.3, 0.3], [0.5, 0.5]]}
    results = [
        result(method, train, unlearn, gap)
        for method, trainings in gaps.items()
        for train, row in enumerate(trainings)
        for unlearn, gap in enumerate(row)
    ]
    failed = result("l1", 0, 0, None, error="the loss became nan at step 3", values={}, audit=None)
    return Report((*results, failed), {})


def test_intervals_are_over_trainings_which_alone_vary_independently() -> None:
    found = spread([[0.10, 0.14], [0.20, 0.16]])
    means = [0.12, 0.18]
    half = student.ppf(0.975, 1) * np.std(means, ddof=1) / np.sqrt(2)
    assert (found.mean, found.low, found.high) == pytest.approx((0.15, 0.15 - half, 0.15 + half))
    assert found.sd == pytest.approx(np.std([0.10, 0.14, 0.20, 0.16], ddof=1))
    assert (found.runs, found.groups) == (4, 2)
    alone = spread([[0.5]])
    assert (alone.sd, alone.low, alone.high) == (None, None, None)
    assert alone.text(METRICS.get("ua")) == "50.0%"
    assert found.text(METRICS.get("ua")) == "15.0 ± 4.2%"
    assert spread([[2.0, 4.0]]).text(METRICS.get("rte")) == "3.0 ± 1.4 s"


def test_the_nearest_to_retrain_comes_first_and_errors_are_said() -> None:
    assert report().methods("clip") == ("ac", "neggrad", "l1")
    overview = report().overview("clip")
    assert overview.rows[0][:2] == ("Alignment Calibration", "15.0 ± 4.2%")
    assert overview.rows[0][-2:] == ("forgotten 4", "2 x 2")
    assert overview.rows[2][1:] == ("–",) * (len(overview.columns) - 1)
    assert report().remarks("clip") == ["l1-sparsity: the loss became nan at step 3"]


def test_a_gap_is_compared_with_that_of_alignment_calibration_within_each_training() -> None:
    found = report().beyond("clip", "neggrad")
    differences = [0.3 - 0.12, 0.5 - 0.18]
    assert found is not None
    half = student.ppf(0.975, 1) * np.std(differences, ddof=1) / np.sqrt(2)
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25 - half, 0.25 + half))
    rows = {row[0]: row[3] for row in report().overview("clip").rows}
    assert rows["NegGrad"] == f"+25.0 ({25 - 100 * half:+.1f} to {25 + 100 * half:+.1f})"
    assert rows["Alignment Calibration"] == rows["l1-sparsity"] == "–"
    elsewhere = Report((result("ac", 0, 0, 0.1), result("l1", 0, 0, 0.2), result("l1", 1, 0, 0.9)), {})
    assert elsewhere.overview("clip").rows[1][3] == "+10.0"  # of the one training that has both


def test_what_stress_finds_has_its_own_table_and_changes_no_other() -> None:
    stressed = [
        result("ac", train, 0, None, values={}, audit=None, stress=found)
        for train, found in enumerate(
            {"verdict": "hidden, not forgotten", "rest": rest, "relearned": 1.0, "retrained": 0.1, "first": None}
            | {"int8": None, "returns_at": 0.5, "linear": 0.75}
            for rest in (0.2, 0.4)
        )
    ]
    alone = report()
    both = Report((*alone.results, *(Result.model_validate(each) for each in stressed)), {})
    assert alone.stress("clip").rows == ()
    assert both.overview("clip") == alone.overview("clip")
    (row,) = both.stress("clip").rows
    assert row == (
        "Alignment Calibration",
        "0.30 ± 0.14",
        "1.00 ± 0.00",
        "0.10 ± 0.00",
        "–",
        "comes back in 0 of 2",
        "50% (2)",
        "0.75 ± 0.00",
        "hidden, not forgotten 2",
        "2 x 1",
    )
    assert "### Residual stress" in both.to_markdown()
    assert "Residual stress" not in alone.to_markdown()


def test_evaluations_of_one_encoder_count_as_one_run() -> None:
    twice = Report((result("ac", 0, 0, 0.1), result("ac", 0, 0, 0.3, eval_seed=1), result("ac", 1, 0, 0.4)), {})
    found = twice.metric("clip", "ac", "gap")
    assert found is not None
    assert found.mean == pytest.approx(0.3)
    assert found.runs == 2


def test_every_format_has_every_figure() -> None:
    markdown, latex, rows = report().to_markdown(), report().to_latex(), report().to_csv().splitlines()
    assert "| UA | 50.0 ± 0.0% | 50.0 ± 0.0% | – |" in markdown
    assert r"50.0 $\pm$ 0.0\%" in latex
    assert rows[0] == "family,method,metric,mean,sd,low,high,runs,trainings"
    assert any(row.startswith("clip,ac,gap,0.15") for row in rows)


def test_what_is_written_around_the_tables_stays() -> None:
    page = into_page(None, "one")
    assert (
        into_page(page.replace("# Results", "# Mine") + "after\n", "two")
        == f"# Mine\n\n{BEGIN}\n\ntwo\n\n{END}\nafter\n"
    )
    with pytest.raises(MucError, match="no place for the tables"):
        into_page("# Mine", "two")


def test_cells_are_escaped() -> None:
    table = Table(("a|b", "c"), (("50 %_x", "1,5"),))
    assert table.to_markdown() == "| a\\|b | c |\n|---|--:|\n| 50 %_x | 1,5 |\n"
    assert r"50 \%\_x & 1,5 \\" in table.to_latex()
    assert table.to_csv() == 'a|b,c\n50 %_x,"1,5"\n'


def test_evaluated_is_keyed_by_all_that_decides_it() -> None:
    each = evaluations(plan())[0]
    other = Evaluated(each.made, each.retrained, each.seed + 1)
    assert each.key != other.key
    assert each.key != Evaluated(each.made, None, each.seed).key
