"""The command line: what it prints for people and programs, and how it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner, Result

from muc_core import __version__
from muc_core.cli import app
from muc_core.cli.progress import Bar
from muc_core.cli.settings import validated
from muc_core.comparison import Comparison
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs import launcher
from muc_core.jobs.table import JobTable
from muc_core.workspace import Workspace

COMMANDS = [
    ("demo",),
    ("demo", "build"),
    ("train",),
    ("unlearn",),
    ("audit",),
    ("audit-texts",),
    ("matrices",),
    ("embed",),
    ("presets",),
    ("serve-encoder",),
    ("stress",),
    ("sweep",),
    ("evaluate",),
    ("bench-methods",),
    ("encoders",),
    ("encoders", "list"),
    ("encoders", "show"),
    ("encoders", "remove"),
    ("encoders", "add"),
    ("encoders", "rename"),
    ("encoders", "check"),
    ("jobs",),
    ("jobs", "list"),
    ("jobs", "show"),
    ("jobs", "follow"),
    ("jobs", "cancel"),
    ("jobs", "resume"),
    ("jobs", "work"),
    ("keys",),
    ("keys", "new"),
    ("keys", "show"),
    ("workspace",),
    ("workspace", "show"),
    ("workspace", "move"),
    ("verify",),
    ("watch",),
    ("log",),
]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace, no demo encoders, and a terminal wide enough for whole sentences."""
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("COLUMNS", "200")
    return Workspace()


