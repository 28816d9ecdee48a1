"""What an audit could have seen: shares of known pictures, against audits in which so many were planted."""

import numpy as np
import pytest

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.detectability import COUNTS, detectability
from muc_core.audit.vectors import ImageTextVectors
from muc_core.stats.power import power


def never_seen(n: int, rng: np.random.Generator) -> ImageTextVectors:
    texts = rng.normal(size=(n, 16)).astype(np.float32)
    views = texts + rng.normal(0, 1.5, (2, n, 16)).astype(np.float32)
    return ImageTextVectors(views.astype(np.float32), texts)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_planted_memory_is_seen_as_often_as_said(share: float) -> None:
    """Captions of a share of pictures like the controls are moved onto the pictures, then audited without a before."""
    rng, n, m, audits = np.random.default_rng(0), 20, 60, 100
    told = detectability(n, m, before=None, least=0.5, alpha=0.05)
    assert 0.1 < told.smallest_share < 0.35
    ids = [f"item {i}" for i in range(n + m)]
    seen = 0
    for seed in range(audits):
        vectors = never_seen(n + m, rng)
        planted = round(share * n)
        vectors.views[:, :planted] = vectors.texts[:planted]
        vectors.views[:, :planted] += rng.normal(0, 0.05, vectors.views[:, :planted].shape)
        found = audit(
            vectors, owner_ids=ids[:n], control_ids=ids[n:], settings=AuditSettings(permutations=199, seed=seed)
        )
        seen += found.findings["trace"].p < 0.05
    assert seen / audits == pytest.approx(power(told.effect, n, m, share=share), abs=0.12)


def test_the_curve_falls_with_the_number_of_pictures_and_meets_this_audit() -> None:
    found = detectability(20, 100, before=np.random.default_rng(0).normal(1.6, 1, 20), least=0.5, alpha=0.05)
    shares = dict(found.by_count)
    assert tuple(shares) == COUNTS
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares[20] == found.smallest_share
    assert f"if {found.smallest_share:.0%} or more of the pictures were still known as before" in found.meaning


def test_what_could_not_be_seen_is_said() -> None:
    found = detectability(5, 20, before=np.full(5, 0.2), least=0.5, alpha=0.05)
    assert found.smallest_share > 1
    assert "could have missed it even if all of the pictures were still known as before" in found.meaning


def test_without_a_before_the_memory_that_must_be_seen_is_the_least_that_counts() -> None:
    few, many = (detectability(n, 100, before=None, least=0.5, alpha=0.05) for n in (10, 200))
    assert few.power < 0.8 < many.power
    assert few.source == "planted"
    assert "known better than every control" in few.meaning
