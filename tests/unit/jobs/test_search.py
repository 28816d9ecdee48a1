"""The search for settings: where it looks, what it judges by, and that it can be stopped and repeated."""

from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.embed import embed_images
from muc_core.errors import MucError
from muc_core.evaluation.utility import SetFigures
from muc_core.jobs.bench import search as module
from muc_core.jobs.bench.plan import Made, Plan, evaluations, first_original, known_families, make_plan, recipe_of
from muc_core.jobs.bench.pool import Answer, _Here
from muc_core.jobs.bench.results import read_records
from muc_core.jobs.bench.search import TRIALS, Sets, Trial, _run, _Study, search, search_space
from muc_core.jobs.tuning import measure
from muc_core.unlearning.method import METHODS
from muc_core.workspace import Workspace


def figures(top1: float, positive: float) -> SetFigures:
    return SetFigures(count=10, top1=top1, positive=positive, uniformity=-1.0)


def sets(forget: float = 0.2, calibration: float = 0.2, retain: float = 0.9) -> Sets:
    return Sets(
        forget=figures(forget, forget), calibration=figures(calibration, calibration), retain=figures(retain, retain)
    )


PLAN = make_plan(families=["clip"], methods=["ac", "neggrad"], train_seeds=1, unlearn_seeds=1)


def study(trials: list[Trial] | None = None) -> _Study:
    return _Study(PLAN, first_original(PLAN, "clip"), sets(), "ac", trials or [])


def test_the_miss_is_that_of_the_forget_set_to_calibration_and_of_the_retain_set_to_the_original() -> None:
    found = Sets(forget=figures(0.3, 0.4), calibration=figures(0.1, 0.5), retain=figures(0.8, 0.6))
    original = Sets(forget=figures(0.9, 0.9), calibration=figures(0.5, 0.5), retain=figures(0.9, 0.9))
    assert found.miss(original) == pytest.approx((0.2 + 0.1 + 0.1 + 0.3) / 4)
    assert sets().miss(sets()) == 0


@pytest.mark.parametrize("family", known_families())
@pytest.mark.parametrize("method", [name for name in METHODS.names() if not METHODS.get(name).from_scratch])
def test_every_method_is_searched_around_its_recipe_and_within_its_bounds(family: str, method: str) -> None:
    if not METHODS.get(method).works_on(family):
        return
    space = search_space(family, method)
    settings = METHODS.get(method).settings
    recipe = settings.model_validate(recipe_of(family, method)).model_dump()
    assert "learning_rate" in space
    assert "epochs" not in space  # trials cost the same
    for name, where in space.items():
        assert where._contains(where.to_internal_repr(recipe[name])), name
        ends = where.choices if isinstance(where, CategoricalDistribution) else (where.low, where.high)  # type: ignore[attr-defined]
        for value in ends:
            settings.model_validate({**recipe_of(family, method), name: value})


def test_a_strength_that_the_recipe_leaves_out_is_tried_on_and_off() -> None:
    space = search_space("clip", "ac")
    assert isinstance(space["alpha"], CategoricalDistribution)
    assert space["alpha"].choices == (0.0, 1.0)
    assert isinstance(space["beta"], FloatDistribution)
    assert (space["beta"].low, space["beta"].high) == (0.25, 16.0)


@pytest.mark.parametrize(("method", "searched"), [("coun", True), ("l1+contrast", True), ("l1", False)])
def test_the_weight_of_the_contrastive_term_is_searched_where_the_term_is_on(method: str, searched: bool) -> None:
    assert ("contrast" in search_space("supervised", method)) == searched


def test_the_first_trial_is_the_recipe_and_a_repeated_search_asks_for_the_same() -> None:
    first, second = study(), study()
    for number in range(8):
        made = [each.next() for each in (first, second)]
        assert made[0] == made[1]
        if number == 0:
            recipe = METHODS.get("ac").settings.model_validate(recipe_of("clip", "ac"))
            assert METHODS.get("ac").settings.model_validate(made[0].job.settings) == recipe.model_copy(
                update={"checkpoints": 1}
            )
        for each in (first, second):
            each.take(Answer(value=sets(forget=0.2 + number / 100)))
    resumed = study(first.trials[:5])
    again = study(first.trials[:5])
    assert resumed.next() == again.next()
    assert resumed.next().job.settings["learning_rate"] == first.trials[5].changed["learning_rate"]


