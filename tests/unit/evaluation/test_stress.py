"""The rules by which a stress is judged, each by the figures that must decide it, and the sentences it gives."""

import pytest

from muc_core.evaluation.standing import Shift, Standing
from muc_core.evaluation.stress import (
    CurvePoint,
    Int8Stress,
    LinePoint,
    RelearningStress,
    Role,
    SeparationStress,
    Verdict,
    delta_of,
    judge_int8,
    judge_line,
    judge_relearning,
    judge_separation,
    overall,
)
from muc_core.stats.rates import Rate


def around(value: float, width: float = 0.1) -> Rate:
    return Rate(value, value - width, value + width)


def standing(effect: float, p: float) -> Standing:
    return Standing(effect=around(effect), p=p, positive=0.5, control_positive=0.4, first=0.3)


def moved(effect: float, p: float, most: float | None = None) -> Shift:
    return Shift(effect=around(effect), p=p, most=effect + 0.1 if most is None else most)


KNOWN, GONE, TRACE = standing(2.0, 0.001), standing(0.05, 0.4), standing(0.8, 0.001)


def curve(start: float, end: float) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            step=step, effect=around(value), positive=around(0.4), control_positive=around(0.3), first=around(value / 2)
        )
        for step, value in ((0, start), (40, end))
    )


def relearned(
    rise: Shift,
    level: Shift,
    *,
    before: Standing = KNOWN,
    rest: Standing = GONE,
    still: Shift | None = None,
    retrained: bool = True,
) -> RelearningStress:
    curves: dict[Role, tuple[CurvePoint, ...]] = {"after": curve(0.1, 0.9)}
    if retrained:
        curves["retrained"] = curve(0.0, 0.1)
    return judge_relearning(
        curves, before=before, rest=rest, still=still or moved(0.05, 0.4), rise=rise, level=level, halves=4
    )


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (relearned(moved(0.8, 0.001), moved(0.8, 0.001)), "hidden, not forgotten"),
        (relearned(moved(0.8, 0.001), moved(0.8, 0.001), rest=TRACE, still=moved(0.8, 0.001)), "hidden, not forgotten"),
        (relearned(moved(0.0, 0.5), moved(0.8, 0.001), rest=TRACE, still=moved(0.8, 0.001)), "still there"),
        (relearned(moved(0.0, 0.5), moved(0.0, 0.5)), "no trace came back"),
        (relearned(moved(0.9, 0.001), moved(0.0, 0.5)), "no trace came back"),
        (relearned(moved(0.4, 0.2), moved(0.4, 0.2, most=0.9)), "cannot tell"),
        (relearned(moved(0.8, 0.001), moved(0.8, 0.001), before=standing(0.1, 0.3)), "cannot tell"),
        (relearned(moved(0.0, 0.5), moved(0.0, 0.5), before=standing(0.1, 0.3)), "cannot tell"),
    ],
    ids=[
        "it comes back",
        "a trace grows",
        "a trace that was never gone",
        "nothing moves",
        "it was pushed below and comes up to never-seen ones only",
        "too few items to tell",
        "nothing to bring back, though it rises",
        "nothing to bring back",
    ],
)
def test_relearning_is_judged_by_rise_and_level(found: RelearningStress, verdict: Verdict) -> None:
    assert found.verdict == verdict
    assert found.came_back == {"no trace came back": False, "cannot tell": None}.get(verdict, True)


def test_relearning_tells_both_courses() -> None:
    found = relearned(moved(0.8, 0.001), moved(0.8, 0.001))
    assert "In 40 steps" in found.meaning
    assert "from 0.10 to 0.90 and from 5% to 45% found first by their captions" in found.meaning
    assert "(Retrain: from 0.00 to 0.10" in found.meaning
    assert "Retrain" not in relearned(moved(0.8, 0.001), moved(0.8, 0.001), retrained=False).meaning


@pytest.mark.parametrize(("effect", "delta"), [(4.0, 0.5), (1.2, 0.3), (-1.0, 0.0)])
def test_the_bound_is_a_quarter_of_the_memory_before(effect: float, delta: float) -> None:
    assert delta_of(standing(effect, 0.01)) == pytest.approx(delta)


