"""Jobs that several processes do: how they are started, what is refused, and that nobody else sees a difference."""

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from muc_core.encoders.checkpoint import load_weights
from muc_core.errors import MucError, UnknownName
from muc_core.jobs import Job, JobTable, cancel, follow, launcher, submit
from muc_core.jobs.ends import End
from muc_core.jobs.launchers import hosts, process, settings, slurm, supervise
from muc_core.jobs.launchers.board import Board, Order, as_report
from muc_core.jobs.launchers.settings import AccelerateSettings, Launch, SlurmSettings
from muc_core.jobs.tasks import find_task, task_kinds
from muc_core.jobs.tasks.train import TrainJob
from muc_core.progress import SILENT
from muc_core.workspace import Workspace
from tests.unit.jobs.joint_tasks import MODULE, Joint
from tests.unit.jobs.limits import CANCELLED_WITHIN_S, leave_killing_to_the_worker

FAKE_SLURM = Path(__file__).parents[2] / "fixtures" / "fake_slurm.py"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    workspace = Workspace(tmp_path / "home")
    yield workspace
    for job in JobTable(workspace).active():
        cancel(workspace, job.id)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def ssh(programs: Path) -> Path:
    """An ssh that runs here what it is asked to run elsewhere, and notes it."""
    note = programs / "asked"
    write_program(
        programs / "ssh",
        f"""while [ "$1" = -o ]; do shift 2; done
        echo "$@" >> {note}
        [ "$1" = nowhere ] && echo "ssh: Could not resolve hostname nowhere" >&2 && exit 255
        shift
        exec sh -c "$*" """,
    )
    return note


