"""Hyperbolic Alignment Calibration, HAC: AC carried to MERU (our reading of arXiv 2503.15166; no code is public).

What is known of the paper: AC's similarity is replaced by minus the Lorentz distance d, and two terms are added, an
entailment calibration and a norm regularisation. Their exact forms are not known here; each choice below that no
source fixes is marked (ours). On a batch with n_R retain and n_U forget samples, HAC minimises

    AC                AC's objective (`methods.ac`) with s = -d and MERU's own loss, entailment included, as l on R
    + eps  * mean over U of max(0, psi(text) + m - theta(text, image))             entailment calibration
    + nu   * mean over U of ((|image| - r_images)^2 + (|text| - r_texts)^2) / 2    norm regularisation

Derivation:
- **Similarity.** AC needs no more of s than that it enters InfoNCE as s / tau and is high for a pair that belongs
  together. In MERU that is -d, with the learned 1 / tau as scale; so AC's terms hold as they are.
- **Entailment calibration.** MERU's loss brings an image into the cone of its text, `max(0, theta - psi)`: the text is
  the general and the image an instance of it. To forget that pair is the mirror image of this hinge: the angle theta at
  the text must be larger than the half-aperture psi by m. The hinge stops there, so that a pair that is apart is not
  driven further (ours: the hinge, the margin m in radians, and that psi may shrink as well as theta grow). The
  entailment on U is left out of the retain term: there it would pull against this.
- **Norm regularisation.** -d has no lower bound, unlike a cosine: AC's positive calibration can lower it for ever by
  sending points to the boundary, or by sending texts there and images to the root, and a norm unlike all others
  would itself give the forget set away. So norms of U are held where those of R were: r_images and r_texts are the mean
  norms |x| of the space parts of the batch's retain samples in the original encoder, one for each modality, since texts
  lie nearer to the root than images. Held at R's norms in the encoder as it is, U and R drift outwards together: on the
  demo mean norms of pictures went from 1.7 to 2.3 that way, and to 3.1 without any (ours: all of this).
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from muc_core.encoders.families.meru import MeruFamily, MeruModel, Points
from muc_core.losses.lorentz import outside
from muc_core.unlearning.method import METHODS, Method, Step, contrastive
from muc_core.unlearning.methods.ac import ACSettings, calibration_terms


class HACSettings(ACSettings):
    """Those of AC, and the strengths of what hyperbolic space adds."""

    entailment: float = Field(
        1.0,
        ge=0,
        le=100,
        description="eps: how strongly each forget picture is moved out of the cone of its own caption; 0: not at all.",
    )
    cone_margin: float = Field(
        0.1,
        ge=0,
        le=3.0,
        description="m: how far outside the cone is far enough, in radians.",
    )
    norms: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="nu: how strongly forget pictures and captions are held as far from the root as others were.",
    )


def entailment_calibration(points: Points, forget: Tensor, margin: float) -> Tensor:
    """`mean over U of max(0, psi(text) + margin - theta(text, image))`, a scalar >= 0.

    Args:
        forget: int64 `[u]`, positions of the forget samples, at least one.
        margin: in radians.
    """
    away = outside(points.texts[forget], points.images[forget], points.curvature)
    return (margin - away).relu().mean()


def norm_regularisation(points: Points, forget: Tensor, usual: Points) -> Tensor:
    """Mean squared difference of the forget samples' norms from the mean norm of others, over both modalities.

    Args:
        forget: int64 `[u]`, positions of the forget samples, at least one.
        usual: the others, which get no gradient.
    """
    norms, others = (
        torch.linalg.vector_norm(torch.stack([each.images, each.texts]), dim=2) for each in (points, usual)
    )
    away: Tensor = norms[:, forget] - others.mean(dim=1, keepdim=True).detach()
    return away.square().mean()


def objective(step: Step[HACSettings]) -> Mapping[str, Tensor]:
    """The terms of the module's formula by name; a batch without forget samples is plain training."""
    HAC.check_family(step.family.name)
    assert isinstance(step.family, MeruFamily)
    assert isinstance(step.model, MeruModel)
    if len(step.batch.forget) == 0:
        return contrastive(step)
    assert isinstance(step.original, MeruModel)  # the method asks the engine for it
    batch, settings = step.batch, step.settings
    points = step.family.points(step.model, batch)
    with torch.no_grad():
        usual = step.family.points(step.original, batch.only(batch.retain))
    return {
        **calibration_terms(points.contrasts(), step),
        "entailment": settings.entailment * entailment_calibration(points, batch.forget, settings.cone_margin),
        "norms": settings.norms * norm_regularisation(points, batch.forget, usual),
    }


HAC = Method(
    name="hac",
    title="Hyperbolic Alignment Calibration",
    summary="Loosen each forget picture from its caption and its caption's cone, in hyperbolic space (MERU).",
    settings=HACSettings,
    uses="both",
    objective=objective,
    fewest_forget=2,
    partners=True,
    original=True,
    families=("meru",),
)
METHODS.register("hac", HAC)
