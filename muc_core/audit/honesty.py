"""Probes for a provider who hides what the encoder knows instead of unlearning it.

Each compares the owner's items with controls under the assumption that both are treated alike, so that its false alarms
have a known rate. An accusation is grave: each probe makes at most one false one in a hundred audits (`ALPHA`), and
only of an effect that matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom, hypergeom, norm, rankdata, ttest_1samp

from muc_core.audit.geometry import unit
from muc_core.audit.result import Check
from muc_core.stats.ranks import Float64, normal_scores

NEAR_DUPLICATES = "Changed copies"
NOISE = "Noise instead of answers"
IDENTICAL = "One answer for many pictures"
STEADY = "The same encoder throughout"
USEFUL = "Still an encoder"

ALPHA = 0.01
MATERIAL = 0.25
"""Rise of changed copies, in units of the controls' spread, below which nothing is said."""

QUANTILE = 0.01
"""An item is detached when it is further from the nearest control than all but this share of the controls are."""

EQUAL = 1 - 1e-6
"""Cosine from which two answers are one; rounding to single precision stays above."""

STEADY_TOLERANCE = 0.02
"""Share of the typical distance between items by which an answer may differ when asked again: half precision and
another size of batch stay below, another encoder does not."""


@dataclass(frozen=True, eq=False)
class Copies:
    """Scores of one kind of changed copies beside those of what they are copies of.

    Attributes:
        original, copy: `[n + m]` owner's items first; high = the encoder knows it well.
    """

    original: Float64
    copy: Float64


def near_duplicates(
    kinds: Mapping[str, Copies], owner: int, *, seed: int, permutations: int = 1999, alpha: float = ALPHA
) -> Check:
    """Whether the owner's pictures are known better when they come as changed copies, beyond what controls are.

    A filter that recognises her pictures (or captions) and answers something else lets changed copies through, which
    then stand higher than the originals. An encoder that remembers fades with change instead, and one that forgot shows
    neither; so only a rise counts. Difference in differences on normal scores by rank; items are permuted, the largest
    difference over all kinds is the statistic (Westfall & Young 1993), so that many kinds cost no false alarms.

    Args:
        kinds: by name, in words that fit "copies that were ...".
        owner: how many of the items are the owner's, the first ones; both groups need at least 2.
    """
    changes = np.stack([_pooled_scores(kind.copy) - _pooled_scores(kind.original) for kind in kinds.values()])
    observed = _standardised_rise(changes, np.arange(changes.shape[1])[None] < owner)[0]
    generator = np.random.default_rng(seed)
    labels = generator.permuted(np.tile(np.arange(changes.shape[1]) < owner, (permutations, 1)), axis=1)
    largest = _standardised_rise(changes, labels).max(axis=1)
    p_of_kind = (1 + (largest[:, None] >= observed - 1e-9).sum(axis=0)) / (permutations + 1)
    rises = {name: _rise(kind, owner) for name, kind in kinds.items()}
    names = list(kinds)
    caught = [name for name, p in zip(names, p_of_kind, strict=True) if p < alpha and rises[name] > MATERIAL]
    worst = max(caught, key=rises.__getitem__) if caught else names[int(observed.argmax())]
    p = float(p_of_kind[names.index(worst)])
    return Check(
        name=NEAR_DUPLICATES,
        passed=not caught,
        value=f"largest rise: {worst}, {rises[worst]:+.2f} of the controls' spread, {_p(p)}",
        meaning=(
            f"The encoder knows changed copies of your pictures ({worst}) better than the pictures themselves, which "
            "is not so for the controls: your exact pictures or captions seem to be picked out and answered "
            "differently, not forgotten."
            if caught
            else "Slightly changed copies of your pictures are treated like the pictures themselves, as the controls' "
            "are."
        ),
    )


def noise_filter(
    towers: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], *, alpha: float = ALPHA
) -> tuple[Check, Check]:
    """Whether the owner's answers are noise, or one answer for many.

    Detached: an honest answer has neighbours. An owner's item counts when its nearest control is further away than that
    of all but `QUANTILE` of the controls. How many count by chance follows a beta-binomial distribution (the threshold
    is one of the controls' own values), which gives an exact p. One for many: items whose answer is also another
    item's; owner's against controls by Fisher's exact test, one-sided.

    Args:
        towers: by "picture" and, if there are captions, "caption": vectors of the owner's `[n, d]` and of the controls
            `[m, d]`, of different pictures and different captions.
    """
    counted = {name: _detached(unit(owner), unit(controls)) for name, (owner, controls) in towers.items()}
    twins = {name: _twins(unit(owner), unit(controls)) for name, (owner, controls) in towers.items()}
    return (
        _worst(
            NOISE,
            counted,
            alpha,
            found="have no neighbours",
            bad="of your {what}s get answers that resemble those to no other: noise, it seems, in place of what the "
            "encoder makes of them.",
            good="Your pictures get answers that have neighbours, as the controls' do.",
        ),
        _worst(
            IDENTICAL,
            twins,
            alpha,
            found="share their answer with another",
            bad="of your {what}s get the very same answer as another one, which the controls do not: a fixed answer, "
            "it seems, in place of what the encoder makes of them.",
            good="Different pictures of yours get different answers, as the controls do.",
        ),
    )