@pytest.fixture
def cluster(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's programs, and the folder in which the batch jobs are."""
    for name in ("sbatch", "srun", "sacct", "scancel"):
        write_program(programs / name, f'exec {shlex.quote(sys.executable)} {FAKE_SLURM} {name} "$@"')
    folder = tmp_path / "cluster"
    folder.mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder


def configure(workspace: Workspace, text: str) -> None:
    (workspace.home / settings.FILE).write_text(text)


def start(workspace: Workspace, by: str, job: Joint | None = None) -> Job:
    workspace.act_for("login:ann")
    return submit(workspace, "together", job or Joint(), launcher=by, task_modules=[MODULE])


def finish(workspace: Workspace, job: Job) -> Job:
    return list(follow(workspace, job.id, every_s=0.05))[-1]


def wait_for_a_step(workspace: Workspace, job: Job) -> Job:
    deadline = time.monotonic() + 90
    while not (found := JobTable(workspace).job(job.id)).step:
        assert found.active, found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def those_at_work(job: Job) -> list[psutil.Process]:
    """The processes that do a job, whoever started them."""
    name = f"{job.id}.launch"
    found = []
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if any(name in word for word in words) and process.__name__ in " ".join(words):
            found.append(one)
    return found


def wait_until_none_is_left(job: Job) -> None:
    deadline = time.monotonic() + 10
    while left := those_at_work(job):  # a zombie has no command line
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


class TestSettings:
    def launch(self, workspace: Workspace, wanted: str | None = None, kind: str = "together") -> Launch:
        return settings.launch_of(workspace, find_task(kind, [MODULE]), wanted)

    def test_one_process_unless_somebody_says_otherwise(self, workspace: Workspace) -> None:
        assert self.launch(workspace) == Launch()
        assert (Launch().launcher, Launch().world) == ("local", 1)
        assert self.launch(workspace, "accelerate").world == 2

    def test_the_file_of_the_workspace(self, workspace: Workspace) -> None:
        configure(workspace, 'launcher = "accelerate"\n[accelerate]\nprocesses = 4\nhosts = ["gpu1", "me@gpu2"]')
        found = self.launch(workspace)
        assert found.accelerate == AccelerateSettings(processes=4, hosts=("gpu1", "me@gpu2"))
        assert (found.world, found.here) == (8, False)
        assert self.launch(workspace, "local").world == 1
        assert self.launch(workspace, kind="alone") == Launch()

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("launcher = 'mpi'", "launcher: Input should be 'local', 'accelerate' or 'slurm'"),
            ("[accelerate]\nhosts = ['-oProxyCommand=x']", "accelerate.hosts.0"),
            ("[slurm]\npartition = 'a\\nb'", "slurm.partition"),
            ("[slurm]\nnodes = 0", "slurm.nodes"),
            ("processes = 3", "processes: Extra inputs are not permitted"),
            ("launcher", "cannot be read as TOML"),
            ("launcher = 'accelerate'\n[accelerate]\nprocesses = 1", "1 process, which needs no launcher"),
        ],
    )
    def test_a_file_that_says_something_else(self, workspace: Workspace, text: str, named: str) -> None:
        configure(workspace, text)
        with pytest.raises(MucError) as refusal:
            self.launch(workspace)
        assert named in str(refusal.value)
        assert settings.FILE in str(refusal.value)

    def test_an_unknown_launcher(self, workspace: Workspace) -> None:
        with pytest.raises(UnknownName, match="no launcher 'mpi'; known: local, accelerate, slurm"):
            start(workspace, "mpi")

    def test_a_kind_that_one_process_does(self, workspace: Workspace) -> None:
        with pytest.raises(MucError, match="'alone' is done by one process; leave the launcher 'slurm' out"):
            submit(workspace, "alone", Joint(), launcher="slurm", task_modules=[MODULE])
        assert JobTable(workspace).jobs() == []

    def test_which_kinds_several_processes_can_do(self) -> None:
        joint = {kind for kind in task_kinds() if find_task(kind).joint}
        assert joint - {"together"} == {"train", "unlearn", "embed"}

    def test_no_slurm_here(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(MucError, match="there is no sbatch on the path"):
            start(workspace, "slurm")

    def test_no_ssh_here(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        configure(workspace, "[accelerate]\nhosts = ['gpu1']")
        with pytest.raises(MucError, match="ssh, which is not installed"):
            start(workspace, "accelerate")

    def test_a_damaged_note(self, workspace: Workspace) -> None:
        (workspace.jobs_folder / "j.launch.json").write_text("{")
        with pytest.raises(MucError, match="damaged"):
            settings.kept(workspace, "j")


class TestCommands:
    def test_on_this_host(self, tmp_path: Path) -> None:
        assert hosts.command(AccelerateSettings(processes=3), 0, tmp_path) == [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "3"),
            *("--num_machines", "1", "--machine_rank", "0", "--mixed_precision", "no", "--dynamo_backend", "no"),
            *("--main_process_port", "0", "-m", "muc_core.jobs.launchers.process", str(tmp_path)),
        ]

    def test_on_the_second_of_two(self, tmp_path: Path) -> None:
        words = hosts.command(AccelerateSettings(processes=4, hosts=("me@one", "two"), port=5000), 1, tmp_path)
        given = dict(itertools.pairwise(words))
        assert given["--num_processes"] == "8"
        assert (given["--num_machines"], given["--machine_rank"]) == ("2", "1")
        assert (given["--main_process_ip"], given["--main_process_port"]) == ("one", "5000")

    def test_what_the_other_shell_reads(self, tmp_path: Path) -> None:
        folder = tmp_path / "a 'b' $c"
        folder.mkdir()
        given = {"PYTHONPATH": "/x y;z", "SECRET": "no"}
        *_, host, line = hosts.over_ssh("gpu1", ["sh", "-c", 'pwd; echo "$PYTHONPATH"'], given, folder)
        assert host == "gpu1"
        told = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
        assert told == f"{folder}\n/x y;z\n"
        assert "SECRET" not in line

    def test_what_slurm_is_asked_for(self) -> None:
        asked = slurm.parameters(SlurmSettings(nodes=2, processes=4, gpus_per_node=4, partition="long"), "muc-train")
        assert asked == {
            "slurm_job_name": "muc-train",
            "nodes": 2,
            "tasks_per_node": 4,
            "gpus_per_node": 4,
            "timeout_min": 1440,
            "slurm_partition": "long",
            "slurm_srun_args": ["--kill-on-bad-exit=1"],
        }


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    process._refuse_without_gpu(1, 2)
    with pytest.raises(MucError, match=r"process 3 of a host has no GPU of its own \(2 can be seen there\)"):
        process._refuse_without_gpu(2, 2)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    process._refuse_without_gpu(2, 2)


def order(workspace: Workspace) -> Order:
    return Order(
        home=workspace.home,
        job="j",
        who=None,
        kind="k",
        settings={},
        log=workspace.home / "log",
        task_modules=(),
        pid=None,
    )


class TestBoard:
    def test_reports_come_once_and_whole(self, workspace: Workspace, tmp_path: Path) -> None:
        board = Board(tmp_path / "j" / "1")
        board.begin(order(workspace))
        assert board.new_reports() == []
        reports = [as_report(1, 9, "a\nb", {"loss": 0.5}), as_report(2, 9, "", None)]
        board.report(reports)
        with (board.folder / "reports.jsonl").open("a") as file:
            file.write("[3, 9, ")
        assert board.new_reports() == reports
        assert board.new_reports() == []

    def test_a_new_attempt_calls_off_the_one_before(self, workspace: Workspace, tmp_path: Path) -> None:
        first, second = (Board(tmp_path / "j" / number) for number in "12")
        first.begin(order(workspace))
        assert not first.is_called_off()
        second.begin(order(workspace))
        assert first.is_called_off()
        assert not second.is_called_off()

    def test_what_the_first_to_end_said_counts(self, workspace: Workspace, tmp_path: Path) -> None:
        board = Board(tmp_path / "j" / "1")
        board.begin(order(workspace))
        board.end(1, End(state="failed", error="the cause"))
        os.utime(board.folder / "end-1.json", ns=(1, 1))
        board.end(0, End(state="failed", error="what came of it"))
        with pytest.raises(MucError, match="the cause"):
            supervise._outcome(board, order(workspace), "")
        board.end(0, End(state="done", result={"a": 1}))
        assert supervise._outcome(board, order(workspace), "") == {"a": 1}


def test_processes_are_not_told_the_password_of_the_database(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MucError("started with " + os.environ.get("MUC_DATABASE_URL", "nothing"))

    monkeypatch.setenv("MUC_DATABASE_URL", "postgresql://me:secret@db/muc")
    monkeypatch.setattr(supervise, "Hosts", refuse)
    with pytest.raises(MucError, match="started with nothing"):
        supervise.done_by_many(Launch(launcher="accelerate"), order(workspace), tmp_path / "j" / "1", SILENT)


def test_two_processes_do_a_job_together(workspace: Workspace) -> None:
    job = finish(workspace, start(workspace, "accelerate", Joint(steps=30)))
    assert (job.state, job.error) == ("done", None)
    own = job.result.pop("own index")
    threads = max(1, launcher.worker_threads() // 2)
    assert job.result == {"ranks": [0.0, 1.0], "world": 2, "job": job.id, "who": "login:ann", "threads": threads}
    assert own, "processes open an index of their own"
    assert (job.step, job.total, job.message, job.values) == (30, 30, "step 30", {"loss": 1 / 30})
    assert [step for step, _ in job.history] == list(range(1, 31))
    assert not (workspace.jobs_folder / f"{job.id}.launch").exists()


@pytest.mark.slow
class TestEnds:
    def test_cancelled_in_time(self, workspace: Workspace) -> None:
        job = wait_for_a_step(workspace, start(workspace, "accelerate", Joint(steps=10_000, pause_s=0.02)))
        assert those_at_work(job)
        begun = time.monotonic()
        assert cancel(workspace, job.id).state == "cancelled"
        assert time.monotonic() - begun < CANCELLED_WITHIN_S
        wait_until_none_is_left(job)

    def test_cancelled_while_one_hangs(self, workspace: Workspace) -> None:
        job = wait_for_a_step(workspace, start(workspace, "accelerate", Joint(mischief="hang")))
        begun = time.monotonic()
        assert cancel(workspace, job.id).state == "cancelled"
        assert time.monotonic() - begun < CANCELLED_WITHIN_S
        wait_until_none_is_left(job)

    def test_one_that_is_killed_is_lost_and_gone_on_with(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "accelerate", Joint(mischief="die")))
        assert job.state == "lost"
        assert "a process of accelerate ended" in str(job.error)
        assert f"`muc jobs resume {job.id}`" in str(job.error)
        assert job.step == 2
        again = launcher.resume(workspace, job.id, task_modules=[MODULE])
        assert finish(workspace, again).state == "lost"
        wait_until_none_is_left(job)

    def test_one_that_refuses_is_heard(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "accelerate", Joint(mischief="refuse")))
        assert (job.state, job.error) == ("failed", "the picture 'x.png' cannot be read")

    def test_a_defect_is_a_sentence_and_its_traceback_is_in_the_log(self, workspace: Workspace) -> None:
        job = finish(workspace, start(workspace, "accelerate", Joint(mischief="break")))
        log = JobTable(workspace).log(job.id)
        assert job.error == f"the job ended with an unexpected ZeroDivisionError; the details are in {log}"
        assert "a secret detail" in log.read_text()

    def test_they_end_when_the_worker_is_killed(self, workspace: Workspace) -> None:
        job = wait_for_a_step(workspace, start(workspace, "accelerate", Joint(steps=10_000, pause_s=0.02)))
        assert job.pid is not None
        os.kill(job.pid, signal.SIGKILL)
        assert finish(workspace, job).state == "lost"
        wait_until_none_is_left(job)


@pytest.mark.slow
def test_training_that_lost_its_worker_ends_in_the_encoder_that_one_process_makes(
    workspace: Workspace, tmp_path: Path
) -> None:
    settings = {"epochs": 4, "batch_size": 16, "optimizer": "sgd", "precision": "float32", "checkpoints": 2}
    job = TrainJob(name="e", data="demo", most_forget=8, most_retain=40, settings=settings)
    by_two = wait_for_a_step(workspace, submit(workspace, "train", job, launcher="accelerate"))
    assert by_two.pid is not None
    os.kill(by_two.pid, signal.SIGKILL)
    assert finish(workspace, by_two).state == "lost"
    ended = finish(workspace, launcher.resume(workspace, by_two.id))
    assert (ended.state, ended.error) == ("done", None)
    assert [run.state for run in workspace.runs()] == ["done"]
    (found,) = workspace.encoders()
    assert ended.result == {"encoder": "e", "run": found.manifest.run}

    alone = Workspace(tmp_path / "alone")
    find_task("train").run(job, alone, SILENT)
    expected = load_weights(alone.encoder("e").weights)
    weights = load_weights(found.weights)
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-3, rtol=1e-2)  # kept in half precision


