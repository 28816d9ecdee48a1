"""The calibrated black-box audit: vectors of the owner's items and of controls in, one `AuditResult` out.

Every item gets a margin (DESIGN section 5) and with it a place among the controls of the same encoder, as a normal
score (`stats.ranks`); if asked, what an item's traits lead one to expect is taken off before (`adjustment`). An encoder
that shrinks, shifts or collapses all similarities cannot look forgetful that way, nor can a skewed spread pass for an
effect. Items are resampled, never matrix cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import false_discovery_control, norm, rankdata

from muc_core.audit.adjustment import adjust
from muc_core.audit.alignment import chunks
from muc_core.audit.detectability import detectability
from muc_core.audit.membership import membership
from muc_core.audit.result import AuditResult, Check, Collateral, Finding, Interval, Item, ItemVerdict, Mode
from muc_core.audit.vectors import ImageTextVectors, Vectors, check_vectors
from muc_core.audit.verdict import p_in_words, set_verdict
from muc_core.errors import MucError
from muc_core.stats.ranks import Float64, conformal_p, normal_scores
from muc_core.stats.two_samples import Alternative, equivalence_p, permute, welch

FEWEST_ITEMS = 5
FEWEST_CONTROLS = 20
LARGEST_DELTA = 0.5
_SAME = 1 - 1e-6
_NEARLY_THE_SAME = 0.999
_COLLAPSED = 0.99
_CELLS = 2**24
"""Similarities of owner's pictures with controls that are looked at together."""


