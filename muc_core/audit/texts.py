"""What can be seen of captions alone, without any picture of the owner's: how the text tower treats them.

Two things are measured of the owner's captions and of control captions, which nobody trained on:

- how near a caption stands to the nearest of a pool of public pictures, less how near it stands to them on average:
  captions that an encoder was trained on stand nearer;
- how far it moved among all captions between two encoders: one less the correlation of its similarities to all other
  captions before and after, which no turn or scale of the vectors changes.

Both are compared with the controls by permutation of captions, on normal scores by rank, as in `audit.audit`; items of
both groups enter a score in the same way, so that captions like the controls give false alarms at the nominal rate.

There is no verdict. The memory of a picture is in its pairing with its caption, and the captions' side of it is a faint
shadow (docs/text-audit.md): what is seen here is true of the text tower, and what is not seen may still be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from scipy.stats import norm, rankdata

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.geometry import unit
from muc_core.audit.result import Check, Finding, Interval
from muc_core.audit.verdict import p_in_words
from muc_core.errors import MucError
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import lorentz_similarity
from muc_core.stats.ranks import Float64, normal_scores
from muc_core.stats.two_samples import Alternative, permute, welch

FEWEST_PICTURES = 20
MOST_CAPTIONS = 5_000
"""The owner's and the controls together: each is compared with each."""

STILL = 1e-6
"""Movement below which a caption stands where it stood; half precision moves it further."""

WORDING = "Wording guard"
LIMIT = (
    "This is about the text tower only. No picture of yours was shown, and what the encoder knows of pictures may be "
    "there or gone whatever is found here: it says nothing of whether your pictures were forgotten."
)
Seen = Literal["set apart", "moved"]


@dataclass(frozen=True, eq=False)
class TextVectors:
    """What one encoder made of captions, and of public pictures.

    Attributes:
        captions: `[n + m, d]`, the owner's first.
        pool: `[k, d]`, pictures that belong to none of the captions.
        similarity: by which they are compared.
    """

    captions: npt.NDArray[np.float32]
    pool: npt.NDArray[np.float32]
    similarity: Similarity = COSINE