@pytest.mark.slow
class TestHosts:
    def test_two_hosts(self, workspace: Workspace, ssh: Path) -> None:
        configure(workspace, "[accelerate]\nprocesses = 1\nhosts = ['127.0.0.1', 'localhost']\nport = 29611")
        job = finish(workspace, start(workspace, "accelerate"))
        assert (job.state, job.error) == ("done", None)
        assert job.result["ranks"] == [0.0, 1.0]
        asked = [line.split()[0] for line in ssh.read_text().splitlines() if "accelerate" in line]
        assert sorted(asked) == ["127.0.0.1", "localhost"]

    def test_a_host_that_is_not_reached(self, workspace: Workspace, ssh: Path) -> None:
        configure(workspace, "[accelerate]\nhosts = ['localhost', 'nowhere']")
        job = finish(workspace, start(workspace, "accelerate"))
        assert job.state == "failed"
        assert str(job.error).startswith(
            "the host 'nowhere' is not reached by ssh (ssh: Could not resolve hostname nowhere)"
        )


@pytest.mark.slow
class TestSlurm:
    def test_two_tasks(self, workspace: Workspace, cluster: Path) -> None:
        job = finish(workspace, start(workspace, "slurm", Joint(steps=4)))
        assert (job.state, job.error) == ("done", None)
        assert job.result["ranks"] == [0.0, 1.0]
        assert [step for step, _ in job.history] == [1, 2, 3, 4]
        (batch,) = cluster.iterdir()
        assert "#SBATCH --job-name=muc-together" in (batch / "script").read_text()

    def test_cancelled_in_time(self, workspace: Workspace, cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave_killing_to_the_worker(monkeypatch)  # what runs on a cluster is called off by the worker alone
        job = wait_for_a_step(workspace, start(workspace, "slurm", Joint(steps=10_000, pause_s=0.02)))
        begun = time.monotonic()
        assert cancel(workspace, job.id).state == "cancelled"
        assert time.monotonic() - begun < CANCELLED_WITHIN_S
        (batch,) = cluster.iterdir()
        deadline = time.monotonic() + 10
        while (batch / "state").read_text() == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def test_a_task_that_is_killed_is_lost_and_its_words_are_in_the_log(
        self, workspace: Workspace, cluster: Path
    ) -> None:
        job = finish(workspace, start(workspace, "slurm", Joint(mischief="die")))
        assert job.state == "lost"
        assert "a process of SLURM's job 1000 (FAILED) ended" in str(job.error)
        assert "_0_log.out" in JobTable(workspace).log(job.id).read_text()

    def test_what_slurm_does_not_take(self, workspace: Workspace, cluster: Path) -> None:
        configure(workspace, "[slurm]\npartition = 'closed'")
        job = finish(workspace, start(workspace, "slurm"))
        assert job.state == "failed"
        assert "sbatch: error: invalid partition specified: closed" in str(job.error)
