"""Control-matched AC: its objective against plain loops and finite differences, and what calibration pictures touch."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.splits import DataSplit, calibration_subset
from muc_core.encoders.family import FAMILIES, Batch, Family
from muc_core.errors import MucError
from muc_core.losses.contrast import anchor_loss
from muc_core.losses.control_matching import energy_distance, margins, quantile_match
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.methods import ac_matched
from muc_core.unlearning.methods.ac_matched import ACMatchedSettings
from muc_core.unlearning.settings import Seeds
from tests import tiny

ARCHITECTURES = {
    "clip": "muc-tiny",
    "meru": "muc-tiny",
    "moco": "demo-resnet:16@8",
    "simclr": "demo-resnet:16",
    "supervised": "demo-resnet@3",
}
METHOD = METHODS.get("ac-matched")
RETAIN, FORGET, CALIBRATION = (tiny.dataset(n, seed=seed) for n, seed in ((10, 1), (6, 2), (70, 3)))


def batch(family: Family, first: int, n: int, n_forget: int, dtype: torch.dtype = torch.float32) -> Batch:
    """Samples of the calibration set, the last ones to be forgotten; each view drawn is darker than the one before."""
    size = family.image_size(family.build(ARCHITECTURES[family.name], 0))
    drawn = iter(range(1, 9))
    ids = CALIBRATION.ids[first : first + n]
    forget = torch.arange(n - n_forget, n)
    return Batch(
        images=CALIBRATION.subset(ids).images(size),
        tokens=family.tokenize(ARCHITECTURES[family.name], [text or "" for text in CALIBRATION.subset(ids).texts]),
        forget=forget,
        partner=forget[:0],
        draw=lambda images, _: images.to(dtype) / 255 / next(drawn),
        labels=torch.arange(n) % 3 if family.has_classes else None,
    )


def step(family: Family, model: nn.Module, original: nn.Module | None = None, **given: Any) -> Step[ACMatchedSettings]:
    dtype = next(model.parameters()).dtype
    mine, others = batch(family, 0, 8, 3, dtype), batch(family, 8, 5, 0, dtype)
    settings = ACMatchedSettings(**{"keep": 0.0, **given})
    return Step(family, model, mine, settings, 0.25, others, original)


def darker(batch: Batch, first: int) -> Batch:
    drawn = iter(range(first, 9))
    return replace(batch, draw=lambda images, _: images.float() / 255 / next(drawn))


def built(name: str, seed: int = 0) -> tuple[Family, nn.Module]:
    family = FAMILIES.get(name)
    return family, family.build(ARCHITECTURES[name], seed)


def plain_margins(family: Family, model: Any, left: Tensor, right: Tensor) -> list[float]:
    def alike(x: list[float], y: list[float]) -> float:
        product = sum(a * b for a, b in zip(x, y, strict=True))
        if family.name != "meru":
            return product
        c = float(model.curvature.detach())
        x_time, y_time = (math.sqrt(1 / c + sum(a * a for a in point)) for point in (x, y))
        return -math.acosh(c * (x_time * y_time - product)) / math.sqrt(c)

    rows = [[alike(x, y) for y in right.tolist()] for x in left.tolist()]
    n = len(rows)
    return [rows[i][i] - sum((rows[i][j] + rows[j][i]) / 2 for j in range(n) if j != i) / (n - 1) for i in range(n)]


@pytest.mark.parametrize("name", FAMILIES.names())
@pytest.mark.parametrize(("match", "distance"), [("quantiles", quantile_match), ("mmd", energy_distance)])
def test_the_objective_is_the_formula_of_its_docstring(name: str, match: str, distance: Any) -> None:
    family, model = built(name)
    _, original = built(name, seed=1)
    original.eval()
    with torch.no_grad():
        terms = METHOD.objective(step(family, model, original, match=match, pull=3.0, keep=0.5))
        model.eval()
        again = step(family, model)
        assert again.calibration is not None
        forget = family.sides(model, again.batch.only(again.batch.forget))
        calibration = family.sides(model, again.calibration)
        retain = again.batch.only(again.batch.retain)
        first = 2 if family.has_text else 3  # the forget samples drew one view for each side that is a picture
        now, before = (family.contrasts(m, darker(retain, first)) for m in (model, original))
    found = plain_margins(family, model, *(torch.cat(pair) for pair in zip(forget, calibration, strict=True)))
    wanted = 3.0 * float(distance(torch.tensor(found[:3]), torch.tensor(found[3:])))
    assert float(terms["matching"]) == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    losses = [float(anchor_loss(contrast).mean()) for contrast in now]
    assert float(terms["retain"]) == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    moved = [
        (float(a.logit(i, i)) * float(a.temperature) - float(b.logit(i, i)) * float(b.temperature)) ** 2
        for a, b in zip(now, before, strict=True)
        for i in torch.arange(5)[:, None]
    ]
    assert float(terms["keep"]) == pytest.approx(0.5 * sum(moved) / len(moved), rel=1e-3, abs=1e-6)


@dataclass(frozen=True)
class CalibrationHeld:
    """A family whose answer for one batch is always the same, whatever the weights."""

    family: Family
    held: Batch | None
    answer: tuple[Tensor, Tensor]

    def sides(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.answer if batch is self.held else self.family.sides(model, batch)

    def alignment(self, model: nn.Module, left: Tensor, right: Tensor) -> Tensor:
        return self.family.alignment(model, left, right)

    def contrasts(self, model: nn.Module, batch: Batch) -> Sequence[Any]:
        return self.family.contrasts(model, batch)


@pytest.mark.parametrize("name", FAMILIES.names())
def test_the_gradient_is_that_of_finite_differences_with_the_calibration_samples_held(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, model = built(name)
    model.double()
    terms = METHOD.objective(step(family, model, pull=20.0))
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    trained = [p for p in model.parameters() if p.requires_grad]
    gradient = parameters_to_vector([torch.zeros_like(p) if p.grad is None else p.grad for p in trained])
    start, length = parameters_to_vector(trained).detach().clone(), float(gradient.norm())
    with torch.no_grad():
        answer = family.sides(copy.deepcopy(model).eval(), step(family, model).calibration)  # type: ignore[arg-type]
        with ac_matched.as_audited(model):
            _, target = ac_matched.forget_and_calibration_margins(step(family, model))
    monkeypatch.setattr(ac_matched, "margins", lambda alignment: torch.cat([margins(alignment)[:3], target]))

    def loss(move: float) -> float:
        vector_to_parameters(start + move * gradient / length, trained)
        asked = step(family, model, pull=20.0)
        held = CalibrationHeld(family, asked.calibration, answer)
        with torch.no_grad():
            terms = METHOD.objective(replace(asked, family=held))  # type: ignore[arg-type]
        return sum(float(term) for term in terms.values())

    eps = 1e-6
    assert (loss(eps) - loss(-eps)) / (2 * eps) == pytest.approx(length, rel=0.02)


@pytest.mark.parametrize("name", FAMILIES.names())
def test_calibration_pictures_get_no_gradient_and_touch_no_statistics(name: str) -> None:
    family, model = built(name)
    model.train()
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    asked = step(family, model)
    assert asked.calibration is not None
    views: list[Tensor] = []

    def draw(images: Tensor, _: object) -> Tensor:
        views.append((images.float() / 255).requires_grad_())
        return views[-1]

    terms = METHOD.objective(replace(asked, calibration=replace(asked.calibration, draw=draw)))
    torch.autograd.backward(torch.stack(list(terms.values())).sum())
    assert views
    assert all(drawn.grad is None for drawn in views)
    assert all(torch.equal(buffer, before[key]) for key, buffer in model.named_buffers())
    assert model.training


def trainer(calibration: int, **given: Any) -> Trainer:
    settings = METHOD.settings(**{"epochs": 1, "batch_size": 16, "checkpoints": 1, **given})
    part = CALIBRATION.subset(CALIBRATION.ids[:calibration]) if calibration else None
    family, model = built("simclr")
    return Trainer(
        model, family, ARCHITECTURES["simclr"], METHOD, TrainingSet(RETAIN, FORGET, part), settings, Seeds.from_one(0)
    )


def test_each_step_draws_other_calibration_pictures_and_no_others() -> None:
    run = trainer(70)
    known = {tuple(image.flatten().tolist()) for image in CALIBRATION.images(32)}
    first, second = run.calibration(), run.calibration()
    assert first is not None
    assert second is not None
    assert len(first.images) == METHOD.calibration == 64
    assert len(first.forget) == len(first.partner) == 0
    assert {tuple(image.flatten().tolist()) for image in first.images} <= known
    assert not torch.equal(first.images, second.images)


def test_few_calibration_pictures_are_all_taken_and_one_is_enough() -> None:
    run = trainer(1)
    drawn = run.calibration()
    assert drawn is not None
    assert len(drawn.images) == 1
    (last,) = run.run()
    assert set(last.terms) == {"retain", "matching", "keep"}


def test_without_calibration_pictures_it_is_said_what_is_needed() -> None:
    with pytest.raises(MucError, match="train the original with one"):
        trainer(0)
    ids = RETAIN.ids
    split = DataSplit(seed=0, forget=ids[:1], retain=ids[1:], held_out=(), calibration=())
    with pytest.raises(MucError, match="train the original with one"):
        calibration_subset(RETAIN, split)
    with pytest.raises(MucError, match="train the original with one"):
        TrainingSet.of(RETAIN, split, METHOD)


@pytest.mark.parametrize(("field", "value"), [("pull", -1), ("keep", -0.1), ("match", "wish"), ("pull", "nan")])
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        ACMatchedSettings.model_validate({field: value})


def test_no_strength_is_plain_training_with_the_statistics_of_the_original() -> None:
    family, model = built("clip")
    with torch.no_grad():
        terms = METHOD.objective(step(family, model, pull=0.0))
        model.eval()
        asked = step(family, model)
        plain = family.loss(model, replace(asked.batch.only(asked.batch.retain), draw=lambda x, _: x.float() / 255 / 2))
    assert float(terms["matching"]) == 0
    assert float(terms["retain"]) == pytest.approx(float(plain), rel=1e-5)