class TextAudit(BaseModel):
    """What was found of captions.

    Attributes:
        about: what it is about, and nothing else.
        seen: what the tests saw, after Bonferroni over them; never that anything was forgotten.
        findings: by name: set apart before, set apart after, moved; those that could be asked.
        checks: the wording guard; where it failed, nothing is said to be seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: Literal["the text tower only"] = "the text tower only"
    seen: tuple[Seen, ...]
    findings: dict[str, Finding]
    n_captions: int
    n_controls: int
    n_pool: int
    alpha: float
    seed: int
    permutations: int
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]

    def explain(self) -> tuple[str, ...]:
        """The result in sentences for a person without statistics, and what it does not say."""
        return (
            _headline(self),
            *(finding.meaning for finding in self.findings.values()),
            *(f"{check.name}: {check.meaning}" for check in self.checks),
            *self.warnings,
            LIMIT,
        )


def audit_texts(
    after: TextVectors,
    owner: int,
    *,
    before: TextVectors | None = None,
    checks: Sequence[Check] = (),
    settings: AuditSettings | None = None,
    warnings: Sequence[str] = (),
) -> TextAudit:
    """Compare the owner's captions with control captions in the text tower.

    Args:
        owner: how many of the captions are the owner's, the first ones.
        before: of the same captions, in their order, and of the same pictures.
        checks: made beforehand; a failed one leaves nothing to see.
        warnings: to be passed on.

    Raises:
        MucError: too few or too many captions or pictures, vectors without a direction, or scores that are all equal.
    """
    settings = settings or AuditSettings()
    given = {"before": before, "after": after}
    known = {name: vectors for name, vectors in given.items() if vectors is not None}
    for name, vectors in known.items():
        _check(name, vectors, len(after.captions), owner)
    findings: dict[str, Finding] = {}
    for name, vectors in known.items():
        findings[f"set apart {name}"] = _finding(
            f"Does the text tower {name} set these captions apart from control captions?",
            _nearness(vectors),
            owner,
            "two-sided",
            settings,
            yes=f"{name.capitalize()}, these captions stand otherwise to public pictures than control captions do",
            no=f"{name.capitalize()}, these captions stand to public pictures as control captions do, as far as can be "
            "seen",
        )
    if before is not None:
        findings["moved"] = _movement(_moved(before, after), owner, settings)
    names: dict[Seen, str] = {"set apart": "set apart after", "moved": "moved"}
    limit = settings.alpha / len(findings)
    sound = all(check.passed is not False for check in checks)
    return TextAudit(
        seen=tuple(seen for seen, name in names.items() if sound and name in findings and findings[name].p < limit),
        findings=findings,
        n_captions=owner,
        n_controls=len(after.captions) - owner,
        n_pool=len(after.pool),
        alpha=settings.alpha,
        seed=settings.seed,
        permutations=settings.permutations,
        checks=tuple(checks),
        warnings=tuple(warnings),
    )


def _headline(found: TextAudit) -> str:
    if any(check.passed is False for check in found.checks):
        return "The control captions are worded otherwise than yours, so nothing follows from comparing them."
    said = {
        "set apart": "the text tower after sets your captions apart from captions like them that nobody trained on",
        "moved": "the text tower was changed about your captions more than about captions like them",
    }
    if not found.seen:
        return "Nothing was seen in the text tower, which means little: most of what it may know does not show there."
    return f"Seen: {'; and '.join(said[seen] for seen in found.seen)}."


def _check(name: str, vectors: TextVectors, count: int, owner: int) -> None:
    captions, pool = vectors.captions, vectors.pool
    if len(captions) != count or captions.shape[1] != pool.shape[1]:
        raise MucError(f"the encoder {name} gave vectors of shapes {captions.shape} and {pool.shape}; they do not fit")
    check_counts([f"your {row}" for row in range(owner)], [f"{row}" for row in range(count - owner)])
    if count > MOST_CAPTIONS:
        raise MucError(f"there are {count:,} captions; up to {MOST_CAPTIONS:,}, with the controls', are compared")
    if len(pool) < FEWEST_PICTURES:
        raise MucError(f"there are {len(pool)} public pictures; at least {FEWEST_PICTURES} are needed")
    for what, values in (("caption", captions), ("picture", pool)):
        if not np.isfinite(values).all() or not values.any(axis=1).all():
            raise MucError(f"the encoder {name} gave a {what} a vector of zeros or of numbers that are not finite")


def _similarities(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32], how: Similarity) -> Float64:
    if how.curvature is not None:
        return lorentz_similarity(left, right, how.curvature)
    return np.asarray(unit(left) @ unit(right).T)


def _nearness(vectors: TextVectors) -> Float64:
    """`[n + m]` similarity to the nearest picture of the pool less that to all of them on average."""
    similar = _similarities(vectors.captions, vectors.pool, vectors.similarity)
    return np.asarray(similar.max(axis=1) - similar.mean(axis=1))


def _moved(before: TextVectors, after: TextVectors) -> Float64:
    """`[n + m]` one less the correlation of a caption's similarities to all others in the two encoders, in [0, 2]."""
    profiles = []
    for vectors in (before, after):
        similar = _similarities(vectors.captions, vectors.captions, vectors.similarity)
        np.fill_diagonal(similar, np.nan)
        centred = similar - np.nanmean(similar, axis=1, keepdims=True)
        centred[np.isnan(centred)] = 0
        profiles.append(unit(centred))
    return np.asarray(1 - np.einsum("ij,ij->i", *profiles))


def _movement(moved: Float64, owner: int, settings: AuditSettings) -> Finding:
    question = "Did these captions move more than control captions?"
    if moved.max() < STILL:
        return Finding(
            question=question,
            difference=0.0,
            effect=Interval(value=0.0, low=0.0, high=0.0),
            p=1.0,
            test="none, because no caption moved",
            meaning="No caption moved among the others: the text tower after is the one before, or only turned.",
        )
    return _finding(
        question,
        moved,
        owner,
        "greater",
        settings,
        yes="Between the two encoders these captions moved among all captions more than control captions did",
        no="Between the two encoders these captions moved no more than control captions did, as far as can be seen",
    )


def _finding(
    question: str,
    scores: Float64,
    owner: int,
    alternative: Alternative,
    settings: AuditSettings,
    *,
    yes: str,
    no: str,
) -> Finding:
    if np.ptp(scores) < 1e-9:
        raise MucError(f"the encoder treats all captions alike ({question.lower()}); nothing can be compared")
    pooled = norm.ppf((rankdata(scores) - 0.5) / len(scores))
    test = permute(
        pooled[:owner],
        pooled[owner:],
        alternative=alternative,
        permutations=settings.permutations,
        seed=settings.seed,
    )
    gap = welch(*normal_scores(scores[:owner], scores[owner:]))
    return Finding(
        question=question,
        difference=float(scores[:owner].mean() - scores[owner:].mean()),
        effect=Interval(value=gap.mean, low=gap.low, high=gap.high),
        p=test.p,
        test=f"permutation of captions, {test.permutations:,}",
        meaning=f"{yes if test.p < settings.alpha else no} ({gap.mean:.2f} in units of the controls' spread, "
        f"{p_in_words(test.p)}).",
    )
