"""A short calibration: the audit errs as rarely as it says, on encoders of which the truth is known.

The long one is `python -m benchmarks.calibration`, its figures are in docs/calibration.md. Every bound here is one that
chance breaks in less than one of 1,000 runs, if the audit keeps what it promises; all draws are seeded.
"""

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.datasets import load_sample_images

from benchmarks.calibration import Study
from muc_core.audit.guard import control_guard
from muc_core.data.demo import demo_split, load_demo

SURE = 0.999
VIEWS, PERMUTATIONS = 2, 199

pytestmark = pytest.mark.slow


def study(before: str | None, after: str, n: int, *, seen: float) -> Study:
    return Study(
        before, after, "demo-clip-retrain", n, seen=seen, views=VIEWS, embedded=VIEWS, permutations=PERMUTATIONS
    )


def test_an_honest_retrain_is_accused_no_more_often_than_the_nominal_rate() -> None:
    audits = 100
    results = list(study(None, "demo-clip-retrain", 50, seen=0.0).audits(audits))
    most = binom.ppf(SURE, audits, 0.05)
    for name in ("trace", "below never-seen"):
        assert sum(result.findings[name].p < result.alpha for result in results) <= most, name
    assert sum(any(item.verdict != "no trace found" for item in result.items) for result in results) <= most


def test_an_encoder_that_forgot_nothing_is_found_and_never_called_forgotten() -> None:
    audits = 60
    verdicts = [result.verdict for result in study("demo-clip", "demo-clip", 50, seen=1.0).audits(audits)]
    assert verdicts.count("under-forgotten") >= binom.ppf(1 - SURE, audits, 0.95)
    assert "forgotten" not in verdicts


def test_where_no_memory_can_be_seen_nothing_is_told() -> None:
    audits = 60
    verdicts = [
        result.verdict for result in study("demo-simclr-blind", "demo-simclr-blind", 50, seen=1.0).audits(audits)
    ]
    assert verdicts.count("cannot tell") >= binom.ppf(1 - SURE, audits, 0.95)
    assert "forgotten" not in verdicts


@pytest.mark.parametrize("controls", ["photos", "black and white drawings"])
def test_unfair_controls_are_always_noticed(controls: str) -> None:
    """What becomes of a verdict then is tested in tests/unit/audit/test_audit.py."""
    drawings, split = load_demo(), demo_split()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        owner = drawings.subset(rng.choice(split.forget, 30, replace=False).tolist()).images(32).numpy()
        if controls == "photos":
            unfair = np.stack([_patch(rng) for _ in range(60)])
        else:
            colour = drawings.subset(rng.choice(split.held_out, 60, replace=False).tolist()).images(32).numpy()
            unfair = np.repeat(colour.mean(axis=1, keepdims=True).astype(np.uint8), 3, axis=1)
        assert control_guard(owner, unfair, seed=seed, permutations=99).passed is False


def _patch(rng: np.random.Generator) -> np.ndarray:
    """A square of a photograph, `[3, 32, 32]`."""
    photo = _photos()[int(rng.integers(2))]
    top, left = (int(rng.integers(length - 160)) for length in photo.shape[:2])
    return np.asarray(photo[top : top + 160 : 5, left : left + 160 : 5].transpose(2, 0, 1))


@cache
def _photos() -> list[np.ndarray]:
    return [np.asarray(photo) for photo in load_sample_images().images]
