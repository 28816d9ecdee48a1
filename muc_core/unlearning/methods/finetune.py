"""Fine-tune: go on training on the retain set and hope that the rest fades."""

from pydantic import Field

from muc_core.unlearning.method import METHODS, Method, contrastive
from muc_core.unlearning.settings import TrainingSettings


class FinetuneSettings(TrainingSettings):
    """Plain training; strength comes from epochs and learning rate."""

    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="Size of one step. Higher forgets faster and harms the rest sooner."
    )


METHODS.register(
    "finetune",
    Method(
        name="finetune",
        title="Fine-tune",
        summary="Go on training with the retained pictures only; what is not rehearsed fades slowly.",
        settings=FinetuneSettings,
        uses="retain",
        objective=contrastive,
    ),
)
