"""How vectors of an encoder are to be compared: a name, and what the name leaves open."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from pydantic import ConfigDict

from muc_core.errors import MucError

SimilarityName: TypeAlias = Literal["cosine", "lorentz"]


@dataclass(frozen=True)
class Similarity:
    """A similarity of two vectors; high = more alike.

    Attributes:
        name: "cosine", in [-1, 1]; or "lorentz", minus the distance of two points of hyperbolic space, at most 0, of
            which the vectors are the space parts in the Lorentz model (see `muc_core.losses.lorentz`).
        curvature: c of "lorentz", where the curvature is -c; None for "cosine".

    Raises:
        MucError: an unknown name; "lorentz" without a finite curvature above 0, "cosine" with any.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: SimilarityName = "cosine"
    curvature: float | None = None

    def __post_init__(self) -> None:
        if self.name not in get_args(SimilarityName):
            raise MucError(f"there is no similarity {self.name!r}; known: {', '.join(get_args(SimilarityName))}")
        if self.name == "cosine" and self.curvature is not None:
            raise MucError(f"cosine similarity has no curvature, and {self.curvature} was given; leave it out")
        if self.name == "lorentz" and not (self.curvature is not None and 0 < self.curvature < math.inf):
            raise MucError(f"the curvature of the lorentz similarity is {self.curvature}; give a number above 0")


COSINE = Similarity()
