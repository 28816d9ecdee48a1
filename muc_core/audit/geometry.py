"""Are two encoders the same but for a rotation?

A rotation of all vectors changes no similarity within a tower, so that it forgets nothing; but it makes vectors of two
encoders incomparable, and a rotation of one tower alone makes all pictures and captions strangers. Orthogonal
Procrustes (Schönemann 1966; `scipy.linalg.orthogonal_procrustes`) turns one encoder's vectors onto the other's; linear
CKA (Kornblith et al., arXiv 1905.00414) compares what no rotation changes. Both look at controls, which nobody
unlearned.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import orthogonal_procrustes

from muc_core.audit.result import Check
from muc_core.stats.cka import linear_cka
from muc_core.stats.ranks import Float64

UNCHANGED = "The same encoder"
ROTATED = "Rotated encoder"

SAME = 0.005
"""Share of the typical distance between two items below which an item's vector has not moved: rounding to half
precision stays below, and weights that changed enough to forget something do not."""

TURNED = 0.3
"""An encoder counts as rotated when turning it back leaves less than this share of what it would leave of a random
change of the same size. With few controls in many dimensions turning undoes most of any change, so that only such a
comparison tells a rotation."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two encoders' vectors of the same items, compared.

    Attributes:
        rotation: `[d, d]`, orthogonal; `unit(first) @ rotation` is as near to `unit(second)` as any rotation brings it.
        moved: `[m]` distance between an item's two unit vectors, as a share of the typical distance between two items.
        turned: `[m]` the same after the rotation.
        by_chance: the median of `turned`, had a random change moved each item as far.
        cka: linear CKA, in [0, 1]: 1 = the same geometry.
    """

    rotation: Float64
    moved: Float64
    turned: Float64
    by_chance: float
    cka: float

    @property
    def unchanged(self) -> bool:
        return float(np.median(self.moved)) < SAME

    @property
    def rotated(self) -> bool:
        """Whether what moved is no more than a rotation."""
        return float(np.median(self.moved)) >= SAME and float(np.median(self.turned)) < TURNED * self.by_chance


def align(first: npt.ArrayLike, second: npt.ArrayLike) -> Alignment:
    """Turn the first encoder's vectors of some items onto the second's.

    Args:
        first, second: `[m, d]`, the same items in the same order, m >= 2, no vector of zeros.
    """
    a, b = unit(first), unit(second)
    rotation, _ = orthogonal_procrustes(a, b)
    typical = _typical_distance(b)
    moved = np.linalg.norm(a - b, axis=1)
    return Alignment(
        rotation=rotation,
        moved=moved / typical,
        turned=np.linalg.norm(a @ rotation - b, axis=1) / typical,
        by_chance=_left_of_a_random_change(a, moved) / typical,
        cka=linear_cka(a, b),
    )


def _left_of_a_random_change(vectors: Float64, moved: Float64) -> float:
    """Median distance that turning leaves when each unit vector goes its own way, `moved` far on the sphere."""
    step = np.random.default_rng(0).normal(size=vectors.shape)
    step = unit(step - np.einsum("ij,ij->i", step, vectors)[:, None] * vectors)
    angle = 2 * np.arcsin(np.clip(moved / 2, 0, 1))[:, None]
    gone = np.cos(angle) * vectors + np.sin(angle) * step
    rotation, _ = orthogonal_procrustes(vectors, gone)
    return float(np.median(np.linalg.norm(vectors @ rotation - gone, axis=1)))


def compare_encoders(towers: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]]) -> tuple[Check, ...]:
    """Whether the encoder after is the one before, unchanged or rotated.

    Args:
        towers: by "picture" and, if there are captions, "caption": vectors of the **controls** before and after, both
            `[m, d]`.

    Returns:
        Two checks, `UNCHANGED` and `ROTATED`.
    """
    found = {name: align(before, after) for name, (before, after) in towers.items()}
    same = all(alignment.unchanged for alignment in found.values())
    moved = ", ".join(f"{name}s {np.median(alignment.moved):.1%}" for name, alignment in found.items())
    turned = [name for name, alignment in found.items() if alignment.rotated]
    left = ", ".join(
        f"{name}s {np.median(alignment.turned):.1%} (CKA {alignment.cka:.2f})" for name, alignment in found.items()
    )
    both = len(turned) == len(found)
    which = "The encoder after is" if both else f"The part of the encoder after that reads {' and '.join(turned)}s is"
    return (
        Check(
            name=UNCHANGED,
            passed=not same,
            value=f"typical change of the controls' vectors: {moved} of the distance between two items",
            meaning=(
                "The encoder after answers exactly like the one before, to the controls at least: nothing in it was "
                "unlearned, and if your pictures are answered differently, something in front of it picks them out."
                if same
                else "The encoder after is not the one before: its answers to the controls changed, too."
            ),
        ),
        Check(
            name=ROTATED,
            passed=not turned,
            value=f"what remains of that change after turning: {left}",
            meaning=(
                f"{which} the one before with all its directions turned: it knows what it knew, and only comparing it "
                "with other vectors makes it look different."
                if turned
                else "The change between the encoders is more than a turn of all directions."
            ),
        ),
    )


def not_compared(why: str) -> tuple[Check, ...]:
    """The checks of `compare_encoders` where they cannot be made."""
    meaning = "Whether the encoder after is the one before, as it was or rotated, could not be asked."
    return tuple(Check(name=name, passed=None, value=why, meaning=meaning) for name in (UNCHANGED, ROTATED))


def unit(vectors: npt.ArrayLike) -> Float64:
    """Vectors `[m, d]` scaled to length 1."""
    values = np.asarray(vectors, dtype=np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-30))


def _typical_distance(vectors: Float64) -> float:
    """Median distance between two of the unit vectors `[m, d]`; 1 where all are equal."""
    rows, columns = np.triu_indices(len(vectors), k=1)
    squared = np.maximum(2 - 2 * (vectors @ vectors.T)[rows, columns], 0)
    return float(np.sqrt(np.median(squared))) or 1.0