def muc(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def refused(*arguments: str) -> str:
    """The sentence with which a command was refused; nothing must be on stdout then."""
    result = muc(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


# what every command must have


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_offers_json(command: tuple[str, ...]) -> None:
    result = muc(*command, "--help")
    assert result.exit_code == 0
    assert f"muc {' '.join(command)}" in result.stdout.replace("root", "muc")
    assert "--json" in result.stdout


def test_the_list_above_is_complete() -> None:
    from typer.main import get_command

    found: list[tuple[str, ...]] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        found.append((name,))
        found.extend((name, inner) for inner in getattr(command, "commands", {}))
    assert sorted(found) == sorted(COMMANDS)


def test_help_of_all_commands_does_not_load_torch() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from muc_core.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([name for name in ('torch', 'numpy', 'pandas', 'sqlalchemy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_version() -> None:
    assert muc("--version").stdout.strip() == __version__


def test_a_wrong_command_is_refused() -> None:
    assert "No such command 'forget'" in refused("forget")


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Workspace) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Workspace, "encoders", broken)
    assert isinstance(muc("encoders").exception, ZeroDivisionError)


# demo


def test_demo_lists_its_sets_with_their_sizes() -> None:
    result = muc("demo", "--json")
    sizes = {entry["spec"]: entry["count"] for entry in json.loads(result.stdout)["sets"]}
    assert sizes["owner:artist"] == 150
    assert sizes["held-out"] == sizes["calibration"] == 160
    assert sizes["train"] == sizes["forget"] + sizes["retain"]
    assert "owner:artist" in muc("demo").stdout


def test_demo_build_refuses_a_name_that_the_demo_does_not_have(tmp_path: Path) -> None:
    sentence = refused("demo", "build", "--only", "demo-clop", "--out", str(tmp_path / "out"))
    assert "demo-clop" in sentence
    assert "demo-clip" in sentence


# encoders


def test_without_encoders_people_are_told_how_to_get_some() -> None:
    assert "muc train" in muc("encoders").stdout
    assert json.loads(muc("encoders", "--json").stdout) == []
    assert json.loads(muc("encoders", "list", "--json").stdout) == []


@pytest.mark.parametrize("command", ["show", "remove"])
def test_an_unknown_encoder_is_refused(command: str) -> None:
    assert "there is no encoder 'nobody'" in refused("encoders", command, "nobody")


# jobs


def test_jobs_are_listed_and_shown(workspace: Workspace) -> None:
    assert "no jobs yet" in muc("jobs").stdout
    job, _ = JobTable(workspace).add("unlearn", {"method": "ac", "epochs": 3}, unique=False)
    listed = json.loads(muc("jobs", "--json").stdout)
    assert [entry["id"] for entry in listed] == [job.id]
    shown = json.loads(muc("jobs", "show", job.id, "--json").stdout)
    assert shown["settings"] == {"method": "ac", "epochs": 3}
    assert shown["state"] == "queued"
    assert "settings.method" in muc("jobs", "show", job.id).stdout


def test_a_waiting_job_can_be_cancelled_once(workspace: Workspace) -> None:
    job, _ = JobTable(workspace).add("unlearn", {}, unique=False)
    assert json.loads(muc("jobs", "cancel", job.id, "--json").stdout)["state"] == "cancelled"
    assert "is over (cancelled)" in refused("jobs", "cancel", job.id)


def test_following_a_finished_job_shows_its_result(workspace: Workspace) -> None:
    table = JobTable(workspace)
    job, _ = table.add("unlearn", {}, unique=False)
    table.close(job.id, "done", result={"encoder": "mine"})
    result = muc("jobs", "follow", job.id, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["result"] == {"encoder": "mine"}


def test_following_a_failed_job_says_why(workspace: Workspace) -> None:
    table = JobTable(workspace)
    job, _ = table.add("unlearn", {}, unique=False)
    table.close(job.id, "failed", error="the loss is not a number at step 7")
    assert refused("jobs", "follow", job.id).endswith("Error: the loss is not a number at step 7\n")


def test_following_a_cancelled_job_ends_like_an_interrupt(workspace: Workspace) -> None:
    table = JobTable(workspace)
    job, _ = table.add("unlearn", {}, unique=False)
    table.request_cancel(job.id)
    result = muc("jobs", "follow", job.id)
    assert result.exit_code == 130
    assert "was cancelled" in result.stderr


def test_a_lost_job_is_gone_on_with(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Sequence[str]] = []

    def start(command: Sequence[str], *_: object) -> _Nobody:
        begun.append(command)
        return _Nobody()

    monkeypatch.setattr(launcher, "_start", start)
    table = JobTable(workspace)
    job, _ = table.add("unlearn", {}, unique=False)
    assert "is queued; only one that" in refused("jobs", "resume", job.id)
    table.close(job.id, "lost")
    resumed = json.loads(muc("jobs", "resume", job.id, "--detach", "--json").stdout)
    assert (resumed["id"], resumed["state"], resumed["attempt"]) == (job.id, "queued", 2)
    assert [command[-1] for command in begun] == [job.id]


class _Nobody:
    pid = None

    def wait(self) -> int:
        return 0


@pytest.mark.parametrize("command", ["show", "follow", "cancel", "resume"])
def test_an_unknown_job_is_refused(command: str) -> None:
    assert "there is no job '7'" in refused("jobs", command, "7")


# unlearn and train: their settings


def test_the_help_of_unlearn_has_the_settings_of_all_methods() -> None:
    text = muc("unlearn", "--help").stdout
    for option in ("--alpha", "--beta", "--gamma", "--epochs", "--learning-rate", "--batch-size", "--penalty"):
        assert option in text
    assert "Settings of ac" in text


def unlearn(method: str, *settings: str) -> tuple[str, ...]:
    return ("unlearn", "--method", method, "--original", "none", "--forget", "owner:artist", "--name", "new", *settings)


def test_an_unknown_method_is_refused() -> None:
    sentence = refused(*unlearn("magic"))
    assert "there is no unlearning method 'magic'" in sentence
    assert "ac" in sentence


@pytest.fixture
def encoder_called_none(workspace: Workspace) -> None:
    manifest = EncoderManifest(name="none", title="No original", family="clip", architecture="muc-tiny")
    workspace.save_encoder(manifest, {"a": torch.zeros(1)})


@pytest.mark.usefixtures("encoder_called_none")
def test_a_setting_of_another_method_is_refused() -> None:
    sentence = refused(*unlearn("finetune", "--alpha", "1"))
    assert "the method 'finetune' has no --alpha" in sentence
    assert "--epochs" in sentence


@pytest.mark.usefixtures("encoder_called_none")
def test_a_value_out_of_bounds_is_refused_by_the_name_of_its_option() -> None:
    sentence = refused(*unlearn("ac", "--beta", "-1", "--batch-size", "many"))
    assert "--beta should be greater than or equal to 0, not '-1'" in sentence
    assert "--batch-size should be a valid integer" in sentence
    assert "not 'many'" in sentence


def test_the_missing_original_is_named() -> None:
    assert "there is no encoder 'none'" in refused(*unlearn("ac"))


def test_train_refuses_a_setting_that_is_a_methods_own() -> None:
    assert "No such option: --alpha" in refused("train", "--data", "demo", "--name", "new", "--alpha", "1")


def test_train_refuses_data_that_are_not_there() -> None:
    assert "there is no data set 'nowhere'" in refused("train", "--data", "nowhere", "--name", "new")


class Views(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    flip: float = Field(0.5, ge=0, le=1)


class Example(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    rate: float = Field(0.1, gt=0)
    clip: float | None = 1.0
    schedule: Literal["cosine", "constant"] = "constant"
    fast: bool = True
    views: Views | None = None


def test_settings_are_read_as_their_types() -> None:
    given = {"rate": "1e-3", "clip": "", "schedule": "cosine", "fast": "false", "views": '{"flip": 0}'}
    expected = Example(rate=1e-3, clip=None, schedule="cosine", fast=False, views=Views(flip=0))
    assert validated(Example, given, what="the example") == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rate": "0"}, "--rate should be greater than 0, not '0'"),
        ({"schedule": "step"}, "--schedule should be 'cosine' or 'constant', not 'step'"),
        ({"views": "flip"}, "--views must be a JSON object"),
        ({"views": '{"flip": 2}'}, "--views.flip should be less than or equal to 1, not 2"),
        ({"speed": "1"}, "the example has no --speed; its settings are --rate, --clip"),
    ],
)
def test_settings_are_refused_with_a_sentence(given: dict[str, str], reason: str) -> None:
    with pytest.raises(MucError) as refusal:
        validated(Example, given, what="the example")
    assert reason in str(refusal.value)


# matrices


def matrices(**options: str) -> tuple[str, ...]:
    usual = {"before": "none", "after": "none", "items": "owner:artist"} | options
    return ("matrices", *(part for name, value in usual.items() for part in (f"--{name}", value)))


def test_matrices_refuses_a_file_type_before_any_work() -> None:
    sentence = refused(*matrices(out="gap.gif"))
    assert "must end in .png, .svg, .json, not '.gif'" in sentence


def test_matrices_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no folder" in refused(*matrices(out=str(tmp_path / "missing" / "gap.png")))


def test_matrices_refuses_an_unknown_encoder() -> None:
    assert "there is no encoder 'none'" in refused(*matrices())


def test_matrices_refuses_an_unknown_mode() -> None:
    assert "--mode" in refused(*matrices(mode="magic"))


# the whole way, with real jobs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `pictures` of 16 coloured squares, 4 of them by the artist, and a workspace `home` trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "pictures").mkdir()
    lines = ["file,caption,owner"]
    for number in range(16):
        name = f"{number}.png"
        colour = (number * 15, 255 - number * 10, number * 53 % 255)
        Image.new("RGB", (32, 32), colour).save(folder / "pictures" / name)
        lines.append(f"{name},shade {number},{'artist' if number < 4 else 'others'}")
    (folder / "pictures" / "captions.csv").write_text("\n".join(lines), encoding="utf-8")

    sizes = ("--held-out", "4", "--calibration", "2", "--batch-size", "4", "--epochs", "1", "--forget", "owner:artist")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MUC_HOME", str(folder / "home"))
        environment.chdir(folder)
        result = muc("train", "--data", "pictures", "--name", "mine", *sizes, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["result"]["encoder"] == "mine"
    return folder


@pytest.fixture
def original(trained: Path, workspace: Workspace) -> str:
    """The name of an encoder trained for one epoch, in the test's own workspace."""
    shutil.copytree(trained / "home" / "encoders" / "mine", workspace.home / "encoders" / "mine")
    return "mine"


FORGET = ("unlearn", "--method", "ac", "--forget", "owner:artist", "--batch-size", "8")


@pytest.mark.slow
def test_from_pictures_to_a_gap(original: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = muc(*FORGET, "--original", original, "--name", "less", "--epochs", "1", "--beta", "2")
    assert result.exit_code == 0, result.stderr
    assert "encoder less" in result.stdout
    assert "muc matrices --before mine --after less --items owner:artist" in result.stderr

    shown = json.loads(muc("encoders", "show", "less", "--json").stdout)
    assert (shown["method"], shown["original"]) == ("ac", "mine")
    assert (shown["settings"]["beta"], shown["settings"]["epochs"]) == (2.0, 1)
    assert sorted(shown["data"]["split"]["forget"]) == ["0.png", "1.png", "2.png", "3.png"]
    assert [entry["name"] for entry in json.loads(muc("encoders", "--json").stdout)] == ["mine", "less"]

    # The data are found again from another folder.
    monkeypatch.chdir(tmp_path)
    compare = matrices(before="mine", after="less", items="forget", controls="held-out", out="gap.png")
    result = muc(*compare, "--json")
    assert result.exit_code == 0, result.stderr
    comparison = Comparison.from_json(result.stdout)
    assert sorted(comparison.ids) == ["0.png", "1.png", "2.png", "3.png"]
    assert comparison.controls is not None
    assert len(comparison.controls.ids) == 4
    with Image.open("gap.png") as figure:
        assert figure.format == "PNG"
    assert comparison.finding in muc(*compare).stdout
    assert muc(*matrices(before="mine", after="less", items="forget", out="gap.json")).exit_code == 0
    assert Comparison.from_json(Path("gap.json").read_text(encoding="utf-8")).controls is None

    assert "mine" in refused(*FORGET, "--original", "mine", "--name", "mine")
    assert muc("encoders", "remove", "less", "--yes").exit_code == 0
    assert "there is no encoder 'less'" in refused("encoders", "show", "less")


@pytest.mark.slow
def test_changed_pictures_are_noticed(original: str, trained: Path) -> None:
    picture = trained / "pictures" / "5.png"
    content = picture.read_bytes()
    Image.new("RGB", (32, 32), "black").save(picture)
    try:
        compare = matrices(before=original, after=original, items="held-out")
        assert "are not those that mine was trained on" in refused(*compare)
    finally:
        picture.write_bytes(content)


@pytest.mark.slow
def test_what_fails_in_the_worker_is_said_in_one_sentence(original: str) -> None:
    sentence = refused(*FORGET[:3], "--forget", "train", "--original", original, "--name", "less")
    assert sentence.splitlines()[-1].startswith("Error: the forget set is all 10 items trained on")


@pytest.mark.slow
def test_ctrl_c_cancels_the_job(original: str, workspace: Workspace) -> None:
    command = [sys.executable, "-c", "from muc_core.cli import app; app()", *FORGET]
    command += ["--original", original, "--name", "less", "--epochs", "10000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    table = JobTable(workspace)
    try:
        deadline = time.monotonic() + 300
        while not any(job.kind == "unlearn" and job.step > 0 for job in table.jobs()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        printed, said = process.communicate(timeout=60)
    finally:
        process.kill()
        for job in table.active():
            launcher.cancel(workspace, job.id)
    assert process.returncode == 130
    assert printed == ""
    assert "was cancelled" in said
    assert "Traceback" not in said
    assert table.jobs()[0].state == "cancelled"


# progress


def test_the_bar_writes_to_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(quiet=False) as bar:
        bar.report(3, 4, "epoch 3 of 4", {"loss": 1.234})
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "epoch 3 of 4" in printed.err
    assert "3/4" in printed.err
    assert "loss 1.23" in printed.err


def test_a_quiet_bar_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(quiet=True) as bar:
        bar.report(1, 2, "at work")
    assert capsys.readouterr().err == ""
