"""`muc watch` on encoders of the demo: quiet while nothing returns, and an alert when it does."""

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.data.demo import demo_split
from muc_core.jobs.watch import store
from muc_core.workspace import Workspace
from tests.unit.jobs.test_watch import hooked

PICTURES, CONTROLS = 12, 24


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With an encoder "mine", which is the honestly retrained one."""
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    workspace = Workspace()
    serve(workspace, "demo-clip-retrain")
    (tmp_path / "ids.txt").write_text("\n".join(demo_split().forget[:PICTURES]))
    return workspace


def serve(workspace: Workspace, name: str) -> None:
    """From now on "mine" is this encoder."""
    if (workspace.encoders_folder / "mine").exists():
        workspace.delete_encoder("mine")
    record = workspace.encoder(name)
    manifest = record.manifest.model_copy(update={"name": "mine"})
    workspace.add_encoder(manifest, {file: record.folder / file for file in record.manifest.files})


NEW = ("--after", "mine", "--forget", "ids:ids.txt", "--match", CONTROLS, "--looks", 3, "--views", 2, "--no-probes")


def muc(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["watch", *map(str, arguments)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    return result.stderr if code == 2 else result.stdout


def test_a_returned_trace_and_a_changed_model_are_told_and_end_in_exit_codes(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(muc("artist", *NEW, "--once", "--json"))
    assert (first["number"], first["alerts"], first["moved"]) == (1, [], None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # as cron would
    with hooked() as (address, received):
        second = json.loads(muc("artist", "--once", "--json", "--webhook", address))
    assert received == []  # there is nothing to alert of
    assert (second["number"], second["alerts"]) == (2, [])
    assert second["moved"] < 1e-4
    assert second["p"] != first["p"]  # other views
    serve(workspace, "demo-clip")
    report = tmp_path / "look.xml"
    with hooked() as (address, received):
        third = json.loads(muc("artist", "--once", "--json", "--junit", report, "--webhook", address, code=10))
    assert [json.loads(content) for content in received] == [third]
    assert third["alerts"] == ["trace", "model"]
    assert third["p"] <= third["level"]
    assert 'failures="2"' in report.read_text()
    assert len(store.read(workspace, "artist").looks) == 3
    again = muc("artist", "--once", code=10)  # it stays an alert, and makes no other look
    assert "ALERT Look 3 of 3: a trace of the pictures stands out in mine" in " ".join(again.split())
    assert "a trace was found" in muc()
    assert json.loads(muc("--json"))[0]["made"] == 3
    muc("artist", "--delete")
    assert json.loads(muc("--json")) == []


@pytest.mark.slow
def test_watching_in_a_loop_ends_with_the_last_look_and_a_changed_model_goes_on(workspace: Workspace) -> None:
    muc("artist", *NEW, "--once")
    serve(workspace, "demo-clip-ac-matched")
    lines = [json.loads(line) for line in muc("artist", "--every", "1s", "--json", code=30).splitlines()]
    assert [(look["number"], look["alerts"]) for look in lines] == [(2, ["model"]), (3, [])]
    assert "all 3 looks of the watch 'artist' were made" in muc("artist", "--every", "1s", code=2)


def test_refusals(workspace: Workspace, tmp_path: Path) -> None:
    assert "name --after" in muc("artist", "--once", code=2)
    assert "say how often to look" in muc("artist", *NEW, code=2)
    assert "say how often to look" in muc("artist", *NEW, "--once", "--every", "1d", code=2)
    assert "such as 30m" in muc("artist", *NEW, "--every", "often", code=2)
    assert "begins with https" in muc("artist", *NEW, "--once", "--webhook", "ftp://x", code=2)
    assert "there is no folder" in muc("artist", *NEW, "--once", "--junit", tmp_path / "no" / "a.xml", code=2)
    assert "there is nothing to watch" in muc("artist", *NEW, "--controls", "transformed", "--once", code=2)
    assert "alpha" in muc("artist", *NEW, "--alpha", "0.7", "--once", code=2)
    assert "cannot be the name" in muc("../up", *NEW, "--once", code=2)
    assert json.loads(muc("--json")) == []
    muc("artist", *NEW, "--once")
    assert "is registered with --looks 3, not 4" in muc("artist", "--looks", 4, "--once", code=2)
    (tmp_path / "ids.txt").write_text("\n".join(demo_split().forget[1 : PICTURES + 1]))
    assert "are not those it was registered with" in muc("artist", "--once", code=2)
    assert len(store.read(workspace, "artist").looks) == 1


@pytest.mark.parametrize("file", ["watch.md", "examples/audit-gate.yml"])
def test_the_commands_in_the_documents_are_ones_that_exist(file: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / file).read_text(encoding="utf-8")
    text = re.sub(r"\n +(--)", r" \1", text)  # lines that go on
    lines = re.findall(r"^ *muc (watch|audit) ([^#\n]+)", text, re.MULTILINE)
    assert lines
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, arguments in lines:
        commands[name].make_context(name, arguments.split(), resilient_parsing=True)
