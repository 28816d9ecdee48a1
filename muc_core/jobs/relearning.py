"""Relearning: fine-tune a copy of an encoder on some of the forgotten pictures, mixed with retained ones.

Whether pictures that were left out of it come back says whether they had been forgotten or only hidden (relearning
attacks, arXiv 2406.13356).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from muc_core.data.augment import AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.family import Family
from muc_core.evaluation.weights import Weights
from muc_core.progress import SILENT, Progress
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import Method, contrastive
from muc_core.unlearning.settings import Seeds, TrainingSettings

# not registered among the unlearning methods, as it is the opposite of one
_METHOD = Method(
    name="relearning",
    title="Relearning",
    summary="Train on some of the forgotten pictures, mixed with retained ones.",
    settings=TrainingSettings,
    uses="both",
    objective=contrastive,
)


@dataclass(frozen=True)
class Recipe:
    """How to relearn.

    Attributes:
        steps: optimiser steps.
        every: steps between two looks.
        pass_steps: steps in which each picture to relearn is seen once.
        batch_size: most pictures in a step.
        learning_rate: of AdamW, constant.
        augment: random views; None: those of the family.
    """

    steps: int
    every: int
    pass_steps: int
    batch_size: int
    learning_rate: float
    augment: AugmentSettings | None


def mixed_in(known: int, retain: int, recipe: Recipe) -> int:
    """How many retained pictures to mix with those to relearn.

    As many as fill the steps of a pass; at least as many as are relearned, and no more than there are.
    """
    return min(max(recipe.pass_steps * recipe.batch_size - known, known), retain)


def relearn(
    model: nn.Module,
    family: Family,
    architecture: str,
    *,
    known: ImageTextDataset,
    retain: ImageTextDataset,
    recipe: Recipe,
    seed: int,
    classes: tuple[str, ...] = (),
    progress: Progress = SILENT,
) -> Iterator[tuple[int, Weights]]:
    """Train `model` in place with its family's loss.

    Args:
        known: the pictures to relearn.
        retain: the pictures to mix in, see `mixed_in`.
        seed: of order and views.
        classes: those that a classifier tells apart.

    Yields:
        Steps done and the weights then, about every `recipe.every` steps; the last has at least `recipe.steps`.

    Raises:
        MucError: pictures without captions for a family that learns from them.
        TrainingDiverged: the loss stopped being a number.
        Cancelled: from `progress`.
    """
    per_pass = -(-(len(known) + len(retain)) // recipe.batch_size)
    passes = -(-recipe.steps // per_pass)
    settings = TrainingSettings(
        epochs=passes,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        checkpoints=min(max(1, round(passes * per_pass / recipe.every)), 1000),
        augment=recipe.augment,
    )
    data = TrainingSet(retain, known, classes=classes)
    trainer = Trainer(model, family, architecture, _METHOD, data, settings, Seeds.from_one(seed))
    for checkpoint in trainer.run(progress):
        yield checkpoint.step, checkpoint.weights
        if checkpoint.step >= recipe.steps:
            return
