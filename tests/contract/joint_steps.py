"""A step or two of a method on a family, and what they leave behind; one process or several:

ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 -m tests.contract.joint_steps FOLDER
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.encoders.checkpoint import dump_training_state
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.parallel import rank, world_size
from muc_core.unlearning.engine import Checkpoint, Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from tests import tiny

RETAIN, FORGET, CALIBRATION = (tiny.dataset(n, seed=seed) for n, seed in ((13, 1), (6, 2), (5, 3)))
ARCHITECTURES = {"moco": "demo-resnet:16@32", "simclr": "demo-resnet:16-8-bn", "supervised": "demo-resnet@3"}
OWN: dict[str, dict[str, float]] = {
    "l1": {"penalty": 1e-6},  # a weight that is zero but for rounding is penalised with either sign
    "neggrad": {"salient": 0.5},
}
COMBINATIONS = [
    (family, method)
    for family, method in itertools.product(FAMILIES.names(), METHODS.names())
    if METHODS.get(method).works_on(family)
]


LOW = ("clip", "meru", "moco", "simclr")
"""Families whose step of AC is also made in bfloat16."""

CHUNKED = {"moco": "timm/test_vit:16@32", "simclr": "timm/test_vit:16"}
"""Families whose step of AC is also made in chunks, with architectures without batch norm."""

Arithmetic = Literal["float64", "float32", "bfloat16"]


def trainer(
    family_name: str,
    method_name: str,
    *,
    arithmetic: Arithmetic = "float64",
    architecture: str | None = None,
    chunk_size: int | None = None,
) -> Trainer:
    """Steps of ten and nine samples: the processes' parts differ in length.

    In float64, as a rule: rounding on the two sides of a ReLU's kink would make gradients differ.
    """
    family, method = FAMILIES.get(family_name), METHODS.get(method_name)
    settings = method.settings(
        epochs=2,
        batch_size=10,
        checkpoints=4,
        optimizer="sgd",
        learning_rate=1e-3,
        gradient_clip=None,
        precision="bfloat16" if arithmetic == "bfloat16" else "float32",
        chunk_size=chunk_size,
        **OWN.get(method_name, {}),
    )
    data = TrainingSet(
        RETAIN if method.uses != "forget" else None,
        FORGET if method.uses != "retain" else None,
        CALIBRATION if method.calibration else None,
        tiny.CLASSES,
    )
    architecture = architecture or ARCHITECTURES.get(family_name, family.default_architecture)
    model = family.build(architecture, 0)
    if arithmetic == "float64":
        model.double()
        for module in model.modules():
            module.register_forward_pre_hook(in_float64)
    return Trainer(model, family, architecture, method, data, settings, Seeds.from_one(3))


def in_float64(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in given)


def step(run: Trainer, checkpoints: Iterator[Checkpoint]) -> dict[str, Any]:
    """One more step: its loss terms, the gradients, and the buffers after it (batch norm's statistics, a queue)."""
    terms = next(checkpoints).terms
    gradients = {name: p.grad.clone() for name, p in run.model.named_parameters() if p.grad is not None}
    return {"terms": terms, "gradients": gradients, "buffers": {n: b.clone() for n, b in run.model.named_buffers()}}


def main() -> None:
    folder = Path(sys.argv[1])
    for family, method in COMBINATIONS:
        run = trainer(family, method)
        assert world_size() == 2
        checkpoints = run.run()
        seen = [step(run, checkpoints)]
        if method == "ac":
            state = dump_training_state(run.state())
            (folder / f"{family}-{rank()}.state").write_bytes(state)
            seen.append(step(run, checkpoints))
        if rank() == 0:
            torch.save(seen, folder / f"{family}-{method}.pt")
    for family in LOW:
        low = trainer(family, "ac", arithmetic="bfloat16")
        _save(step(low, low.run()), folder / f"{family}-low.pt")
    for family, architecture in CHUNKED.items():
        chunked = trainer(family, "ac", architecture=architecture, chunk_size=2)
        _save(step(chunked, chunked.run()), folder / f"{family}-chunked.pt")


def _save(seen: dict[str, Any], path: Path) -> None:
    if rank() == 0:
        torch.save(seen, path)


if __name__ == "__main__":
    main()
