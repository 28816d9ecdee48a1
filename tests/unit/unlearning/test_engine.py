"""The shared engine: determinism, resuming, checkpoints, stopping; and the methods' objectives against plain loops."""

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.encoders.checkpoint import dump_training_state, load_training_state
from muc_core.encoders.family import Batch
from muc_core.errors import Cancelled, MucError
from muc_core.unlearning.engine import Checkpoint, Trainer, TrainingDiverged, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds
from tests import tiny

RETAIN, FORGET, CALIBRATION = (tiny.dataset(n, seed=seed) for n, seed in ((20, 1), (8, 2), (5, 3)))
SEEDS = Seeds.from_one(3)
FOR_CLIP = [method.name for method in METHODS if method.works_on("clip")]


def trainer(name: str, *, forget: bool = True, seeds: Seeds = SEEDS, **given: object) -> Trainer:
    method = METHODS.get(name)
    settings = method.settings(**{"epochs": 2, "batch_size": 14, "checkpoints": 4, **given})
    data = TrainingSet(
        RETAIN if method.uses != "forget" else None,
        FORGET if forget and method.uses != "retain" else None,
        CALIBRATION if method.calibration else None,
    )
    return Trainer(tiny.clip().build("muc-tiny", seeds.weights), tiny.clip(), "muc-tiny", method, data, settings, seeds)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", FOR_CLIP)
def test_the_same_seeds_give_the_same_bits_and_other_seeds_others(name: str) -> None:
    first, second = list(trainer(name).run()), list(trainer(name).run())
    assert all(same(a.weights, b.weights) and a.terms == b.terms for a, b in zip(first, second, strict=True))
    other = list(trainer(name, seeds=SEEDS.model_copy(update={"order": 7, "views": 8})).run())
    assert not same(first[-1].weights, other[-1].weights)


@pytest.mark.parametrize("name", FOR_CLIP)
def test_every_method_trains_and_reports_named_finite_terms(name: str) -> None:
    checkpoints = list(trainer(name).run())
    assert checkpoints[-1].epoch == 2
    assert [c.step for c in checkpoints] == sorted({c.step for c in checkpoints})
    for checkpoint in checkpoints:
        assert checkpoint.terms
        assert all(math.isfinite(value) for value in checkpoint.terms.values())
        assert checkpoint.run_time_s > 0
    start = tiny.clip().build("muc-tiny", SEEDS.weights).state_dict()
    assert not same(start, checkpoints[-1].weights)


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_ends_in_the_same_bits(stop_after: int, tmp_path: Path) -> None:
    whole = list(trainer("ac").run())
    first = trainer("ac")
    steps = first.run()
    for _ in range(stop_after):
        next(steps)
    path = tmp_path / "state.pt"
    path.write_bytes(dump_training_state(first.state()))
    second = trainer("ac")
    second.restore(load_training_state(path))
    rest = list(second.run())
    assert [c.step for c in rest] == [c.step for c in whole[stop_after:]]
    assert same(rest[-1].weights, whole[-1].weights)


def test_a_run_resumed_between_checkpoints_ends_in_the_same_bits_and_terms() -> None:
    whole = list(trainer("ac", epochs=3, checkpoints=2).run())
    first = trainer("ac", epochs=3, checkpoints=2)
    states: list[dict[str, Any]] = []
    list(first.run(after_step=lambda: states.append(copy.deepcopy(first.state()))))
    assert {state["step"] for state in states} == set(range(1, first.total_steps + 1)) - {c.step for c in whole}
    for state in states:
        second = trainer("ac", epochs=3, checkpoints=2)
        second.restore(state)
        rest = list(second.run())
        theirs = [checkpoint for checkpoint in whole if checkpoint.step > state["step"]]
        assert [(c.step, c.terms) for c in rest] == [(c.step, c.terms) for c in theirs]
        assert all(same(ours.weights, other.weights) for ours, other in zip(rest, theirs, strict=True))


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(MucError, match="does not belong"):
        trainer("ac").restore({"model": {}})


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(b"nonsense")
    with pytest.raises(MucError, match="not a training state"):
        load_training_state(path)