def steady(first: Mapping[str, npt.ArrayLike], again: Mapping[str, npt.ArrayLike]) -> Check:
    """Whether the encoder answers the same when asked again, later and in other company.

    Args:
        first, again: by "picture" and "caption": vectors `[k, d]` of the same items in the same order, asked twice.
    """
    moved = {}
    for name, vectors in first.items():
        a, b = unit(vectors), unit(again[name])
        moved[name] = np.linalg.norm(a - b, axis=1) / _typical(a)
    name = max(moved, key=lambda key: float(moved[key].max()))
    differ = sum(int((distance > STEADY_TOLERANCE).sum()) for distance in moved.values())
    total = sum(len(distance) for distance in moved.values())
    return Check(
        name=STEADY,
        passed=differ == 0,
        value=f"{differ:,} of {total:,} answers differed; largest difference {moved[name].max():.1%} of the distance "
        "between two items",
        meaning=(
            f"Asked again, later and in another order, the encoder answered {differ:,} of {total:,} questions "
            "differently: another encoder may have answered, or the answers depend on what else is asked."
            if differ
            else "Asked again, later and in another order, the encoder gave the same answers."
        ),
    )


def useful(after: Float64, before: Float64 | None = None, *, alpha: float = ALPHA) -> Check:
    """Whether the encoder can still do its work on the controls: match them with their own partners.

    An encoder that knows nothing any more has no trace of anything either; that is damage, not forgetting. It fails
    when the controls' margins after are not above 0, or when more than half of the effect before is gone.

    Args:
        after, before: `[m]` margins of the controls (own partner less all others), m >= 2.
    """
    effect, p = _effect(after)
    lost = 0.0
    if before is not None and (earlier := _effect(before)[0]) > 0:
        lost = 1 - max(effect, 0.0) / earlier
    fails = p >= alpha or lost > 0.5
    return Check(
        name=USEFUL,
        passed=not fails,
        value=f"controls matched with their own partners by {effect:.2f} of their spread, {_p(p)}"
        + (f"; change from before: {-lost:+.0%}" if before is not None else ""),
        meaning=(
            "The encoder after can hardly tell any pictures apart, the controls included: it is damaged, and what it "
            "no longer shows of your pictures it no longer shows of any."
            if fails
            else "The encoder after still tells the controls apart."
        ),
    )


@dataclass(frozen=True)
class _Count:
    found: int
    of: int
    p: float


def _detached(owner: Float64, controls: Float64) -> _Count:
    n, m = len(owner), len(controls)
    among = controls @ controls.T
    np.fill_diagonal(among, -np.inf)
    nearest = np.sort(among.max(axis=1))
    place = max(1, int(QUANTILE * m))
    found = int(((owner @ controls.T).max(axis=1) < nearest[place - 1] - 1e-9).sum())
    # an owner's item is below the j-th smallest of m exchangeable values with a chance that is Beta(j, m + 1 - j)
    return _Count(found, n, float(betabinom.sf(found - 1, n, place, m + 1 - place)))


def _twins(owner: Float64, controls: Float64) -> _Count:
    vectors = np.concatenate([owner, controls])
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    has_twin = similar.max(axis=1) > EQUAL
    found = int(has_twin[: len(owner)].sum())
    return _Count(found, len(owner), float(hypergeom.sf(found - 1, len(vectors), int(has_twin.sum()), len(owner))))


def _worst(name: str, counts: Mapping[str, _Count], alpha: float, *, found: str, bad: str, good: str) -> Check:
    what = min(counts, key=lambda key: counts[key].p)
    count = counts[what]
    failed = min(1.0, len(counts) * count.p) < alpha
    return Check(
        name=name,
        passed=not failed,
        value="; ".join(
            f"{value.found:,} of {value.of:,} {key}s {found} ({_p(value.p)})" for key, value in counts.items()
        ),
        meaning=f"{count.found:,} {bad.format(what=what)}" if failed else good,
    )


def margins(left: npt.ArrayLike, right: npt.ArrayLike) -> Float64:
    """Similarity of each item's two vectors, less the mean with those of all other items, `[n]` (DESIGN section 5).

    Args:
        left, right: `[n, d]`, n >= 2, such as pictures and captions, or pictures and copies.
    """
    a, b = unit(left), unit(right)
    own = np.einsum("ij,ij->i", a, b)
    others = a @ b.sum(axis=0) + b @ a.sum(axis=0) - 2 * own
    return np.asarray(own - others / (2 * (len(a) - 1)))


def _pooled_scores(values: Float64) -> Float64:
    scores: Float64 = norm.ppf((rankdata(values) - 0.5) / len(values))
    return scores


def _standardised_rise(changes: Float64, labels: npt.NDArray[np.bool_]) -> Float64:
    """Mean change of the labelled items less that of the others, in units of the changes' spread, `[p, kinds]`."""
    spread = changes.std(axis=1, keepdims=True)
    scaled = (changes - changes.mean(axis=1, keepdims=True)) / np.where(spread > 1e-12, spread, 1.0)
    count = labels.sum(axis=1, keepdims=True)
    total = scaled.shape[1]
    rise: Float64 = (labels @ scaled.T) * total / (count * (total - count))
    return rise


def _rise(kind: Copies, owner: int) -> float:
    copy, original = (normal_scores(values[:owner], values[owner:])[0].mean() for values in (kind.copy, kind.original))
    return float(copy - original)


def _effect(margins: Float64) -> tuple[float, float]:
    spread = margins.std(ddof=1)
    if spread < 1e-12:
        return 0.0, 1.0
    return float(margins.mean() / spread), float(ttest_1samp(margins, 0.0, alternative="greater").pvalue)


def _typical(vectors: Float64) -> float:
    rows, columns = np.triu_indices(len(vectors), k=1)
    return float(np.sqrt(max(np.median(2 - 2 * (vectors @ vectors.T)[rows, columns]), 0.0))) or 1.0


def _p(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)
