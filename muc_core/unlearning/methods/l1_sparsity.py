"""l1-sparsity: fine-tuning with a penalty on the size of the weights (arXiv 2304.04934)."""

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from muc_core.losses.sparsity import l1_norm
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.settings import TrainingSettings


class L1SparsitySettings(TrainingSettings):
    """Fine-tuning settings and the weight of the penalty."""

    learning_rate: float = Field(
        1e-3, gt=0, le=10, description="Size of one step. Higher forgets faster and harms the rest sooner."
    )
    penalty: float = Field(
        1e-5,
        ge=0,
        le=1,
        description="lambda, the weight of the sum of absolute weights; higher leaves less memory of anything.",
    )


def objective(step: Step[L1SparsitySettings]) -> Mapping[str, Tensor]:
    """Loss on R + lambda * norm1(theta)."""
    trained = (parameter for parameter in step.model.parameters() if parameter.requires_grad)
    return {**contrastive(step), "sparsity": step.settings.penalty * l1_norm(trained)}


METHODS.register(
    "l1",
    Method(
        name="l1",
        title="l1-sparsity",
        summary="Fine-tune on the retained pictures while shrinking the weights, which leaves little room for memory.",
        settings=L1SparsitySettings,
        uses="retain",
        objective=objective,
    ),
)
