"""HAC: its terms against plain loops, what each of them does alone, and whom it refuses."""

import math

import pytest
import torch
from torch import Tensor

import muc_core.unlearning.methods  # noqa: F401
from muc_core.encoders.families.meru import Points
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.errors import MucError
from muc_core.losses.lorentz import exterior_angle, half_aperture
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.methods.hac import HACSettings, entailment_calibration, norm_regularisation, objective
from tests import tiny

MERU = FAMILIES.get("meru")
FORGET, RETAIN = torch.tensor([4, 5, 6]), torch.tensor([0, 1, 2, 3])


def points(seed: int = 0, c: float = 0.8) -> Points:
    images, texts = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    images, texts, curvature = images.requires_grad_(), texts.requires_grad_(), torch.tensor(c, dtype=torch.float64)
    return Points(images, texts, curvature, torch.tensor(5.0, dtype=torch.float64))


def batch(n_forget: int) -> Batch:
    data = tiny.dataset(8)
    forget = torch.arange(8 - n_forget, 8)
    tokens = MERU.tokenize("muc-tiny", [text or "" for text in data.texts])
    return Batch(data.images(48), tokens, forget, forget.roll(1), draw=lambda images, _: images.float() / 255)


def test_the_objective_is_acs_and_two_terms_more() -> None:
    model, original = (MERU.build("muc-tiny", seed).eval() for seed in (0, 1))
    settings = HACSettings(alpha=0.5, beta=3.0, gamma=2.0, entailment=0.7, cone_margin=0.2, norms=4.0)
    with torch.no_grad():
        terms = objective(Step(MERU, model, batch(3), settings, 0.25, original=original))
        plain = METHODS.get("ac").objective(Step(MERU, model, batch(3), settings, 0.25))
        images, texts = MERU.sides(model, batch(3))
        before = MERU.sides(original, batch(3).only(torch.arange(5)))
    assert {name: float(terms[name]) for name in plain} == pytest.approx({k: float(v) for k, v in plain.items()})
    c = model.curvature.detach()
    psi, theta = half_aperture(texts, c).tolist(), exterior_angle(texts, images, c).tolist()
    hinge = [max(0.0, psi[i] + 0.2 - theta[i]) for i in (5, 6, 7)]
    assert float(terms["entailment"]) == pytest.approx(0.7 * sum(hinge) / 3, abs=1e-6)
    expected = 0.0
    for side, first in zip((images, texts), before, strict=True):
        norms = [math.hypot(*row) for row in side.tolist()]
        usual = sum(math.hypot(*row) for row in first.tolist()) / 5
        expected += sum((norms[i] - usual) ** 2 for i in (5, 6, 7)) / 3
    assert float(terms["norms"]) == pytest.approx(4.0 * expected / 2, rel=1e-4)
    assert set(terms) == {*plain, "entailment", "norms"}


def test_without_its_two_terms_it_is_ac() -> None:
    model = MERU.build("muc-tiny", 0).eval()
    settings = HACSettings(entailment=0.0, norms=0.0)
    with torch.no_grad():
        ours = objective(Step(MERU, model, batch(3), settings, 0.25, original=model))
        plain = METHODS.get("ac").objective(Step(MERU, model, batch(3), settings, 0.25))
    assert float(torch.stack(list(ours.values())).sum()) == pytest.approx(
        float(torch.stack(list(plain.values())).sum()), rel=1e-6
    )


def test_entailment_calibration_moves_forget_images_out_of_the_cones_of_their_texts_and_stops() -> None:
    texts = torch.tensor([[1.0, 0.0]] * 7, dtype=torch.float64).requires_grad_()
    images = (torch.tensor([[2.0, 0.01]] * 7, dtype=torch.float64)).requires_grad_()
    optimizer = torch.optim.SGD([texts, images], lr=0.005)
    for _ in range(300):
        c = torch.tensor(1.0, dtype=torch.float64)
        loss = entailment_calibration(Points(images, texts, c, c), FORGET, 0.1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    away = (exterior_angle(texts, images, c) - half_aperture(texts, c)).tolist()
    assert all(value == pytest.approx(0.1, abs=0.05) for value in away[4:])
    assert all(value < 0 for value in away[:4])
    assert torch.equal(texts[:4].detach(), torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64))


def test_norm_regularisation_pulls_forget_samples_to_the_others_and_not_the_other_way() -> None:
    given, usual = points(), points(1)
    loss = norm_regularisation(given, FORGET, usual)
    torch.autograd.backward(loss)
    for side, other in ((given.images, usual.images), (given.texts, usual.texts)):
        assert other.grad is None
        assert side.grad is not None
        assert side.grad[RETAIN].abs().sum() == 0
        inwards = (side.grad[FORGET] * side[FORGET]).sum(dim=1) > 0
        longer = side[FORGET].norm(dim=1) > other.norm(dim=1).mean()
        assert torch.equal(inwards, longer)


def test_gradients_agree_with_finite_differences() -> None:
    given, usual = points(3), points(4)

    def total(images: Tensor, texts: Tensor) -> Tensor:
        here = Points(images, texts, given.curvature, given.scale)
        return entailment_calibration(here, FORGET, 3.0) + norm_regularisation(here, FORGET, usual)

    assert torch.autograd.gradcheck(total, (given.images, given.texts))


def test_other_families_are_refused_with_a_sentence() -> None:
    clip = tiny.clip()
    model = clip.build("muc-tiny", 0)
    said = "Hyperbolic Alignment Calibration works on encoders of the family meru, and this one is clip; choose another"
    with pytest.raises(MucError, match=said):
        objective(Step(clip, model, batch(3), HACSettings(), 0.25))
