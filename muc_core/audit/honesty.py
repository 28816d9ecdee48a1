"""Probes for a provider who hides what the encoder knows instead of unlearning it.

Each compares the owner's items with controls under the assumption that both are treated alike, so that its false alarms
have a known rate. An accusation is grave: each probe makes at most one false one in a hundred audits (`ALPHA`), and
only of an effect that matters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import betabinom, hypergeom, norm, rankdata, ttest_1samp

from muc_core.audit.geometry import unit
from muc_core.audit.result import Check
from muc_core.audit.summary import summarise
from muc_core.audit.vectors import ImageTextVectors, Vectors
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.ranks import Float64, normal_scores
from muc_core.stats.two_samples import equivalence_p, permute

NEAR_DUPLICATES = "Changed copies"
NOISE = "Noise instead of answers"
IDENTICAL = "One answer for many pictures"
STEADY = "The same encoder throughout"
USEFUL = "Still an encoder"
SINGLED_OUT = "Not singled out"

ALPHA = 0.01
EQUIVALENCE_ALPHA = 0.05
MATERIAL = 0.25
"""Rise of changed copies, in units of the controls' spread, below which nothing is said."""

QUANTILES = (0.01, 0.05, 0.1, 0.25)
"""An item is detached when it is further from the nearest control than all but this share of the controls are. The
smallest sees a few odd answers among many, the largest sees many where some controls have no neighbours either."""

NEAR = 0.6
"""A detached item must also be far in itself: with its nearest control it has less than this share of the similarity
that a control usually has with its own, counted from the typical similarity of any two."""

TIMES = 5.0
"""Odds of being detached, as a multiple of the controls' odds, below which nothing is said: the pictures of one person
may well be a little more apart than those of many."""

MOST_OWNED, MOST_CONTROLS = 200, 400
"""Items that are looked at, at most; of more, so many are drawn at random."""

LIKE_OTHERS = 0.5
"""Bound of equivalence, in units of the controls' spread, within which nothing is said of how near pictures are to the
others: the loosest that an audit has for margins."""

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
    found = rises(kinds, owner, seed=seed, permutations=permutations)
    caught = [rise for rise in found if rise.p < alpha and rise.size > MATERIAL]
    worst = max(caught or found, key=lambda rise: (-rise.p, rise.size))
    return Check(
        name=NEAR_DUPLICATES,
        passed=not caught,
        value=f"largest rise: {worst.kind}, {worst.size:+.2f} of the controls' spread, {_p(worst.p)}",
        meaning=(
            f"The encoder knows changed copies of your pictures ({worst.kind}) better than the pictures themselves, "
            "which is not so for the controls: your exact pictures or captions seem to be picked out and answered "
            "differently, not forgotten."
            if caught
            else "Slightly changed copies of your pictures are treated like the pictures themselves, as the controls' "
            "are."
        ),
    )


def not_probed(why: str) -> tuple[Check, ...]:
    """The probes that must not be missed where an encoder is called forgetful, not made.

    Args:
        why: in words that fit the column of what was measured.
    """
    return tuple(
        Check(name=name, passed=None, value=why, meaning=meaning)
        for name, meaning in (
            (NEAR_DUPLICATES, "Whether changed copies of your pictures are answered differently was not asked."),
            (STEADY, "Whether the encoder gives the same answers again, in other company, was not asked."),
        )
    )


@dataclass(frozen=True)
class Rise:
    """How much better the owner's copies of one kind are known than their originals, beyond what controls' are.

    Attributes:
        size: in units of the controls' spread.
        p: one-sided, adjusted for the number of kinds.
    """

    kind: str
    size: float
    p: float


def rises(kinds: Mapping[str, Copies], owner: int, *, seed: int, permutations: int = 1999) -> tuple[Rise, ...]:
    """The difference in differences for each kind; arguments as in `near_duplicates`."""
    changes = np.stack([_pooled_scores(kind.copy) - _pooled_scores(kind.original) for kind in kinds.values()])
    mine = np.arange(changes.shape[1]) < owner
    labels = np.random.default_rng(seed).permuted(np.tile(mine, (permutations, 1)), axis=1)
    observed = _standardised_rise(changes, mine[None])[0]
    largest = _standardised_rise(changes, labels).max(axis=1)
    # rounding must not make a permutation that ties with what was observed count as smaller
    p = (1 + (largest[:, None] >= observed - 1e-9).sum(axis=0)) / (permutations + 1)
    return tuple(
        Rise(name, _size(kind, owner), float(value)) for (name, kind), value in zip(kinds.items(), p, strict=True)
    )


