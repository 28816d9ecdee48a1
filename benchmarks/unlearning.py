"""An epoch of Alignment Calibration against the same forward and backward passes on ready tensors.

The difference is everything around the passes: reading pictures, drawing views, the optimiser, the bookkeeping.
"""

from dataclasses import replace
from statistics import median

import torch

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from benchmarks.measure import Row, seconds
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.families.clip import TINY
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds

BUDGET_RATIO = 1.15
ROUNDS = 3


def rows(*, quick: bool) -> list[Row]:
    dataset, split = load_demo(), demo_split()
    retain, forget = (training_subset(dataset, split, part) for part in ("retain", "forget"))
    if quick:
        retain, forget = retain.subset(retain.ids[:460]), forget.subset(forget.ids[:52])
    family, method = FAMILIES.get("clip"), METHODS.get("ac")
    settings = method.settings(epochs=ROUNDS + 1, checkpoints=ROUNDS + 1)
    data = TrainingSet(retain, forget)
    trainer = Trainer(family.build(TINY, seed=0), family, TINY, method, data, settings, Seeds.from_one(0))
    ready = [_ready(trainer.batch(*positions)) for positions in trainer.plan.epoch(torch.Generator().manual_seed(0))]

    def bare_epoch() -> None:
        for batch in ready:
            step = Step(family, trainer.model, batch, settings, data.forget_fraction)
            loss = torch.stack(list(method.objective(step).values())).sum()
            trainer.model.zero_grad()
            torch.autograd.backward(loss)

    # Each round gives one checkpoint, that is one epoch; rounds of both kinds take turns, the first warms up.
    epochs = trainer.run()
    times = [(seconds(lambda: next(epochs)), seconds(bare_epoch)) for _ in range(ROUNDS + 1)][1:]
    whole, bare = (median(kind) for kind in zip(*times, strict=True))
    return [
        Row(
            f"AC epoch, {len(retain) + len(forget):,} pictures, {TINY}",
            f"{whole:.1f} s",
            f"its passes on ready tensors: {bare:.1f} s",
            f"{whole / bare:.2f}",
            f"<= {BUDGET_RATIO}",
            whole / bare <= BUDGET_RATIO,
        )
    ]


def _ready(batch: Batch) -> Batch:
    """The same batch with its view already drawn."""
    view = batch.view(batch.images)
    return replace(batch, view=lambda images: view)
