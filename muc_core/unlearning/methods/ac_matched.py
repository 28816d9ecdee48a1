"""Control-matched AC: forgotten pictures become like pictures never seen (this project's; not in arXiv 2406.03603).

AC's positive calibration pushes the forget samples' alignment down without a floor. Here it has one: what the encoder
makes of pictures it was never trained on. Each step minimises

    contrastive loss of the retain samples
    + lambda * distance( margins of the forget samples, margins of calibration samples )
    + kappa * mean over retain samples of ( s(i, own) - the same in the original encoder )^2

with the margins of the audit (`losses.control_matching.margins`), negatives from the pool of both groups. Neither the
first two terms nor an audit's margins see a shift of all similarities; the third holds them where they were.

Calibration pictures are the split's own part, never trained on and apart from an audit's controls. They are a target
only: they are not in the contrastive loss, no gradient passes through their vectors, and batch norm keeps the
original's statistics throughout. So they enter no statistics either, and training sees the encoder that an audit will
see: an encoder whose margins are matched with the statistics of each batch is off with its running ones.

What it asks for is what an audit can see. Relearning still brings part of the memory back (docs/demo-search.md).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from muc_core.losses.contrast import anchor_loss
from muc_core.losses.control_matching import energy_distance, hinge, margins, quantile_match
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.settings import CalibrationSettings

DISTANCES = {"quantiles": quantile_match, "mmd": energy_distance, "hinge": hinge}


class ACMatchedSettings(CalibrationSettings):
    """The pull towards never-seen pictures, and training settings whose defaults suit the demo's CLIP."""

    pull: float = Field(
        5.0,
        ge=0,
        le=10_000,
        description="lambda: how strongly forget pictures are pulled to where never-seen ones are; 0: not at all.",
    )
    match: Literal["quantiles", "mmd", "hinge"] = Field(
        "quantiles",
        description="Likeness that is asked for: equal quantiles of the margins, a small energy distance (an MMD), or "
        "only that no margin stands above the never-seen pictures' mean.",
    )

    keep: float = Field(
        8.0,
        ge=0,
        le=1000,
        description="How strongly retained pictures keep their likeness with their own caption or view; 0: not at all.",
    )


@contextmanager
def as_audited(model: nn.Module) -> Iterator[None]:
    """Batch norm uses its running statistics and leaves them as they are."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def forget_and_calibration_margins(step: Step[ACMatchedSettings]) -> tuple[Tensor, Tensor]:
    """Margins of the forget samples `[u]` and of the calibration samples `[c]`, the latter without gradient."""
    assert step.calibration is not None  # the method asks the engine for them
    forget = step.family.sides(step.model, step.batch.only(step.batch.forget))
    with torch.no_grad():
        calibration = step.family.sides(step.model, step.calibration)
    left, right = (torch.cat(pair) for pair in zip(forget, calibration, strict=True))
    found = margins(step.family.alignment(step.model, left, right))
    u = len(step.batch.forget)
    return found[:u], found[u:].detach()


def _retain_terms(step: Step[ACMatchedSettings]) -> dict[str, Tensor]:
    """The contrastive loss, and how far the samples' own similarities have moved from the original's."""
    now, before = step.batch.only(step.batch.retain).twice()
    contrasts = step.family.contrasts(step.model, now)
    terms = {"retain": torch.stack([anchor_loss(contrast).mean() for contrast in contrasts]).mean()}
    if step.settings.keep > 0:
        assert step.original is not None  # the method asks the engine for it
        everyone = torch.arange(now.n, device=now.images.device)
        with torch.no_grad():
            originals = step.family.contrasts(step.original, before)
        moved = [
            (contrast.own_similarity(everyone) - original.own_similarity(everyone)).square().mean()
            for contrast, original in zip(contrasts, originals, strict=True)
        ]
        terms["keep"] = step.settings.keep * torch.stack(moved).mean()
    return terms


def objective(step: Step[ACMatchedSettings]) -> Mapping[str, Tensor]:
    """The terms of the module's formula by name; a batch without forget samples is plain training."""
    with as_audited(step.model):
        if len(step.batch.forget) == 0:
            return contrastive(step)
        distance = DISTANCES[step.settings.match](*forget_and_calibration_margins(step))
        return {**_retain_terms(step), "matching": step.settings.pull * distance}


METHODS.register(
    "ac-matched",
    Method(
        name="ac-matched",
        title="Control-matched AC",
        summary="Bring the forget pictures to where pictures that were never trained on are, and no further.",
        settings=ACMatchedSettings,
        uses="both",
        objective=objective,
        calibration=64,
        original=True,
    ),
)
