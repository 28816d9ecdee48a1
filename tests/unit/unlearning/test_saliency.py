"""Saliency masks: which weights move, and that nothing else does."""

from typing import Any

import pytest
import torch
from torch import nn

import muc_core.unlearning.methods  # noqa: F401
from muc_core.encoders.checkpoint import dump_training_state
from muc_core.encoders.family import FAMILIES
from muc_core.errors import MucError
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.saliency import Mask
from muc_core.unlearning.settings import Seeds
from tests import tiny

RETAIN, FORGET, CALIBRATION = (tiny.dataset(n, seed=seed) for n, seed in ((12, 1), (6, 2), (5, 3)))
ARCHITECTURES = {"moco": "demo-resnet:16@32", "simclr": "demo-resnet:16", "clip": "muc-tiny"}


def trainer(family_name: str, method_name: str, *, forget: int = 6, **given: object) -> Trainer:
    family, method = FAMILIES.get(family_name), METHODS.get(method_name)
    settings = method.settings(**{"epochs": 2, "batch_size": 18, "checkpoints": 2, "weight_decay": 0.5, **given})
    data = TrainingSet(
        RETAIN if method.uses != "forget" else None,
        FORGET.subset(FORGET.ids[:forget]) if method.uses != "retain" else None,
        CALIBRATION if method.calibration else None,
    )
    model = family.build(ARCHITECTURES[family_name], 3)
    return Trainer(model, family, ARCHITECTURES[family_name], method, data, settings, Seeds.from_one(3))


def weights(family_name: str) -> dict[str, torch.Tensor]:
    model = FAMILIES.get(family_name).build(ARCHITECTURES[family_name], 3)
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def test_the_weights_with_the_largest_gradients_move_and_the_others_stay() -> None:
    model = nn.Linear(3, 2)
    model.weight.grad = torch.tensor([[0.1, -0.9, 0.0], [0.5, 0.2, -0.3]])
    model.bias.grad = torch.tensor([-0.7, 0.05])
    start = model.weight.detach().clone()
    mask = Mask(model, 0.375)  # three of eight: .9, .7, .5
    mask.hold_gradients()
    assert model.weight.grad.tolist() == [[0.0, pytest.approx(-0.9), 0.0], [0.5, 0.0, 0.0]]
    assert model.bias.grad.tolist() == [pytest.approx(-0.7), 0.0]
    with torch.no_grad():
        model.weight += 1
    mask.hold_weights()
    moved = (model.weight != start).tolist()
    assert moved == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(
    ("family_name", "method_name"),
    [("simclr", "neggrad"), ("moco", "ac"), ("simclr", "gradient-ascent"), ("simclr", "ac-matched")],
)
def test_about_that_share_of_the_weights_moves_in_a_run(family_name: str, method_name: str) -> None:
    start = weights(family_name)
    *_, last = trainer(family_name, method_name, salient=0.2).run()
    moved = sum(int((last.weights[name] != value).sum()) for name, value in start.items())
    share = moved / sum(value.numel() for value in start.values())
    assert 0.05 < share <= 0.2001  # fresh residual blocks begin at zero and have no gradient yet


def test_a_resumed_run_ends_in_the_same_bits_and_all_is_no_mask() -> None:
    given: dict[str, Any] = {"salient": 0.3, "batch_size": 9}
    *_, whole = trainer("simclr", "ac", **given).run()
    first = trainer("simclr", "ac", **given)
    next(first.run())
    state = first.state()
    assert dump_training_state(state)
    second = trainer("simclr", "ac", **given)
    second.restore(state)
    *_, rest = second.run()
    assert all(torch.equal(rest.weights[name], value) for name, value in whole.weights.items())
    *_, unmasked = trainer("simclr", "ac", salient=1.0, batch_size=9).run()
    *_, plain = trainer("simclr", "ac", batch_size=9).run()
    assert all(torch.equal(unmasked.weights[name], value) for name, value in plain.weights.items())


def test_methods_without_forget_pictures_and_single_pictures_are_refused_in_words() -> None:
    with pytest.raises(MucError, match="looks at no forget pictures"):
        trainer("simclr", "finetune", salient=0.5)
    with pytest.raises(MucError, match="one picture alone"):
        trainer("simclr", "neggrad", forget=1, salient=0.5)
