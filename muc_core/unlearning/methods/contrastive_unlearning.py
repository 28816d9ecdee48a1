"""Contrastive Unlearning (arXiv 2401.10458): push forget pictures out of their class among retained ones of others.

    unlearn * mean_i L_i + keep * cross-entropy on R        (L_i: losses.contrastive_unlearning, on features h)

Each batch of the forget set meets `omega` batches of retained pictures, and an epoch is a pass over the forget set.
When whole classes are to be forgotten, it ends after the epoch in which the classifier names them no better than by
chance (1 / classes). Single pictures have no such level: only `epochs` bounds them. The paper's 500 pictures to forget
are the first of its data set; here the forget set is whatever it is, in random order.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from muc_core.losses.contrastive_unlearning import contrastive_unlearning
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.settings import TrainingSettings


class ContrastiveUnlearningSettings(TrainingSettings):
    """The paper's: SGD with a small step, and both terms' strengths."""

    epochs: int = Field(
        5, ge=1, le=10_000, description="Passes over the forget set, each with omega times as many kept."
    )
    batch_size: int = Field(
        128, ge=2, le=65_536, description="Pictures to forget in one step, and as many retained ones beside them."
    )
    learning_rate: float = Field(1e-3, gt=0, le=10, description="Size of one step. Too high destroys the encoder.")
    optimizer: Literal["adamw", "sgd"] = Field("sgd", description="SGD with momentum, as in the paper, or AdamW.")
    weight_decay: float = Field(5e-4, ge=0, le=10, description="Pull of all weights towards zero.")
    unlearn: float = Field(
        3.0, ge=0, le=1000, description="lambda_UL: how strongly forget pictures are pushed out of their class."
    )
    keep: float = Field(1.0, ge=0, le=1000, description="lambda_CE: how strongly retained pictures keep their class.")
    omega: int = Field(4, ge=1, le=1000, description="Retain batches that each batch of forget pictures meets.")
    tau: float = Field(0.7, gt=0, le=10, description="Temperature: lower pushes hardest from the most alike pictures.")


def objective(step: Step[ContrastiveUnlearningSettings]) -> Mapping[str, Tensor]:
    """The terms of the module's formula by name; a batch without forget samples is plain training."""
    batch, settings = step.batch, step.settings
    model: Any = step.model
    if len(batch.forget) == 0:
        return contrastive(step)
    assert batch.labels is not None  # it works on families with classes only
    # in one pass, so that batch norm sees forget and retain samples together
    h = batch.joined(batch.through(model, batch.view(), model.features))
    z, retain, forget = F.normalize(h, dim=1), batch.retain, batch.forget
    pushed = contrastive_unlearning(z[forget], z[retain], batch.labels[forget], batch.labels[retain], settings.tau)
    kept = F.cross_entropy(model.classifier(h[retain]), batch.labels[retain])
    return {"unlearn": settings.unlearn * pushed, "keep": settings.keep * kept}


METHODS.register(
    "contrastive-unlearning",
    Method(
        name="contrastive-unlearning",
        title="Contrastive Unlearning",
        summary="Push each forget picture out of its class, towards retained pictures of other classes.",
        settings=ContrastiveUnlearningSettings,
        uses="both",
        objective=objective,
        families=("supervised",),
        retain_batches=lambda settings: settings.omega,
        stops_at_chance=True,
    ),
)
