"""Alignment Calibration, AC (arXiv 2406.03603): keep the retained, and calibrate the alignment of the forget set.

With n_R retain and n_U forget samples in a batch, one direction of contrast minimises

    ( sum_R l + alpha * negative calibration + gamma * performance preserving ) / (n_R + gamma * n_U)
    + beta * |U| / (|U| + |R|) * positive calibration

and the directions are averaged. The paper ties alpha = gamma. Because beta is scaled by the forget fraction, the same
beta means the same pressure at any size of the forget set.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor

from muc_core.losses.alignment_calibration import negative_calibration, performance_preserving, positive_calibration
from muc_core.losses.contrast import Contrast, anchor_loss
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.settings import CalibrationSettings


class ACSettings(CalibrationSettings):
    """The three strengths of AC, and training settings whose defaults suit the demo's CLIP."""

    alpha: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Negative calibration: pulls each forget picture towards another one's caption or view.",
    )
    beta: float = Field(
        2.0,
        ge=0,
        le=1000,
        description="Positive calibration: pushes each forget picture away from its own caption or view.",
    )
    gamma: float = Field(
        1.0,
        ge=0,
        le=100,
        description="Performance preserving: keeps the forget pictures spread out among all the others.",
    )


S = TypeVar("S", bound=ACSettings)


def _terms(contrast: Contrast, step: Step[S]) -> dict[str, Tensor]:
    batch, settings = step.batch, step.settings
    divisor = len(batch.retain) + settings.gamma * len(batch.forget)
    return {
        "retain": anchor_loss(contrast)[batch.retain].sum() / divisor,
        "negative": settings.alpha * negative_calibration(contrast, batch.forget, batch.partner) / divisor,
        "performance": settings.gamma * performance_preserving(contrast, batch.forget) / divisor,
        "positive": settings.beta * step.forget_fraction * positive_calibration(contrast, batch.forget),
    }


def calibration_terms(contrasts: Sequence[Contrast], step: Step[S]) -> dict[str, Tensor]:
    """The terms of the module's formula by name, averaged over the directions of contrast."""
    directions = [_terms(contrast, step) for contrast in contrasts]
    return {name: torch.stack([terms[name] for terms in directions]).mean() for name in directions[0]}


def objective(step: Step[ACSettings]) -> Mapping[str, Tensor]:
    """The terms of the module's formula by name; a batch without forget samples is plain training."""
    if len(step.batch.forget) == 0:
        return contrastive(step)
    return calibration_terms(step.family.contrasts(step.model, step.batch), step)


METHODS.register(
    "ac",
    Method(
        name="ac",
        title="Alignment Calibration",
        summary="Loosen each forget picture from its own caption or view and go on training on the retained ones.",
        settings=ACSettings,
        uses="both",
        objective=objective,
        fewest_forget=2,
        partners=True,
    ),
)
