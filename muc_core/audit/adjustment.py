"""Scores less what an item's traits lead one to expect, so that easy and hard items can be compared.

The expectation is a ridge regression fitted on the controls alone. A control is compared with a fit that left it out,
as an owner's item is with one that never held it; so both are treated alike, and what is left of them is exchangeable
if they were. What the owner's items have in excess is never fitted; but were their traits themselves changed by memory
or by unlearning, the expectation would take some of it away. So the traits' share is taken only where it differs
between owner and controls by no more than chance allows.
"""

from dataclasses import dataclass

import numpy as np

from muc_core.stats.ranks import Float64
from muc_core.stats.two_samples import welch_p

PENALTIES = tuple(float(penalty) for penalty in np.logspace(-1, 4, 11))
FEWEST = 40
"""With fewer controls nothing is fitted: the fit would add more noise than it takes away."""

IMBALANCE = 0.05
"""p below which the expectations of owner and controls differ by more than chance; the scores then stay as they are."""


@dataclass(frozen=True, eq=False)
class Adjusted:
    """What is left of owner's items `[n]` and controls `[m]`, and the share of the controls' variance explained."""

    owner: Float64
    controls: Float64
    explained: float


def adjust(owner: Float64, controls: Float64, owner_traits: Float64, control_traits: Float64) -> Adjusted:
    """Take the expectation from the scores; where it explains nothing, the scores stay as they are.

    Args:
        owner, controls: scores `[n]` and `[m]`.
        owner_traits, control_traits: `[n, k]` and `[m, k]`.
    """
    centre = controls.mean()
    plain = Adjusted(owner - centre, controls - centre, 0.0)
    middle, spread = control_traits.mean(axis=0), control_traits.std(axis=0)
    varies = spread > 1e-9
    if len(controls) < FEWEST or not varies.any():
        return plain
    known, new = (
        np.column_stack([np.ones(len(traits)), ((traits - middle) / np.where(varies, spread, 1))[:, varies]])
        for traits in (control_traits, owner_traits)
    )
    fits = [_leave_one_out(known, controls, penalty) for penalty in PENALTIES]
    residuals, weights = min(fits, key=lambda fit: float((fit[0] ** 2).sum()))
    if welch_p(new @ weights, controls - residuals) < IMBALANCE:
        return plain
    explained = 1 - float((residuals**2).sum() / ((controls - centre) ** 2).sum())
    if explained <= 0:
        return plain
    return Adjusted(owner - new @ weights, residuals, explained)


def _leave_one_out(known: Float64, scores: Float64, penalty: float) -> tuple[Float64, Float64]:
    """Residual of each row from the fit without it (exact for ridge: residual / (1 - leverage)), and the weights."""
    penalties = np.diag([0.0] + [penalty] * (known.shape[1] - 1))
    inverse = np.linalg.inv(known.T @ known + penalties)
    weights = inverse @ known.T @ scores
    leverage = np.einsum("ij,jk,ik->i", known, inverse, known)
    return (scores - known @ weights) / (1 - leverage), weights
