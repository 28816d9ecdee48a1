"""A step in chunks is the step of the whole batch: same loss terms, same gradients, for one more forward pass."""

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.encoders.chunks import in_chunks
from muc_core.encoders.families.meru import MeruModel
from muc_core.encoders.family import FAMILIES
from muc_core.errors import MucError
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from tests import tiny
from tests.contract.joint_steps import in_float64

SIMCLR, MOCO = "timm/test_vit:16", "timm/test_vit:16@32"


def clip() -> open_clip.CLIP:
    """A CLIP with two transformers and no batch norm, for pictures and captions of `muc-tiny`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(
            16,
            open_clip.CLIPVisionCfg(layers=2, width=64, image_size=48, patch_size=16),
            open_clip.CLIPTextCfg(context_length=20, vocab_size=2560, width=32, heads=2, layers=1),
        )
    model.visual.image_mean, model.visual.image_std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return model


MODELS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "clip": ("muc-tiny", clip),
    "meru": ("muc-tiny", lambda: MeruModel(clip(), 16)),
    "simclr": (SIMCLR, lambda: FAMILIES.get("simclr").build(SIMCLR, 0)),
    "moco": (MOCO, lambda: FAMILIES.get("moco").build(MOCO, 0)),
}


def trainer(family: str, method: str, model: nn.Module, *, chunk_size: int | None, architecture: str) -> Trainer:
    chosen = METHODS.get(method)
    settings = chosen.settings(
        epochs=1,
        batch_size=11,
        checkpoints=1,
        optimizer="sgd",
        learning_rate=1e-3,
        gradient_clip=None,
        precision="float32",
        chunk_size=chunk_size,
    )
    data = TrainingSet(
        tiny.dataset(7, seed=1),
        tiny.dataset(4, seed=2) if chosen.uses != "retain" else None,
        tiny.dataset(5, seed=3) if chosen.calibration else None,
    )
    model.double()  # rounding alone makes single weights of gradients around 5 differ by 2e-5
    for module in model.modules():
        module.register_forward_pre_hook(in_float64)
    return Trainer(model, FAMILIES.get(family), architecture, chosen, data, settings, Seeds.from_one(3))


Seen = tuple[dict[str, float], dict[str, Tensor]]
"""Loss terms and gradients."""


def step(run: Trainer) -> Seen:
    (checkpoint,) = run.run()
    return checkpoint.terms, {name: p.grad for name, p in run.model.named_parameters() if p.grad is not None}


def assert_same(found: Seen, expected: Seen) -> None:
    terms, gradients = expected
    assert found[0] == pytest.approx(terms, abs=1e-9)
    assert found[1].keys() == gradients.keys() != set()
    for name, gradient in gradients.items():
        torch.testing.assert_close({name: found[1][name]}, {name: gradient}, atol=1e-9, rtol=0)


@pytest.mark.parametrize("method", ["retrain", "ac"])
@pytest.mark.parametrize("family", MODELS)
def test_a_step_in_chunks_is_the_step(family: str, method: str) -> None:
    architecture, build = MODELS[family]
    whole, chunked = (
        step(trainer(family, method, build(), chunk_size=size, architecture=architecture)) for size in (None, 3)
    )
    assert_same(chunked, whole)


def test_batch_norm_with_its_running_statistics_is_no_hindrance() -> None:
    whole, chunked = (
        step(trainer("clip", "ac-matched", tiny.clip().build("muc-tiny", 0), chunk_size=size, architecture="muc-tiny"))
        for size in (None, 3)
    )
    assert_same(chunked, whole)


def test_batch_norm_that_learns_is_refused() -> None:
    run = trainer("clip", "ac", tiny.clip().build("muc-tiny", 0), chunk_size=3, architecture="muc-tiny")
    with pytest.raises(MucError, match="has batch norm, which looks at all pictures that pass together"):
        step(run)


class TestInChunks:
    def test_no_activations_are_kept(self) -> None:
        layer = nn.Sequential(nn.Linear(4, 1000), nn.ReLU(), nn.Linear(1000, 2))
        rows = torch.randn(64, 4, requires_grad=True)

        def kept(encode: Callable[[Tensor], Tensor]) -> int:
            sizes: list[int] = []

            def keep(tensor: Tensor) -> Tensor:
                sizes.append(len(tensor) if tensor.shape[1:] == (1000,) and len(tensor) > 2 else 0)
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                encode(rows)
            return sum(sizes)

        assert kept(layer) >= 64
        assert kept(lambda given: in_chunks(layer, layer, given, 8)) == 0

    def test_dropout_is_the_same_when_a_chunk_passes_again(self) -> None:
        torch.manual_seed(0)
        weight = torch.ones(1000, requires_grad=True)

        def encode(rows: Tensor) -> Tensor:
            return nn.functional.dropout(rows * weight)

        model = nn.Dropout()
        out = in_chunks(model, encode, torch.ones(4, 1000), 2)
        (gradient,) = torch.autograd.grad(out.sum(), weight)
        torch.testing.assert_close(gradient, out.detach().sum(0))

    def test_the_second_pass_is_in_the_mode_of_the_first(self) -> None:
        model: Any = nn.Dropout().eval()
        weight = torch.ones(1000, requires_grad=True)
        out = in_chunks(model, lambda rows: model(rows * weight), torch.ones(4, 1000), 2)
        model.train()
        (gradient,) = torch.autograd.grad(out.sum(), weight)
        torch.testing.assert_close(gradient, torch.full_like(weight, 4.0))
        assert model.training


def test_two_precisions_in_one_process() -> None:
    runs = [
        Trainer(
            tiny.clip().build("muc-tiny", 0),
            tiny.clip(),
            "muc-tiny",
            METHODS.get("retrain"),
            TrainingSet(tiny.dataset(8), None),
            METHODS.get("retrain").settings(epochs=2, batch_size=8, checkpoints=2, precision=precision),
            Seeds.from_one(0),
        )
        for precision in ("float32", "bfloat16", "float32")
    ]
    checkpoints = [run.run() for run in runs]
    for _ in range(2):  # in turns
        single, low, again = (next(states).terms["contrastive"] for states in checkpoints)
        assert single == again != low
        assert low == pytest.approx(single, rel=0.05)
