"""Where a hyperbolic encoder puts pictures and captions: how far from the root, and whether in each other's cones.

In MERU (arXiv 2304.09172) the root is the most general of all, captions lie nearer to it than their pictures, and a
caption's cone is to contain its picture. HAC (arXiv 2503.15166) is said to rearrange this where AC only cuts pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from muc_core.errors import MucError
from muc_core.evaluation.metrics import Metric, declare
from muc_core.evaluation.retrieval import PARTS
from muc_core.losses.lorentz import outside, pairwise_distance
from muc_core.similarity import Similarity
from muc_core.stats.ranks import Float64

FIGURES = {
    "root_images": ("picture's distance from the root", "How far {} pictures lie from the root of hyperbolic space."),
    "root_texts": ("caption's distance from the root", "How far captions of {} pictures lie from the root."),
    "outside": (
        "angle outside the caption's cone",
        "How far outside their captions' cones {} pictures lie, degrees.",
    ),
}

for _name, (_title, _meaning) in FIGURES.items():
    for _part, _word in PARTS.items():
        declare(
            Metric(
                f"{_name}_{_part}",
                f"{_title}, {_word}",
                "like Retrain",
                None,
                None,
                None,
                "similarity",
                _meaning.format(_word),
            )
        )


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """One number for each pair of a picture and its caption, `[n]` each.

    Attributes:
        root_images, root_texts: distance from the root, >= 0.
        outside: angle between the caption's cone and its picture, in degrees; below 0 the picture is inside.
    """

    root_images: Float64
    root_texts: Float64
    outside: Float64

    @property
    def means(self) -> dict[str, float]:
        return {name: float(getattr(self, name).mean()) for name in FIGURES}


def hierarchy(images: npt.ArrayLike, texts: npt.ArrayLike, similarity: Similarity) -> Hierarchy:
    """Where pictures and their captions lie.

    Args:
        images, texts: space parts `[n, d]`, row by row.
        similarity: of the encoder.

    Raises:
        MucError: vectors that are compared by cosine: they have no root and no cones.
    """
    if similarity.curvature is None:
        raise MucError(
            "the encoder's vectors are compared by cosine and have no root and no cones; choose a hyperbolic encoder "
            "(MERU)"
        )
    c = torch.tensor(similarity.curvature, dtype=torch.float64)
    pictures, captions = (torch.as_tensor(np.asarray(side, dtype=np.float64)) for side in (images, texts))
    root = torch.zeros(1, pictures.shape[1], dtype=torch.float64)
    return Hierarchy(
        pairwise_distance(pictures, root, c).squeeze(1).numpy(),
        pairwise_distance(captions, root, c).squeeze(1).numpy(),
        np.rad2deg(outside(captions, pictures, c).numpy()),
    )