def test_a_loss_that_is_no_number_stops_before_the_step_and_keeps_what_was_good() -> None:
    run = trainer("finetune", checkpoints=4)
    good: list[Checkpoint] = []
    steps = run.run()
    good.append(next(steps))
    with torch.no_grad():
        next(iter(run.model.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"step \d+ of 4"):
        list(steps)
    assert all(torch.isfinite(t).all() for t in good[0].weights.values() if t.is_floating_point())


def test_a_method_for_other_families_is_refused_by_name() -> None:
    method, family = replace(METHODS.get("finetune"), families=("simclr", "moco")), tiny.clip()
    said = "Fine-tune works on encoders of the family simclr or moco, and this one is clip; choose another method"
    with pytest.raises(MucError, match=re.escape(said)):
        Trainer(
            family.build("muc-tiny", 0), family, "muc-tiny", method, TrainingSet(RETAIN, None), method.settings(), SEEDS
        )


def test_a_cancel_passes_through() -> None:
    class Stop:
        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(trainer("finetune").run(Stop()))


def test_pictures_without_captions_are_refused_by_name() -> None:
    bare = ImageTextDataset(
        "bare", [Item("a", "x"), Item("b")], TensorImages(torch.zeros(2, 3, 48, 48, dtype=torch.uint8))
    )
    method = METHODS.get("finetune")
    with pytest.raises(MucError, match="'b'"):
        Trainer(
            tiny.clip().build("muc-tiny", 0),
            tiny.clip(),
            "muc-tiny",
            method,
            TrainingSet(bare, None),
            method.settings(),
            SEEDS,
        )


def a_batch(n_retain: int, n_forget: int) -> Batch:
    run = trainer("ac")
    forget = torch.arange(n_forget)
    batch = run.batch(torch.arange(n_retain), forget) if n_forget else None
    if batch is None:
        images, tokens = (
            RETAIN.images(48)[:n_retain],
            tiny.clip().tokenize("muc-tiny", [t or "" for t in RETAIN.texts[:n_retain]]),
        )
        return Batch(images, tokens, forget, forget, lambda x, _: x.float() / 255)
    return Batch(batch.images, batch.tokens, batch.forget, batch.partner, lambda x, _: x.float() / 255)


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(1.0, 8.0, 1.0), (0.0, 3.0, 0.0), (0.5, 0.0, 2.0)])
def test_ac_is_the_formula_of_its_docstring(alpha: float, beta: float, gamma: float) -> None:
    model, family, batch = tiny.clip().build("muc-tiny", 0).eval(), tiny.clip(), a_batch(5, 3)
    method = METHODS.get("ac")
    settings = method.settings(alpha=alpha, beta=beta, gamma=gamma)
    with torch.no_grad():
        terms = method.objective(Step(family, model, batch, settings, forget_fraction=0.25))
        directions = family.contrasts(model, batch)
    total = 0.0
    for contrast in directions:
        s = (contrast.logits * contrast.temperature).double().tolist()
        tau = float(contrast.temperature)
        denominators = [math.log(sum(math.exp(v / tau) for v in row)) for row in s]
        retain = sum(denominators[i] - s[i][i] / tau for i in range(5))
        negative = -sum(s[i][p] / tau for i, p in zip(batch.forget.tolist(), batch.partner.tolist(), strict=True))
        performance = sum(denominators[i] for i in range(5, 8))
        positive = sum(s[i][i] for i in range(5, 8)) / 3
        total += (retain + alpha * negative + gamma * performance) / (5 + gamma * 3) + beta * 0.25 * positive
    assert float(sum(terms.values())) == pytest.approx(total / 2, rel=1e-5)


def test_neggrad_is_retain_minus_forget_over_n() -> None:
    model, family, batch = tiny.clip().build("muc-tiny", 0).eval(), tiny.clip(), a_batch(5, 3)
    method = METHODS.get("neggrad")
    with torch.no_grad():
        terms = method.objective(Step(family, model, batch, method.settings(), 0.25))
        expected = 0.0
        for contrast in family.contrasts(model, batch):
            rows = contrast.logits.double().tolist()
            losses = [math.log(sum(math.exp(v) for v in row)) - row[i] for i, row in enumerate(rows)]
            expected += (sum(losses[:5]) - sum(losses[5:])) / 8
    assert float(sum(terms.values())) == pytest.approx(expected / 2, rel=1e-5)


@pytest.mark.parametrize("name", ["ac", "neggrad"])
def test_without_forget_samples_an_objective_is_plain_training_bit_for_bit(name: str) -> None:
    model, family, batch = tiny.clip().build("muc-tiny", 0).eval(), tiny.clip(), a_batch(6, 0)
    method = METHODS.get(name)
    terms = method.objective(Step(family, model, batch, method.settings(), 0.0))
    assert torch.equal(torch.stack(list(terms.values())).sum(), family.loss(model, batch))


def test_gradient_ascent_is_minus_the_loss_and_l1_adds_the_norm() -> None:
    model, family, batch = tiny.clip().build("muc-tiny", 0).eval(), tiny.clip(), a_batch(6, 0)
    ascent, sparsity = METHODS.get("gradient-ascent"), METHODS.get("l1")
    plain = float(family.loss(model, batch).detach())
    with torch.no_grad():
        climbed = ascent.objective(Step(family, model, batch, ascent.settings(), 1.0))
        terms = sparsity.objective(Step(family, model, batch, sparsity.settings(penalty=0.5), 0.0))
    assert float(climbed["forget"]) == -plain
    norm = sum(float(p.detach().abs().sum()) for p in model.parameters())
    assert float(terms["contrastive"]) == plain
    assert float(terms["sparsity"]) == pytest.approx(0.5 * norm, rel=1e-5)
