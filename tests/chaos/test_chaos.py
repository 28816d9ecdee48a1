"""The short form of `make chaos`: every fault, at a few moments each."""

import subprocess
import sys

import pytest

from tests.chaos.__main__ import NAMES
from tests.chaos.scene import Row


@pytest.mark.slow
def test_whatever_happens_everything_is_whole_or_absent_and_goes_on() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--trials", "2"], check=False, capture_output=True, text=True, timeout=550
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for name in NAMES:
        assert f"{name}: " in result.stdout


def test_what_does_not_hold_is_told_and_fails() -> None:
    row = Row("a fault", "a promise")
    with row.trial("first"):
        pass
    with row.trial("second"):
        raise ValueError("it does not hold")
    assert (row.tried, row.broken) == (2, ["second: ValueError: it does not hold"])


def test_an_unknown_experiment_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--only", "nothing"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "nothing" in result.stderr
