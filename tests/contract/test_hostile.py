"""A thousand hostile files through the entry points of the program: each is used or ends in a sentence, none does harm.

A sample of them on every run; all of them with the slow tests, and by `make hostile`, which prints what became of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.case import Case
from tests.hostile.corpus import all_cases, build
from tests.hostile.run import Outcome, run


def ended(out: Path, *options: str) -> list[dict[str, Any]]:
    """The outcomes of `python -m tests.hostile`, in a process that has no threads yet and can be forked."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile", str(out), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads((out / "outcomes.json").read_bytes())
    return found


def test_a_sample_of_the_corpus_does_no_harm(tmp_path: Path) -> None:
    found = ended(tmp_path / "out", "--sample")
    assert {outcome["door"] for outcome in found} >= {"upload", "archive", "captions", "data", "weights", "evidence"}
    assert {outcome["end"] for outcome in found} == {"used", "refused"}


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_the_whole_corpus_does_no_harm(tmp_path: Path) -> None:
    assert len(ended(tmp_path / "out")) == len(all_cases()) > 1000


# what watches must see what it is there for


def through(door: Callable[[Path], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """What is seen of a door that does this."""
    monkeypatch.setattr("tests.hostile.doors.enter", lambda case, path: door(path))
    case = Case("planted", "ids", lambda folder: folder / "nothing")
    return run(case, build(case, tmp_path / "corpus"), tmp_path / "run")


def _starts(path: Path) -> list[str]:
    os.system("true")
    return ["x"]


def _writes(path: Path) -> list[str]:
    path.write_text("here it must not be")
    return ["x"]


def _climbs(path: Path) -> list[str]:
    os.system("touch ../beside")
    return ["x"]


def _dies(path: Path) -> list[str]:
    os.abort()


def _raises(path: Path) -> list[str]:
    raise KeyError("a defect")


def _grows(path: Path) -> list[str]:
    return [str(len(b"x" * (3 * 2**29)))]


@pytest.mark.parametrize(
    ("door", "end"),
    [
        (_starts, "escaped"),
        (_writes, "escaped"),
        (_climbs, "escaped"),
        (_dies, "crashed"),
        (_raises, "crashed"),
        (_grows, "too large"),
        (lambda path: ["\x1b[2J"], "refused"),
        (lambda path: ["x" * 5000], "refused"),
        (lambda path: ["Traceback (most recent call last)"], "refused"),
        (lambda path: [], "used"),
    ],
)
def test_harm_is_seen(
    door: Callable[[Path], list[str]], end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = through(door, tmp_path, monkeypatch)
    assert found.end == end
    assert found.fault is not None


def test_what_does_no_harm_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = through(lambda path: ["this is not accepted"], tmp_path, monkeypatch)
    assert (found.end, found.fault) == ("refused", None)
