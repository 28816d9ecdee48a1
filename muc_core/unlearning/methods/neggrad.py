"""NegGrad: descend on the retain set and climb on the forget set in the same step."""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from muc_core.losses.contrast import anchor_loss
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.settings import TrainingSettings


class NegGradSettings(TrainingSettings):
    """Strength comes from epochs and learning rate; the climb has no upper bound."""

    epochs: int = Field(5, ge=1, le=10_000, description="Passes over all the data. Too many destroy the encoder.")
    learning_rate: float = Field(2e-4, gt=0, le=10, description="Size of one step. Too high destroys the encoder.")


def objective(step: Step[NegGradSettings]) -> Mapping[str, Tensor]:
    """(sum over R of l - sum over U of l) / n, with the batch as everybody's candidates; directions averaged."""
    batch = step.batch
    if len(batch.forget) == 0:
        return contrastive(step)
    losses = torch.stack([anchor_loss(c) for c in step.family.contrasts(step.model, batch)]).mean(dim=0)
    n = batch.n
    return {"retain": losses[batch.retain].sum() / n, "forget": -losses[batch.forget].sum() / n}


METHODS.register(
    "neggrad",
    Method(
        name="neggrad",
        title="NegGrad",
        summary="Train forwards on the retained and backwards on the forget pictures at the same time.",
        settings=NegGradSettings,
        uses="both",
        objective=objective,
    ),
)
