"""Retrain: from fresh weights on the retain set alone, the gold standard."""

from typing import Literal

from pydantic import Field

from muc_core.unlearning.method import METHODS, Method, contrastive
from muc_core.unlearning.settings import TrainingSettings


class RetrainSettings(TrainingSettings):
    """Those of training from nothing: many epochs with warm-up and cosine."""

    epochs: int = Field(40, ge=1, le=10_000, description="Passes over the retain set, as many as the original had.")
    learning_rate: float = Field(2e-3, gt=0, le=10, description="Highest size of a step, reached after the warm-up.")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Course of the learning rate.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps over which the learning rate rises.")


METHODS.register(
    "retrain",
    Method(
        name="retrain",
        title="Retrain",
        summary="Train again from nothing without the forget set: what perfect forgetting looks like, at full price.",
        settings=RetrainSettings,
        uses="retain",
        objective=contrastive,
        from_scratch=True,
    ),
)
