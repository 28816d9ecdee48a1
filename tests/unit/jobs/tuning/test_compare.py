"""Encoders side by side: each measured once, and only those that belong together."""

import pytest

from muc_core.errors import MucError
from muc_core.jobs.tasks.compare import CompareSettings, compare, gap, read_comparison, run
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.progress import SILENT
from muc_core.workspace import Workspace

YARDSTICK = Yardstick(views=2, permutations=99, cells=6, seed=7)


def settings(*encoders: str, original: str = "simclr-before") -> CompareSettings:
    return CompareSettings(original=original, encoders=encoders, yardstick=YARDSTICK)


def test_encoders_are_measured_once_and_stand_beside_retrain(home: Workspace) -> None:
    wanted = settings("simclr-ac", "simclr-retrain")
    assert read_comparison(home, wanted).missing == 3
    side = compare(home, wanted)
    assert side.missing == 0
    assert [one.manifest.name for one in side.encoders] == ["simclr-ac", "simclr-retrain"]
    assert side.retrained is side.encoders[1]
    again = read_comparison(home, wanted)
    assert again.key == side.key
    assert [one.measured for one in again.encoders] == [one.measured for one in side.encoders]
    assert run(wanted, home, SILENT) == {"encoders": 2}


def test_the_gap_is_the_mean_over_six_figures(home: Workspace) -> None:
    side = compare(home, settings("simclr-ac", "simclr-retrain"))
    ac, retrained = (one.figures for one in side.encoders)
    assert ac is not None
    assert retrained is not None
    total = 0.0
    for name in ("forget", "retain", "held_out"):
        for value in ("top1", "positive"):
            total += abs(getattr(getattr(ac, name), value) - getattr(getattr(retrained, name), value))
    assert gap(ac, retrained) == pytest.approx(total / 6)
    assert gap(ac, ac) == 0


def test_what_does_not_belong_together_is_refused(home: Workspace) -> None:
    with pytest.raises(MucError, match="was not made from"):
        read_comparison(home, settings("simclr-before"))
    with pytest.raises(MucError, match="only such encoders can be compared"):
        read_comparison(home, settings("simclr-ac", "clip-ac"))
