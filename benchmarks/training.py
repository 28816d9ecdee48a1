"""An epoch of Alignment Calibration against nothing but its forward and backward passes on ready tensors."""

import torch

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from benchmarks.measure import Row, seconds
from muc_core.data.augment import Augmentation
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.encoders.load import load_encoder  # noqa: F401  (registers the families)
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds

BUDGET = 1.15


def rows(*, quick: bool) -> list[Row]:
    family, method, seeds = FAMILIES.get("clip"), METHODS.get("ac"), Seeds.from_one(0)
    split = demo_split()
    data = TrainingSet(training_subset(load_demo(), split, "retain"), training_subset(load_demo(), split, "forget"))
    epochs = 1 if quick else 3

    def trainer() -> Trainer:
        settings = method.settings(epochs=epochs, checkpoints=1)
        return Trainer(family.build("muc-tiny", seeds.weights), family, "muc-tiny", method, data, settings, seeds)

    bare = trainer()
    view = Augmentation(family.default_augment, 48)
    generator = torch.Generator().manual_seed(0)
    ready = []
    for retain, forget in bare.plan.epoch(generator):
        batch = bare.batch(retain, forget)
        pixels = view(batch.images, generator).contiguous(memory_format=torch.channels_last)
        ready.append(Batch(pixels, batch.tokens, batch.forget, batch.partner, view=lambda images: images))

    def passes() -> None:
        for batch in ready:
            terms = method.objective(Step(family, bare.model, batch, bare.settings, data.forget_fraction))
            torch.stack(list(terms.values())).sum().backward()
            bare.model.zero_grad()

    bare.model.train()
    passes()  # warm
    # taken in turns, so that a change in the machine's speed meets both
    passes_s = 0.0
    run = trainer()
    list(trainer().run())  # warm
    for _ in range(epochs):
        passes_s += seconds(passes)
    epoch_s = seconds(lambda: list(run.run()))
    for _ in range(epochs):
        passes_s += seconds(passes)
    ratio = 2 * epoch_s / passes_s
    return [
        Row(
            f"AC epoch, {bare.plan.total:,} pairs of the demo",
            f"{epoch_s / epochs:.2f} s",
            f"its passes on ready tensors: {passes_s / epochs / 2:.2f} s",
            f"{ratio:.2f}",
            f"<= {BUDGET}",
            ratio <= BUDGET,
        )
    ]
