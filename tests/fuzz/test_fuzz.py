"""The short form of `make fuzz`, two seconds of computing for each parser; and what a fault is."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from muc_core.errors import MucError
from tests.fuzz.target import Target, fuzz


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_parser_ends_in_anything_but_a_sentence() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "0.85"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def target(enter: Any) -> Target:
    return Target("a parser", st.integers(0, 9), lambda example, folder: enter(example))


def refuse_most(example: int) -> None:
    if example > 2:
        raise MucError("more than 2 is refused")


def test_what_is_refused_in_a_sentence_is_no_fault() -> None:
    found = fuzz(target(refuse_most), cpu_s=0.3)
    assert not found.faults
    assert 0 < found.refused < found.examples


def fall(example: int) -> None:
    if example == 5:
        os._exit(3)


def speak_to_programmers(example: int) -> None:
    if example == 5:
        raise MucError("Traceback (most recent call last)")


def divide(example: int) -> None:
    1 / (example - 5)


def divide_slowly(example: int) -> None:
    if example == 5:
        begun = time.process_time()
        while time.process_time() - begun < 0.4:  # longer than the fuzzing is to take
            pass
    divide(example)


@pytest.mark.parametrize(
    ("enter", "fault"),
    [
        (divide, "ZeroDivisionError"),
        (divide_slowly, "ZeroDivisionError"),
        (speak_to_programmers, "AssertionError"),
        (fall, "ended with status"),
    ],
)
def test_anything_else_is_a_fault_with_its_example(enter: Any, fault: str) -> None:
    found = fuzz(target(enter), cpu_s=0.3)
    ((where, example),) = found.faults.items()
    assert where.startswith(fault)
    assert "5" in example


def test_examples_have_a_folder_that_is_gone_afterwards() -> None:
    def write(example: int, folder: Path) -> None:
        assert Path.cwd() == folder
        (folder / "file").write_text("content")

    here = Path.cwd()
    assert not fuzz(Target("a parser", st.just(1), write), cpu_s=0.001).faults
    assert Path.cwd() == here
    assert not (here / "file").exists()
