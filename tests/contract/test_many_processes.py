"""Two processes, each with half of every step, make the step that one process makes with all of it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from muc_core.encoders.checkpoint import load_training_state
from tests.contract.joint_steps import COMBINATIONS, step, trainer

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _any_precision() -> Iterator[None]:
    """accelerate lets a process choose its precision once; other tests here have chosen."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port)]
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


@pytest.mark.parametrize("rank", [0, 1])
def test_a_state_of_either_of_two_processes_is_resumed_by_one(rank: int, of_two: Path) -> None:
    run = trainer("moco", "ac")
    run.restore(load_training_state(of_two / f"moco-{rank}.state"))
    _, second = torch.load(of_two / "moco-ac.pt", weights_only=True)
    found = step(run, run.run())
    for kind in ("gradients", "buffers"):
        assert_same(found[kind], second[kind])
