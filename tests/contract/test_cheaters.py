"""Encoders that hide what they know must not be called forgotten; honest ones must not be accused."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.cheaters import (
    CHEATERS,
    CONTROLS,
    OWNED,
    UNDETECTED,
    demo,
    draw,
    failed,
    known_to,
    original,
    run,
    similarity_filter,
)
from muc_core.audit.geometry import UNCHANGED
from muc_core.data.demo import demo_split
from muc_core.near_duplicates import honesty_checks


@pytest.mark.slow
@pytest.mark.parametrize("with_before", [True, False], ids=["with the encoder before", "alone"])
@pytest.mark.parametrize("name", CHEATERS)
def test_no_cheater_is_called_forgotten(name: str, with_before: bool) -> None:
    cheater = CHEATERS[name]
    expected = cheater.caught if with_before else cheater.alone
    before = original() if with_before else None
    for seed in range(2):
        drawn, after = draw(seed), cheater.make(seed)
        checks = honesty_checks(before, after, drawn.owner, drawn.controls, seed=seed)
        assert set(expected) <= failed(checks), [(check.name, check.value) for check in checks]
        result = run(after, drawn, before=before, checks=checks)
        if name in UNDETECTED and not with_before:
            continue
        assert result.verdict in ("cannot tell", "under-forgotten")
        if cheater.remembered:
            assert result.verdict == "under-forgotten"
        else:
            assert any(check.meaning in result.rule for check in checks if check.passed is False)


@pytest.mark.slow
def test_the_filters_would_pass_without_probes() -> None:
    """Otherwise the probes would have had nothing to do."""
    for name in ("hash filter", "noise filter", "remapped captions", "both filters", "collapsed to noise", "swapped"):
        drawn, after = draw(0), CHEATERS[name].make(0)
        assert run(after, drawn, before=original(), checks=()).verdict == "forgotten", name


@pytest.mark.slow
def test_a_filter_of_all_that_looks_alike_is_beyond_what_one_encoder_shows() -> None:
    """Known limit: it answers like an encoder that forgot. Only the encoder before gives it away."""
    drawn, after = draw(0), similarity_filter(0)
    assert failed(honesty_checks(None, after, drawn.owner, drawn.controls, seed=0)) == set()
    assert failed(honesty_checks(original(), after, drawn.owner, drawn.controls, seed=0)) == {UNCHANGED}


@pytest.mark.slow
def test_honest_encoders_are_rarely_accused() -> None:
    """Three probes have an error rate of 1 % each by design, and a margin of what matters on top."""
    audits, accused = 0, []
    for name in ("demo-clip-retrain", "demo-clip-ac", "demo-clip-finetune"):
        for seed in range(20):
            drawn = draw(100 + seed, owned=20 if seed % 2 else 50)
            checks = honesty_checks(original(), known_to(name), drawn.owner, drawn.controls, seed=0)
            accused += [(name, seed, check.name, check.value) for check in checks if check.passed is False]
            audits += 1
    assert len({where[:2] for where in accused}) <= binom.ppf(0.999, audits, 0.03), accused


@pytest.mark.slow
def test_pictures_never_seen_accuse_nobody() -> None:
    """Owner's pictures and controls from one pool, neither ever trained on: the null hypothesis itself."""
    split = demo_split()
    never = np.array([*split.held_out, *split.calibration])
    audits, accused = 30, []
    for seed in range(audits):
        drawn = np.random.default_rng(seed).permutation(never)[: OWNED + CONTROLS].tolist()
        owner, controls = demo().subset(drawn[:OWNED]), demo().subset(drawn[OWNED:])
        checks = honesty_checks(None, known_to("demo-clip-retrain"), owner, controls, seed=0)
        accused += [(seed, check.name, check.value) for check in checks if check.passed is False]
    assert len({seed for seed, *_ in accused}) <= binom.ppf(0.999, audits, 0.03), accused