class AuditSettings(BaseModel):
    """What the tests are made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(0.05, gt=0, le=0.2, description="Rate of false alarms of each test.")
    permutations: int = Field(10_000, ge=99, le=1_000_000, description="Most permutations of items.")
    seed: int = Field(0, ge=0, description="Of the permutations.")
    adjusted: bool = Field(
        False,
        description="Whether scores are compared with what an item's traits lead to expect; did not pay on the demo.",
    )


@dataclass(frozen=True, eq=False)
class _Encoder:
    """One encoder's scores, split into owner's items and controls."""

    owner_margin: Float64
    control_margin: Float64
    owner: Float64
    controls: Float64
    owner_standing: Float64
    control_standing: Float64
    explained: float

    @property
    def difference(self) -> float:
        return float(self.owner_margin.mean() - self.control_margin.mean())

    @property
    def pooled(self) -> tuple[Float64, Float64]:
        """Normal scores by rank among all items together, for permuting them."""
        both = np.concatenate([self.owner, self.controls])
        scores = norm.ppf((rankdata(both) - 0.5) / len(both))
        return scores[: len(self.owner)], scores[len(self.owner) :]


def audit(
    after: Vectors,
    *,
    owner_ids: Sequence[str],
    control_ids: Sequence[str],
    before: Vectors | None = None,
    retrained: Vectors | None = None,
    checks: Sequence[Check] = (),
    collateral: Collateral | None = None,
    settings: AuditSettings | None = None,
    warnings: Sequence[str] = (),
) -> AuditResult:
    """Audit an encoder after unlearning, and if possible the one before it.

    Args:
        after, before, retrained: vectors of the owner's items and then the controls, in the order of the ids.
        owner_ids, control_ids: of the items.
        checks: control guard and honesty probes made beforehand; a failed one caps the verdict.
        collateral: what became of others, to be passed on; see `audit.collateral`.
        warnings: to be passed on.

    Raises:
        MucError: too few items or controls, overlapping ones, vectors that are not finite or of different kinds, or
            scores that are all equal; says what would be accepted.
    """
    settings = settings or AuditSettings()
    ids = [*owner_ids, *control_ids]
    n = len(owner_ids)
    check_counts(owner_ids, control_ids)
    asked = {"the encoder before": before, "the encoder after": after, "the retrained encoder": retrained}
    given = {name: vectors for name, vectors in asked.items() if vectors is not None}
    for name, vectors in given.items():
        check_vectors(vectors, ids, name)
        vectors.release()
    for other in (before, retrained):
        if other is not None:
            _check_alike(other, after)
    encoders = {name: _encoder(name, vectors, ids, n, settings) for name, vectors in given.items()}
    later, earlier = encoders["the encoder after"], encoders.get("the encoder before")
    findings = _findings(later, earlier, settings)
    delta = LARGEST_DELTA
    if earlier is not None:
        delta = min(max(findings["memory before"].effect.value, 0.0) / 4, LARGEST_DELTA)
    if "the retrained encoder" in encoders:
        findings["retrained"] = _shift(
            "Where do they stand in the encoder that was retrained without them?",
            encoders["the retrained encoder"],
            "two-sided",
            settings,
            yes="Retrained without them, the encoder still sets these pictures apart from the controls: the two differ "
            "for other reasons than memory",
            no="Retrained without them, the encoder does not set these pictures apart from the controls",
        )
    findings["like never-seen"] = _equivalence(later, delta, settings)
    could_see = detectability(
        n,
        len(control_ids),
        before=None if earlier is None else earlier.owner_standing,
        least=LARGEST_DELTA,
        alpha=settings.alpha,
    )
    items = _items(owner_ids, later, earlier, settings.alpha)
    verdict, rule = set_verdict(findings, items, could_see, checks, delta=delta, alpha=settings.alpha)
    notes = [*warnings, *_overlap(after, owner_ids, control_ids)]
    if earlier is None:
        notes.append(
            "Without the encoder before, it is not known whether there was anything to forget, and an encoder that "
            "only answers otherwise for pictures like these cannot be told from one that forgot them."
        )
    return AuditResult(
        verdict=verdict,
        rule=rule,
        mode=_mode(after),
        n_items=n,
        n_controls=len(control_ids),
        views=len(after.views),
        alpha=settings.alpha,
        delta=delta,
        seed=settings.seed,
        permutations=settings.permutations,
        findings=findings,
        items=items,
        detectability=could_see,
        membership={
            _short(name): membership(encoder.owner_margin, encoder.control_margin, given[name])
            for name, encoder in encoders.items()
        },
        explained={_short(name): encoder.explained for name, encoder in encoders.items()},
        checks=tuple(checks),
        collateral=collateral,
        warnings=tuple(notes),
    )


def _short(name: str) -> str:
    return name.removeprefix("the ").removeprefix("encoder ").removesuffix(" encoder")


def _mode(vectors: Vectors) -> Mode:
    return "image-text" if isinstance(vectors, ImageTextVectors) else "two-view"


def check_counts(owner_ids: Sequence[str], control_ids: Sequence[str]) -> None:
    """Whether there are enough of both for an audit, before anything is embedded. Raises `MucError` when not."""
    if len(owner_ids) < FEWEST_ITEMS:
        raise MucError(
            f"there are {len(owner_ids)} pictures to audit; at least {FEWEST_ITEMS} are needed, because chance decides "
            "over fewer"
        )
    if len(control_ids) < FEWEST_CONTROLS:
        raise MucError(
            f"there are {len(control_ids)} controls; at least {FEWEST_CONTROLS} are needed, because with m "
            "controls no p is smaller than 1 / (m + 1)"
        )
    if both := sorted(set(owner_ids) & set(control_ids)):
        raise MucError(f"{both[0]!r} is both one of the owner's items and a control; take it out of the controls")


def _check_alike(before: Vectors, after: Vectors) -> None:
    if type(before) is not type(after):
        raise MucError("one encoder gave captions' vectors and the other none; compare both with views of pictures")
    if before.dimension != after.dimension:
        raise MucError(
            f"the encoders give {before.dimension} and {after.dimension} numbers a picture; unlearning and retraining "
            "do not change that, so these are different models: audit the one after alone"
        )


def _overlap(vectors: Vectors, owner_ids: Sequence[str], control_ids: Sequence[str]) -> tuple[str, ...]:
    """Controls that look like the owner's pictures to the encoder: the same one is refused, a similar one told."""
    n, m = len(owner_ids), len(control_ids)
    most, i, j, alike, close = -np.inf, 0, 0, 0, 0
    owner = vectors.directions(slice(0, n))
    for rows in chunks(n + m, max(1, _CELLS // n), start=n):
        similar = owner @ vectors.directions(rows).T
        alike += int((similar > _COLLAPSED).sum())
        close += int((similar.max(axis=0) > _NEARLY_THE_SAME).sum())
        row, column = divmod(int(similar.argmax()), similar.shape[1])
        if similar[row, column] > most:
            most, i, j = float(similar[row, column]), row, rows.start - n + column
    if alike > n * m / 2:  # a collapsed encoder finds everything alike; that is no overlap
        return ()
    if most > _SAME:
        raise MucError(
            f"the control {control_ids[j]!r} is the same picture as {owner_ids[i]!r} to the encoder; controls must not "
            "hold the owner's pictures: take it out"
        )
    if close:
        return (
            f"{close:,} of the controls {'is' if close == 1 else 'are'} nearly the same as one of the owner's pictures "
            f"to the encoder (nearest: {control_ids[j]!r}); if they are copies of hers, the audit is "
            "too mild with her pictures.",
        )
    return ()


def _encoder(name: str, vectors: Vectors, ids: Sequence[str], n: int, settings: AuditSettings) -> _Encoder:
    margin = vectors.scores(ids).margin
    vectors.release()
    if np.ptp(margin) < 1e-9:
        raise MucError(f"{name} finds all items equally alike (all scores are {margin[0]:.4f}); it cannot be audited")
    if np.ptp(margin[n:]) < 1e-9:
        raise MucError(f"{name} finds all controls equally alike; nothing can be compared with them")
    owner, controls, explained = margin[:n], margin[n:], 0.0
    if settings.adjusted:
        traits = vectors.traits(settings.seed)
        left = adjust(owner, controls, traits[:n], traits[n:])
        owner, controls, explained = left.owner, left.controls, left.explained
    owner_standing, control_standing = normal_scores(owner, controls)
    return _Encoder(margin[:n], margin[n:], owner, controls, owner_standing, control_standing, explained)


def _findings(later: _Encoder, earlier: _Encoder | None, settings: AuditSettings) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    if earlier is not None:
        found["memory before"] = _shift(
            "Did the encoder before treat these pictures as ones it knew?",
            earlier,
            "greater",
            settings,
            yes="Before, the encoder stood out in knowing these pictures",
            no="Before, no sign was found that the encoder knew these pictures better than others",
        )
        owner, controls = (
            earlier.owner_standing - later.owner_standing,
            earlier.control_standing - later.control_standing,
        )
        test = permute(owner, controls, alternative="greater", permutations=settings.permutations, seed=settings.seed)
        gap = welch(owner, controls)
        more = test.p < settings.alpha
        found["change"] = Finding(
            question="Did these pictures change more than the controls?",
            difference=earlier.difference - later.difference,
            effect=Interval(value=gap.mean, low=gap.low, high=gap.high),
            p=test.p,
            test=_named(test.permutations, exact=test.exact),
            meaning=f"Between the two encoders these pictures lost {'more' if more else 'no more'} ground than the "
            f"controls{'' if more else ', as far as can be seen'} ({gap.mean:.2f} in units of the controls' spread, "
            f"{p_in_words(test.p)}).",
        )
    found["trace"] = _shift(
        "Is a trace left in the encoder after?",
        later,
        "greater",
        settings,
        yes="After, these pictures still stand above ones the encoder has never seen",
        no="After, these pictures do not stand above ones the encoder has never seen, as far as can be seen",
    )
    found["below never-seen"] = _shift(
        "Were they pushed below never-seen pictures?",
        later,
        "less",
        settings,
        yes="After, these pictures stand below ones the encoder has never seen",
        no="After, these pictures do not stand below ones the encoder has never seen, as far as can be seen",
    )
    return found


def _shift(
    question: str, encoder: _Encoder, alternative: Alternative, settings: AuditSettings, *, yes: str, no: str
) -> Finding:
    owner, controls = encoder.pooled
    test = permute(owner, controls, alternative=alternative, permutations=settings.permutations, seed=settings.seed)
    gap = welch(encoder.owner_standing, encoder.control_standing)
    said = yes if test.p < settings.alpha else no
    return Finding(
        question=question,
        difference=encoder.difference,
        effect=Interval(value=gap.mean, low=gap.low, high=gap.high),
        p=test.p,
        test=_named(test.permutations, exact=test.exact),
        meaning=f"{said} ({gap.mean:.2f} in units of the controls' spread, {p_in_words(test.p)}).",
    )


def _equivalence(later: _Encoder, delta: float, settings: AuditSettings) -> Finding:
    gap = welch(later.owner_standing, later.control_standing)
    p = 1.0
    if delta > 0:
        p = equivalence_p(later.owner_standing, later.control_standing, bound=delta)
    like = p < settings.alpha
    return Finding(
        question="Are they like never-seen pictures?",
        difference=later.difference,
        effect=Interval(value=gap.mean, low=gap.low, high=gap.high),
        p=p,
        test=f"two one-sided Welch tests within ±{delta:.2f}",
        meaning=f"After, these pictures {'are' if like else 'could not be shown to be'} within {delta:.2f} of "
        f"never-seen ones, in units of the controls' spread ({p_in_words(p)}).",
    )


def _items(ids: Sequence[str], later: _Encoder, earlier: _Encoder | None, alpha: float) -> tuple[Item, ...]:
    p = conformal_p(later.owner, later.controls)
    q = false_discovery_control(p)
    q_below = false_discovery_control(conformal_p(-later.owner, -later.controls))
    items = []
    for place, item_id in enumerate(ids):
        verdict: ItemVerdict = "no trace found"
        if q[place] < alpha:
            verdict = "trace found"
        elif q_below[place] < alpha:
            verdict = "below never-seen"
        items.append(
            Item(
                id=item_id,
                before=None if earlier is None else float(earlier.owner_margin[place]),
                after=float(later.owner_margin[place]),
                standing_before=None if earlier is None else float(earlier.owner_standing[place]),
                standing_after=float(later.owner_standing[place]),
                p=float(p[place]),
                q=float(q[place]),
                q_below=float(q_below[place]),
                verdict=verdict,
            )
        )
    order: dict[ItemVerdict, int] = {"trace found": 0, "below never-seen": 1, "no trace found": 2}
    return tuple(sorted(items, key=lambda item: (order[item.verdict], -item.standing_after, item.id)))


def _named(permutations: int, *, exact: bool) -> str:
    return f"permutation of items, {'all ' if exact else ''}{permutations:,}"
