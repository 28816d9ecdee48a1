"""Bisection on answers whose truth is known."""

import math
from collections.abc import Callable

import pytest

from muc_core.evaluation.weakest import Answer, Trial, find_weakest


def audit_of(effect: Callable[[float], float], *, like: float = 0.2, sure: float = 0.3) -> Callable[[float], Trial]:
    """An audit that is sure of likeness within `like` and of a difference beyond `sure`; between, it cannot tell."""

    def ask(value: float) -> Trial:
        d = effect(value)
        answer: Answer = "cannot tell"
        if abs(d) < like:
            answer = "no trace found"
        elif d > sure:
            answer = "trace left"
        elif d < -sure:
            answer = "pushed below"
        return Trial(value=value, answer=answer, effect=d)

    return ask


class Counted:
    def __init__(self, ask: Callable[[float], Trial]) -> None:
        self.ask = ask
        self.asked: list[float] = []

    def __call__(self, value: float) -> Trial:
        self.asked.append(value)
        return self.ask(value)


@pytest.mark.parametrize("truth", [0.1, 0.4, 0.77, 1.2, 1.45])
def test_the_weakest_is_found_to_within_the_last_halving(truth: float) -> None:
    ask = Counted(audit_of(lambda value: 0.2 + (truth - value)))  # likeness begins just above the truth
    found = find_weakest(ask, low=0, high=1.5, steps=8)
    assert found.outcome == "found"
    assert found.found is not None
    assert found.below is not None
    assert truth <= found.found.value <= truth + 1.5 / 2**8
    assert found.below.value <= truth < found.found.value
    assert len(ask.asked) == len(set(ask.asked)) == 10
    assert f"{found.found.value:.3g}" in found.explain("strength")


def test_on_a_log_scale_the_ratio_is_halved() -> None:
    found = find_weakest(audit_of(lambda beta: 0.2 + math.log(3 / beta)), low=0.5, high=32, steps=6, scale="log")
    assert found.found is not None
    assert 3 <= found.found.value <= 3 * 64 ** (1 / 2**6)


def test_cannot_tell_is_not_a_pass() -> None:
    found = find_weakest(audit_of(lambda value: 0.25), low=0, high=1, steps=4)
    assert found.outcome == "never"
    assert found.found is None
    assert "cannot tell, which is not the same as finding no trace" in found.explain("strength")


def test_where_a_trace_is_always_left_it_is_said_so_after_two_audits() -> None:
    ask = Counted(audit_of(lambda value: 2 - value))
    found = find_weakest(ask, low=0, high=1.5, steps=8)
    assert (found.outcome, found.found) == ("never", None)
    assert sorted(ask.asked) == [0, 1.5]
    assert "even at 1.5" in found.explain("strength")


def test_a_jump_over_the_window_is_no_pass() -> None:
    found = find_weakest(audit_of(lambda value: 1.0 if value < 0.7 else -1.0), low=0, high=1.5, steps=8)
    assert found.outcome == "jumped"
    assert "Nothing between them was found that passes" in found.explain("strength")


def test_where_the_audit_cannot_tell_beyond_a_trace_it_is_said_so() -> None:
    found = find_weakest(audit_of(lambda value: 0.9 - value, like=0.0, sure=0.5), low=0, high=1.3, steps=6)
    assert (found.outcome, found.found) == ("jumped", None)
    assert "a trace is left, and beyond it the audit cannot tell, which is not the same" in found.explain("strength")


def test_pushed_below_everywhere_is_no_pass() -> None:
    found = find_weakest(audit_of(lambda value: -1.0), low=0.1, high=1.5, steps=3)
    assert found.outcome == "jumped"
    assert "already at 0.1" in found.explain("strength")


def test_an_audit_that_can_pass_nothing_is_asked_once() -> None:
    def ask(value: float) -> Trial:
        return Trial(value=value, answer="cannot tell", effect=0.1, hopeless="Too little could be seen.")

    counted = Counted(ask)
    found = find_weakest(counted, low=0, high=1.5, steps=8)
    assert (found.outcome, found.reason, len(counted.asked)) == ("cannot tell", "Too little could be seen.", 1)
    assert "cannot tell at any strength. Too little" in found.explain("strength")


def test_known_trials_are_not_asked_again_and_narrow_the_search() -> None:
    audit = audit_of(lambda value: 0.2 + (0.9 - value))
    ask = Counted(audit)
    known = [audit(place / 8) for place in range(13)]
    found = find_weakest(ask, low=0, high=1.5, steps=5, known=known)
    assert found.found is not None
    assert 0.9 <= found.found.value <= 0.9 + 0.125 / 2**5
    assert all(0.875 < value < 1 for value in ask.asked)


def test_a_refused_audit_ends_in_no_pass_of_its_own() -> None:
    def ask(value: float) -> Trial:
        return Trial(
            value=value, answer="trace left" if value < 1 else "cannot tell", effect=1.0 if value < 1 else None
        )

    assert find_weakest(ask, low=0, high=1.5, steps=4).outcome == "jumped"


@pytest.mark.parametrize(("low", "high", "scale"), [(1, 1, "linear"), (2, 1, "log"), (0, 1, "log")])
def test_an_interval_has_two_ends(low: float, high: float, scale: str) -> None:
    with pytest.raises(ValueError, match="cannot bisect"):
        find_weakest(audit_of(lambda value: 0), low=low, high=high, steps=1, scale=scale)  # type: ignore[arg-type]
