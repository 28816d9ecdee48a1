"""Every trainable family runs every unlearning method, gives the same bits again, resumes, and yields an encoder."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.classes import class_numbers
from muc_core.encoders.checkpoint import dump_training_state, load_training_state
from muc_core.encoders.embed import embed_images
from muc_core.encoders.family import FAMILIES, Batch, Family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.losses.contrast import Contrast, anchor_loss
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds
from tests import tiny

EVERY_PAIR = list(itertools.product(FAMILIES.names(), METHODS.names()))
FAMILY_AND_METHOD = [(family, name) for family, name in EVERY_PAIR if METHODS.get(name).works_on(family)]
RETAIN, FORGET, CALIBRATION = (tiny.dataset(n, seed=seed) for n, seed in ((12, 1), (6, 2), (5, 3)))
SEEDS = Seeds.from_one(3)
ARCHITECTURES = {"moco": "demo-resnet:16@32", "simclr": "demo-resnet:16", "supervised": "demo-resnet@3"}


def architecture(family: Family) -> str:
    return ARCHITECTURES.get(family.name, family.default_architecture)


def trainer(family_name: str, method_name: str, **given: object) -> Trainer:
    family, method = FAMILIES.get(family_name), METHODS.get(method_name)
    settings = method.settings(**{"epochs": 1, "batch_size": 18, "checkpoints": 4, **given})
    data = TrainingSet(
        RETAIN if method.uses != "forget" else None,
        FORGET if method.uses != "retain" else None,
        CALIBRATION if method.calibration else None,
        tiny.CLASSES,
    )
    model = family.build(architecture(family), SEEDS.weights)
    return Trainer(model, family, architecture(family), method, data, settings, SEEDS)


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("family_name", "method_name"), FAMILY_AND_METHOD)
def test_a_step_changes_the_encoder_gives_finite_terms_and_can_be_repeated(family_name: str, method_name: str) -> None:
    family = FAMILIES.get(family_name)
    (*_, first), (*_, second) = (list(trainer(family_name, method_name).run()) for _ in range(2))
    assert first.terms
    assert all(math.isfinite(value) for value in first.terms.values())
    assert same(first.weights, second.weights)
    start = family.build(architecture(family), SEEDS.weights).state_dict()
    assert start.keys() == first.weights.keys()
    assert not same(start, first.weights)
    manifest = EncoderManifest(name="t", title="t", family=family_name, architecture=architecture(family))
    encoder = family.encoder(first.weights, manifest)
    assert encoder.has_text == family.has_text
    assert embed_images(encoder, RETAIN).shape == (12, encoder.dimension)


@pytest.mark.parametrize("family_name", FAMILIES.names())
@pytest.mark.parametrize(("method_name", "own"), [("ac", {}), ("ac-matched", {"keep": 1.0})])
def test_a_resumed_run_ends_in_the_same_bits(
    family_name: str, method_name: str, own: dict[str, float], tmp_path: Path
) -> None:
    given = {"epochs": 2, "batch_size": 9, **own}
    *_, whole = trainer(family_name, method_name, **given).run()
    first = trainer(family_name, method_name, **given)
    next(first.run())
    path = tmp_path / "state.pt"
    path.write_bytes(dump_training_state(first.state()))
    second = trainer(family_name, method_name, **given)
    second.restore(load_training_state(path))
    *_, rest = second.run()
    assert same(rest.weights, whole.weights)


def batch(family: Family, n_forget: int) -> Batch:
    """Eight samples, the last `n_forget` to be forgotten and in a ring of partners; every view is another shade."""
    size = family.image_size(family.build(architecture(family), 0))
    texts = [text or "" for text in RETAIN.texts[:8]]
    forget = torch.arange(8 - n_forget, 8)
    shades = iter((1.0, 0.8, 0.6, 0.4))
    return Batch(
        images=RETAIN.images(size)[:8],
        tokens=family.tokenize(architecture(family), texts),
        forget=forget,
        partner=forget.roll(1),
        draw=lambda images, _: images.float() / 255 * next(shades),
        labels=torch.tensor(class_numbers(tiny.CLASSES, RETAIN.labels[:8])),
    )


@pytest.mark.parametrize("family_name", FAMILIES.names())
def test_the_loss_is_the_mean_loss_of_the_contrasts(family_name: str) -> None:
    family = FAMILIES.get(family_name)
    model = family.build(architecture(family), 0).eval()
    with torch.no_grad():
        loss = family.loss(model, batch(family, 0))
        contrasts = family.contrasts(model, batch(family, 0))
    mean = torch.stack([anchor_loss(contrast).mean() for contrast in contrasts]).mean()
    assert float(loss) == pytest.approx(float(mean), rel=1e-5)


@pytest.mark.parametrize(("family_name", "method_name"), FAMILY_AND_METHOD)
def test_without_forget_samples_an_objective_is_plain_training_bit_for_bit(family_name: str, method_name: str) -> None:
    family, method = FAMILIES.get(family_name), METHODS.get(method_name)
    model = family.build(architecture(family), 0).eval()
    settings = method.settings(penalty=0.0) if method_name == "l1" else method.settings()
    with torch.no_grad():
        terms = method.objective(Step(family, model, batch(family, 0), settings, 0.0))
        plain = family.loss(model, batch(family, 0))
    total = torch.stack(list(terms.values())).sum()
    # gradient ascent has the forget set only: its batch is all to be forgotten, and it climbs the same loss
    assert torch.equal(-total if method_name == "gradient-ascent" else total, plain)


def log_sum(row: list[float]) -> float:
    return math.log(sum(math.exp(value) for value in row if value > -math.inf))


def own(contrast: Contrast, i: int, j: int) -> float:
    return float(contrast.logit(torch.tensor([i]), torch.tensor([j])))


@pytest.mark.parametrize("family_name", FAMILIES.names())
@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(1.0, 8.0, 1.0), (0.0, 3.0, 0.0), (0.5, 0.0, 2.0)])
def test_ac_is_the_formula_of_its_docstring(family_name: str, alpha: float, beta: float, gamma: float) -> None:
    family, method = FAMILIES.get(family_name), METHODS.get("ac")
    model = family.build(architecture(family), 0).eval()
    settings = method.settings(alpha=alpha, beta=beta, gamma=gamma)
    with torch.no_grad():
        terms = method.objective(Step(family, model, batch(family, 3), settings, forget_fraction=0.25))
        directions = family.contrasts(model, batch(family, 3))
    total = 0.0
    for contrast in directions:
        denominators = [log_sum(row) for row in contrast.logits.double().tolist()]
        further = [0.0] * 8 if contrast.further is None else contrast.further.tolist()
        retain = sum(denominators[i] - own(contrast, i, i) + further[i] for i in range(5))
        negative = -sum(own(contrast, i, p) for i, p in zip((5, 6, 7), (7, 5, 6), strict=True))
        performance = sum(denominators[i] for i in (5, 6, 7))
        if contrast.calibration is None:
            positive = sum(own(contrast, i, i) for i in (5, 6, 7)) * float(contrast.temperature) / 3
        else:
            positive = sum(contrast.calibration.tolist()) / 3
        total += (retain + alpha * negative + gamma * performance) / (5 + gamma * 3) + beta * 0.25 * positive
    assert float(sum(terms.values())) == pytest.approx(total / len(directions), rel=1e-4)


@pytest.mark.parametrize("family_name", FAMILIES.names())
def test_an_unknown_architecture_is_refused(family_name: str) -> None:
    with pytest.raises(MucError, match="resnet9000"):
        FAMILIES.get(family_name).build("resnet9000", 0)


@pytest.mark.parametrize(("family_name", "method_name"), sorted({*EVERY_PAIR} - {*FAMILY_AND_METHOD}))
def test_a_method_for_other_families_is_refused_by_name(family_name: str, method_name: str) -> None:
    with pytest.raises(MucError, match=f"and this one is {family_name}; choose another method or encoder"):
        trainer(family_name, method_name)
