"""Two processes, each with half of every step, make the step that one process makes with all of it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from muc_core.encoders.checkpoint import load_training_state
from tests.contract.joint_steps import CHUNKED, COMBINATIONS, LOW, step, trainer
from tests.ports import free_port

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(free_port())]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "-m", "tests.contract.joint_steps", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def assert_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close({name: found[name]}, {name: tensor}, atol=1e-5, rtol=0, equal_nan=True)


@pytest.mark.parametrize(("family", "method"), COMBINATIONS)
def test_two_processes_make_the_steps_of_one(family: str, method: str, of_two: Path) -> None:
    run = trainer(family, method)
    checkpoints = run.run()
    for found in torch.load(of_two / f"{family}-{method}.pt", weights_only=True):
        expected = step(run, checkpoints)
        assert found["terms"] == pytest.approx(expected["terms"], abs=1e-5)
        assert expected["gradients"]
        for kind in ("gradients", "buffers"):
            assert_same(found[kind], expected[kind])


@pytest.mark.parametrize("family", LOW)
def test_in_bfloat16_two_differ_from_one_no_more_than_one_from_single_precision(family: str, of_two: Path) -> None:
    found = torch.load(of_two / f"{family}-low.pt", weights_only=True)
    low, single = (
        step(run, run.run()) for run in (trainer(family, "ac", arithmetic=kind) for kind in ("bfloat16", "float32"))
    )
    assert found["terms"] == pytest.approx(low["terms"], abs=2**-6)
    rounding = distance(low["gradients"], single["gradients"])
    assert 0 < rounding < 0.2
    assert distance(found["gradients"], low["gradients"]) <= rounding


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Norm of the difference as a share of the norm."""
    first, second = (torch.cat([given[name].flatten() for name in expected]) for given in (found, expected))
    return float((first - second).norm() / second.norm())


@pytest.mark.parametrize("family", CHUNKED)
def test_two_processes_in_chunks_make_the_step_of_one_without(family: str, of_two: Path) -> None:
    run = trainer(family, "ac", architecture=CHUNKED[family])
    found, expected = torch.load(of_two / f"{family}-chunked.pt", weights_only=True), step(run, run.run())
    assert found["terms"] == pytest.approx(expected["terms"], abs=1e-5)
    assert_same(found["gradients"], expected["gradients"])


@pytest.mark.parametrize("rank", [0, 1])
def test_a_state_of_either_of_two_processes_is_resumed_by_one(rank: int, of_two: Path) -> None:
    run = trainer("moco", "ac")
    run.restore(load_training_state(of_two / f"moco-{rank}.state"))
    _, second = torch.load(of_two / "moco-ac.pt", weights_only=True)
    found = step(run, run.run())
    for kind in ("gradients", "buffers"):
        assert_same(found[kind], second[kind])