@pytest.mark.parametrize(
    ("plain", "rounded", "shift", "came_back"),
    [
        (GONE, TRACE, moved(0.7, 0.001), True),
        (TRACE, TRACE, moved(0.0, 0.5), False),
        (GONE, GONE, moved(0.0, 0.5), False),
        (GONE, GONE, moved(0.3, 0.2, most=0.8), None),
    ],
)
def test_int8_is_judged_by_what_rounding_changes(
    plain: Standing, rounded: Standing, shift: Shift, came_back: bool | None
) -> None:
    found = judge_int8({"before": KNOWN, "after": plain}, {"before": KNOWN, "after": rounded}, shift)
    assert found.came_back is came_back


def test_on_the_line_a_trace_shows_from_the_first_point_after_the_last_without_one() -> None:
    after = (GONE, TRACE, GONE, TRACE, KNOWN)
    retrained = (GONE, GONE, None, GONE, KNOWN)
    points = tuple(
        LinePoint(share=k / 4, standings={"after": a} | ({"retrained": r} if r else {}))
        for k, (a, r) in enumerate(zip(after, retrained, strict=True))
    )
    found = judge_line(points)
    assert found.returns_at == {"after": 0.75, "retrained": 1.0}
    assert found.came_back is None
    assert "for the encoder after from 75% of the way on; for Retrain from 100% of the way on" in found.meaning


def test_on_the_line_nowhere_and_everywhere_have_words() -> None:
    points = (LinePoint(share=0, standings={"after": TRACE}), LinePoint(share=1, standings={"after": TRACE}))
    assert "from the start" in judge_line(points).meaning
    points = (LinePoint(share=0, standings={"after": GONE}), LinePoint(share=1, standings={"after": GONE}))
    assert judge_line(points).returns_at == {"after": None}
    assert "nowhere" in judge_line(points).meaning


CHANCE, APART = Rate(0.5, 0.44, 0.56), Rate(0.8, 0.74, 0.86)


@pytest.mark.parametrize(
    ("linear", "came_back"),
    [
        ({"before": APART, "after": APART, "retrained": CHANCE}, True),
        ({"before": APART, "after": CHANCE, "retrained": CHANCE}, False),
        ({"before": CHANCE, "after": CHANCE, "retrained": CHANCE}, None),
        ({"before": APART, "after": APART, "retrained": APART}, None),
        ({"before": APART, "after": APART}, None),
        ({"before": APART, "after": CHANCE}, False),
    ],
    ids=["kept", "gone", "never seen", "told apart by what they show", "perhaps by what they show", "gone, no Retrain"],
)
def test_classifiers_are_judged_against_retrain(linear: dict[Role, Rate], came_back: bool | None) -> None:
    neighbours = dict.fromkeys(linear, CHANCE)
    assert judge_separation(linear, neighbours).came_back is came_back


def test_one_test_that_brings_it_back_is_enough() -> None:
    quiet = relearned(moved(0.0, 0.5), moved(0.0, 0.5))
    int8 = judge_int8({"before": KNOWN, "after": GONE}, {"before": KNOWN, "after": GONE}, moved(0.0, 0.5))
    rounded = judge_int8({"before": KNOWN, "after": GONE}, {"before": KNOWN, "after": TRACE}, moved(0.7, 0.001))
    chance: dict[Role, Rate] = {"before": APART, "after": CHANCE, "retrained": CHANCE}
    apart: dict[Role, Rate] = {"before": APART, "after": APART, "retrained": CHANCE}
    none, shown = judge_separation(chance, chance), judge_separation(apart, chance)
    expected: list[tuple[Int8Stress, SeparationStress, RelearningStress, Verdict]] = [
        (int8, none, quiet, "no trace came back"),
        (rounded, none, quiet, "hidden, not forgotten"),
        (int8, shown, quiet, "hidden, not forgotten"),
        (int8, none, relearned(moved(0.8, 0.001), moved(0.8, 0.001)), "hidden, not forgotten"),
        (int8, none, relearned(moved(0.4, 0.2), moved(0.4, 0.2, most=0.9)), "cannot tell"),
    ]
    for first, second, third, verdict in expected:
        assert overall(first, second, third) == verdict