def noise_filter(
    towers: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], *, alpha: float = ALPHA
) -> tuple[Check, Check]:
    """Whether the owner's answers are noise, or one answer for many.

    An honest answer has neighbours (`detached`), and is not another picture's too (`twins`).

    Args:
        towers: by "picture" and, if there are captions, "caption": vectors of the owner's `[n, d]` and of the controls
            `[m, d]`, of different pictures and different captions.
    """
    alone = {name: detached(owner, controls) for name, (owner, controls) in towers.items()}
    shared = {name: twins(owner, controls) for name, (owner, controls) in towers.items()}
    return (
        _worst(
            NOISE,
            alone,
            alpha,
            found="have no neighbours",
            bad="of your {what}s get answers that resemble those to no other: noise, it seems, in place of what the "
            "encoder makes of them.",
            good="Your pictures get answers that have neighbours, as the controls' do.",
        ),
        _worst(
            IDENTICAL,
            shared,
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


def singled_out(
    after: Vectors, before: Vectors | None, ids: Sequence[str], owner: int, *, seed: int, permutations: int = 1999
) -> Check:
    """Whether the owner's items are as near to all others as controls are; in the margin, own less others, it cancels.

    Calibrating negatives, as AC does with alpha, draws forgotten items near to everything: their margins may then be
    like those of never-seen items while anybody can tell them apart. It fails when they stand apart significantly and
    could not be shown to lie within `LIKE_OTHERS`, and, with the encoder before, when that has come about since:
    pictures may be unlike the controls for what they show.

    Args:
        after, before: vectors of the items with these ids, the owner's first.
        owner: how many are the owner's.
        seed: of the permutations, two-sided, of items.
    """
    nearness = []
    for vectors in (after, before):
        if vectors is not None:
            scores = vectors.scores(ids)
            nearness.append(scores.positive - scores.margin)
            vectors.release()
    if any(np.ptp(values[owner:]) < 1e-9 for values in nearness):
        apart, p, fails = 0.0, 1.0, False
    else:
        standings = [np.concatenate(normal_scores(values[:owner], values[owner:])) for values in nearness]
        asked = [standings[0], *([standings[0] - standings[1]] if before is not None else [])]
        pairs = [(values[:owner], values[owner:]) for values in asked]
        apart = float(pairs[0][0].mean() - pairs[0][1].mean())
        p = max(permute(*pair, alternative="two-sided", permutations=permutations, seed=seed).p for pair in pairs)
        fails = p < ALPHA and all(equivalence_p(*pair, bound=LIKE_OTHERS) >= EQUIVALENCE_ALPHA for pair in pairs)
    others = "other pictures' captions" if isinstance(after, ImageTextVectors) else "other pictures"
    where = "nearer to" if apart > 0 else "farther from"
    return Check(
        name=SINGLED_OUT,
        passed=not fails,
        value=f"similarity with {others}: {apart:+.2f} of the controls' spread, {_p(p)}",
        meaning=(
            f"The encoder puts your pictures {where} {others} than never-seen ones, by {abs(apart):.2f} of the "
            f"controls' spread ({_p(p)}). In the margin, own similarity less that with others, this cancels, but "
            "anybody can tell your pictures by it: they were singled out, not forgotten."
            if fails
            else f"Your pictures are as near to {others} as never-seen ones are."
        ),
    )


@dataclass(frozen=True)
class Count:
    """How many of the owner's items stand out, of how many, and how likely that is for items like the controls."""

    found: int
    of: int
    p: float


def detached(owner: npt.ArrayLike, controls: npt.ArrayLike) -> Count:
    """The owner's items whose nearest control is far away, further than those of all but a share of the controls.

    How many of the latter there are by chance follows a beta-binomial distribution, as the threshold is one of the
    controls' own values; that gives an exact p for each of `QUANTILES`, an upper bound where `NEAR` lowers the
    threshold. Returned is the smallest, after Bonferroni; 1 where the odds are not `TIMES` those of the controls.

    Args:
        owner, controls: vectors `[n, d]` and `[m, d]`, m >= 2.
    """
    owner, controls = unit(owner), unit(controls)
    n, m = len(owner), len(controls)
    among = controls @ controls.T
    typical = float(np.median(among[np.triu_indices(m, k=1)]))
    np.fill_diagonal(among, -np.inf)
    nearest = np.sort(among.max(axis=1))
    far = typical + NEAR * (float(np.median(nearest)) - typical)
    mine = (owner @ controls.T).max(axis=1)
    counts = []
    for place in sorted({max(1, int(share * m)) for share in QUANTILES}):
        found = int((mine < min(nearest[place - 1], far) - 1e-9).sum())
        # below the j-th smallest of m exchangeable values is an owner's item with a chance that is Beta(j, m + 1 - j)
        p = float(betabinom.sf(found - 1, n, place, m + 1 - place))
        material = found * (m + 1 - place) >= TIMES * place * (n - found)
        counts.append(Count(found, n, min(1.0, len(QUANTILES) * p) if material else 1.0))
    return min(counts, key=lambda count: count.p)


def twins(owner: npt.ArrayLike, controls: npt.ArrayLike) -> Count:
    """The owner's items whose vector is also another item's; p by Fisher's exact test against the controls, one-sided.

    Args:
        owner, controls: vectors `[n, d]` and `[m, d]` of items that differ.
    """
    first, second = unit(owner), unit(controls)
    vectors = np.concatenate([first, second])
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    has_twin = similar.max(axis=1) > EQUAL
    n, found = len(first), int(has_twin[: len(first)].sum())
    return Count(found, n, float(hypergeom.sf(found - 1, len(vectors), int(has_twin.sum()), n)))


def _worst(name: str, counts: Mapping[str, Count], alpha: float, *, found: str, bad: str, good: str) -> Check:
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


def margins(left: npt.ArrayLike, right: npt.ArrayLike, *, similarity: Similarity = COSINE) -> Float64:
    """Similarity of each item's two vectors, less the mean with those of all other items, `[n]` (DESIGN section 5).

    Args:
        left, right: `[n, d]`, n >= 2, such as pictures and captions, or pictures and copies.
        similarity: by which the encoder's vectors are compared.
    """
    if similarity != COSINE:
        return summarise(left, right, similarity=similarity)[1].margin
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


def _size(kind: Copies, owner: int) -> float:
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
