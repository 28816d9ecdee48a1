"""Gradient ascent: climb the contrastive loss on the forget set."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from muc_core.unlearning.method import METHODS, Method, Step
from muc_core.unlearning.settings import TrainingSettings


class GradientAscentSettings(TrainingSettings):
    """Few, small steps: the loss has no upper bound, so that more of them destroy the encoder."""

    epochs: int = Field(5, ge=1, le=10_000, description="Passes over the forget set. Too many destroy the encoder.")
    learning_rate: float = Field(1e-4, gt=0, le=10, description="Size of one step. Too high destroys the encoder.")


def objective(step: Step[GradientAscentSettings]) -> Mapping[str, Tensor]:
    """Minus the loss of the forget samples among themselves."""
    return {"forget": -step.family.loss(step.model, step.batch)}


METHODS.register(
    "gradient-ascent",
    Method(
        name="gradient-ascent",
        title="Gradient ascent",
        summary="Train backwards on the forget set only; fast, and blind to what it does to everything else.",
        settings=GradientAscentSettings,
        uses="forget",
        objective=objective,
        fewest_forget=2,
    ),
)