def test_the_best_is_found_where_it_was_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The miss is the distance of the learning rate, in powers of two, from a planted one."""

    def attempt(work: object, asked: tuple[Made, str], deadline: float | None) -> Answer[Sets]:
        made, forget = asked
        assert forget == "owner:artist"
        away = abs(np.log2(float(made.job.settings["learning_rate"]) / 0.005))  # type: ignore[arg-type]
        if away > 2.5:
            return Answer(error="the loss became nan")
        return Answer(value=sets(forget=0.2 + away / 10))

    monkeypatch.setattr(module, "attempt", attempt)
    studies = [_Study(PLAN, first_original(PLAN, "clip"), sets(), method, []) for method in ("ac", "neggrad")]
    found = list(_run(studies, 25, _Here(), 1, None))
    assert len(found) == 50
    for each in studies:
        assert [trial.number for trial in each.trials] == list(range(25))
        best = float(each.best()["learning_rate"])  # type: ignore[arg-type]
        high = search_space("clip", each.method)["learning_rate"].high  # type: ignore[attr-defined]
        assert best == pytest.approx(min(0.005, high), rel=0.2)


def test_a_method_that_never_gives_an_encoder_is_named_with_its_reason() -> None:
    failed = study()
    failed.next()
    failed.take(Answer(error="the loss became nan at step 3"))
    with pytest.raises(MucError, match="none of the 1 trials of ac on clip gave an encoder: the loss became nan"):
        failed.best()


def test_found_settings_replace_the_recipe_and_keep_results_apart() -> None:
    found: Plan = PLAN.model_copy(update={"search": 3, "settings": {"clip": {"ac": {"beta": 3.5}}}})
    before, after = (
        {each.made.method: each for each in evaluations(plan) if each.made.method in ("ac", "neggrad")}
        for plan in (PLAN, found)
    )
    assert after["ac"].made.job.settings["beta"] == 3.5
    assert after["ac"].key != before["ac"].key
    assert after["neggrad"].key == before["neggrad"].key


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "supervised"])
def test_captions_and_classes_are_asked_for_and_never_those_of_a_held_out_picture(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(families=[family], methods=["gradient-ascent"], epochs_scale=0.001)
    asked: list[ImageTextDataset] = []

    def watched(encoder, dataset, progress):  # type: ignore[no-untyped-def]
        asked.append(dataset)
        return embed_images(encoder, dataset, progress=progress)

    monkeypatch.setattr(module, "embed_images", watched)
    assert search(plan, trials=1, out=tmp_path, home=tmp_path / "home", processes=1, device="cpu") is not None
    (original,) = Workspace(tmp_path / "home", assets=tmp_path / "none").encoders()
    assert original.manifest.data is not None
    split = original.manifest.data.split
    assert not {item for dataset in asked for item in dataset.ids} & set(split.held_out)
    assert set(asked[1].ids) == set(split.calibration)
    (record,) = read_records(tmp_path / TRIALS, Trial)
    assert record.sets is not None
    for part, dataset in zip((record.sets.forget, record.sets.calibration, record.sets.retain), asked[3:], strict=True):
        assert 0 < part.count <= len(dataset)  # of a classifier those of its classes
        assert 0 <= part.top1 <= 1


@pytest.mark.slow
def test_a_search_sees_no_held_out_picture_and_goes_on_from_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(families=["simclr"], methods=["gradient-ascent"], epochs_scale=0.001)
    seen: list[set[str]] = []

    def watched(encoder, material, yardstick, progress):  # type: ignore[no-untyped-def]
        seen.append({item for part in material.parts for item in part.ids})
        return measure.look(encoder, material, yardstick, progress)

    monkeypatch.setattr(module, "look", watched)
    run = dict(out=tmp_path, home=tmp_path / "home", processes=1, device="cpu")
    first = search(plan, trials=1, **run)  # type: ignore[arg-type]
    assert first is not None
    assert first.settings["simclr"]["gradient-ascent"] == {"learning_rate": 1e-4}
    workspace = Workspace(tmp_path / "home", assets=tmp_path / "none")
    (original,) = workspace.encoders()  # what was tried is gone
    assert original.manifest.data is not None
    assert not set().union(*seen) & set(original.manifest.data.split.held_out)
    assert set().union(*seen) & set(original.manifest.data.split.calibration)
    looks = len(seen)
    second = search(plan, trials=2, **run)  # type: ignore[arg-type]
    assert second is not None
    assert second.search == 2
    assert len(seen) == looks + 2  # the original again, and one more trial
    records = read_records(tmp_path / TRIALS, Trial)
    assert [trial.number for trial in records] == [0, 1]
    assert search(plan, trials=2, **run) == second  # type: ignore[arg-type]
    assert len(seen) == looks + 2  # all is on record: no original is trained to look at it
    best = min(records, key=lambda trial: trial.miss or 0)
    assert second.settings["simclr"]["gradient-ascent"] == best.changed
    assert search(plan, trials=3, deadline=0.0, **run) is None  # type: ignore[arg-type]
