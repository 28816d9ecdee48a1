"""The attacker with a threshold, against plain loops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muc_core.evaluation.attacker import caught, threshold_at

margins = st.lists(st.floats(-2, 2), min_size=1, max_size=30)


@given(margins, margins, st.floats(-2, 2))
def test_it_catches_what_lies_above(owner: list[float], controls: list[float], threshold: float) -> None:
    found = caught(owner, controls, threshold)
    assert sorted(found.found) == [place for place, margin in enumerate(owner) if margin > threshold]
    assert [owner[place] for place in found.found] == sorted((m for m in owner if m > threshold), reverse=True)
    assert found.share == len(found.found) / len(owner)
    assert found.false_alarms == sum(margin > threshold for margin in controls) / len(controls)


@given(margins, st.floats(0, 1))
def test_the_threshold_keeps_the_false_alarms(controls: list[float], false_alarms: float) -> None:
    threshold = threshold_at(controls, false_alarms)
    assert threshold in controls
    assert caught([0.0], controls, threshold).false_alarms <= false_alarms


def test_nobody_to_attack_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        caught([], [1.0], 0.0)
