"""CoUn (arXiv 2509.16391): go on training a classifier on the retain set, and contrast views of its features h.

    cross-entropy on R + contrast * [ mean l(z, z') + mean l(z', z) ]        (losses.cross_view)

What was to be forgotten is then drawn by its likeness to retained pictures rather than by its label. The contrastive
term is a setting of other methods for classifiers, too (`contrast`): with NegGrad, l1-sparsity and Fine-tune it is the
stronger in the paper's own tables. CoUn is Fine-tune with it and with settings of its own.

Ours: the two views of the term are drawn beside the one that the cross-entropy sees, where the paper takes one of them
for it. The paper's 50 epochs are 10 here.
"""

from typing import Literal

from pydantic import Field

from muc_core.unlearning.method import METHODS, Method, contrastive
from muc_core.unlearning.settings import TrainingSettings


class CoUnSettings(TrainingSettings):
    """Fine-tuning settings and the weight of the contrastive term."""

    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="Size of one step. Higher forgets faster and harms the rest sooner."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="Whether the learning rate falls to zero along a cosine or stays as it is."
    )
    contrast: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="lambda, weight of the contrastive term on retained pictures; the paper: .1 to 6.",
    )


METHODS.register(
    "coun",
    Method(
        name="coun",
        title="CoUn",
        summary="Go on training a classifier on the retained pictures while contrasting their views.",
        settings=CoUnSettings,
        uses="retain",
        objective=contrastive,
        families=("supervised",),
    ),
)
