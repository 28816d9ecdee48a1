"""The log of a workspace: what is in it, that changes are found, and what happens when writers die or crowd."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from typer.testing import CliRunner

from muc_core.cli import app
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.jobs.table import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.evidence import keep_pack, key_file, make_key
from muc_core.workspace.files import write_file
from muc_core.workspace.log import LONGEST, NOTHING, Log, system_user


def filled(home: Path, count: int = 5) -> Log:
    log = Log(home)
    for number in range(count):
        log.append("system:ann", "encoder added", {"encoder": f"é-{number}"})
    return log


WRITER = """
import sys
from pathlib import Path
from muc_core.workspace.log import Log
for _ in range(int(sys.argv[2])):
    Log(Path(sys.argv[1])).append("system:bob", "login", {})
"""


def writer(home: Path, count: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(home), str(count)])


def test_the_digests_are_those_of_the_lines(tmp_path: Path) -> None:
    """Computed again without the code that wrote them."""
    lines = filled(tmp_path).path.read_text().splitlines()
    previous = "0" * 64
    for number, line in enumerate(lines, start=1):
        content = json.loads(line)
        digest = content.pop("digest")
        assert line == json.dumps(json.loads(line), separators=(",", ":"))
        assert digest == hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
        assert (content["number"], content["previous"]) == (number, previous)
        previous = digest
    assert json.loads((tmp_path / "log.head").read_text()) == {"number": 5, "digest": previous}


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    found = Log(tmp_path).read()
    assert (found.entries, found.faults, found.half, found.digest) == ((), (), None, NOTHING)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = filled(tmp_path_factory.mktemp("written"))
    assert log.read().faults == ()
    return log


def faults_of(home: Path, content: bytes, head: bytes) -> tuple[str, ...]:
    (home / "log.jsonl").write_bytes(content)
    (home / "log.head").write_bytes(head)
    return Log(home).read().faults


@settings(max_examples=150, deadline=None)
@given(choice=some.data())
def test_any_changed_byte_is_found(
    written: Log, tmp_path_factory: pytest.TempPathFactory, choice: some.DataObject
) -> None:
    content, head = written.path.read_bytes(), written.head.read_bytes()
    place = choice.draw(some.integers(0, len(content) + len(head) - 1))
    changed = bytearray(content + head)
    changed[place] ^= choice.draw(some.integers(1, 255))
    both = bytes(changed)
    home = tmp_path_factory.getbasetemp()
    assert faults_of(home, both[: len(content)], both[len(content) :])
    assert faults_of(home, content, head) == ()


@settings(max_examples=100, deadline=None)
@given(choice=some.data())
def test_any_line_that_is_gone_doubled_or_moved_is_found(
    written: Log, tmp_path_factory: pytest.TempPathFactory, choice: some.DataObject
) -> None:
    lines = written.path.read_bytes().splitlines(keepends=True)
    order = choice.draw(some.lists(some.integers(0, len(lines) - 1), max_size=8))
    faults = faults_of(
        tmp_path_factory.getbasetemp(), b"".join(lines[place] for place in order), written.head.read_bytes()
    )
    assert bool(faults) == (order != list(range(len(lines))))


def test_a_line_that_is_gone_is_missed_after_later_entries_too(tmp_path: Path) -> None:
    log = filled(tmp_path)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:-1]))
    log.append("system:ann", "logout", {})
    log.append("system:ann", "login", {})
    assert log.read().faults == (f"line 5 of {log.path} does not follow the one before it: lines are missing there",)


def test_without_its_head_a_log_is_not_called_whole(tmp_path: Path) -> None:
    log = filled(tmp_path)
    log.head.unlink()
    assert "is missing or damaged" in log.read().faults[0]
    log.path.unlink()
    write_file(log.head, b'{"number":5,"digest":"' + b"a" * 64 + b'"}')
    assert "entry 5" in log.read().faults[0]


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_half_a_line_is_named_and_removed_by_the_next_entry(tmp_path: Path, kept: int) -> None:
    log = filled(tmp_path, 3)
    content, head = log.path.read_bytes(), log.head.read_bytes()
    log.append("system:ann", "login", {})
    last = log.path.read_bytes()[len(content) :].rstrip(b"\n")
    half = last[:kept] if kept >= 0 else last
    log.path.write_bytes(content + half)  # as a process leaves it that is killed while it writes
    log.head.write_bytes(head)
    found = log.read()
    assert len(found.entries) == 3
    assert found.faults == ()
    assert (found.half is None) == (not half)
    log.append("system:ann", "logout", {})
    found = log.read()
    assert (found.faults, found.half) == ((), None)
    told = [(entry.what, entry.which) for entry in found.entries[3:]]
    mended = {"bytes": str(len(half)), "sha256": hashlib.sha256(half).hexdigest()}
    assert told == [*([("half a line removed", mended)] if half else []), ("logout", {})]


def test_an_entry_whose_head_was_not_written_any_more_counts(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    head = log.head.read_bytes()
    log.append("system:ann", "login", {})
    log.head.write_bytes(head)
    assert log.read().faults == ()
    assert log.append("system:ann", "logout", {}).number == 4
    assert log.read().faults == ()


def test_writers_in_threads_and_processes_keep_one_chain(tmp_path: Path) -> None:
    others = [writer(tmp_path, 10) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        for thread in [pool.submit(filled, tmp_path, 5) for _ in range(4)]:
            thread.result()
    assert [other.wait(60) for other in others] == [0, 0]
    found = Log(tmp_path).read()
    assert (found.faults, len(found.entries)) == ((), 40)


def test_a_writer_that_is_killed_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for least in (1, 30):
        process = writer(tmp_path, 10**6)
        while len(log.read().entries) < least:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    log.append("system:ann", "logout", {})
    assert log.read().faults == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(MucError, match="could not be written"):
            Log(tmp_path).append("system:ann", "login", {})
    finally:
        tmp_path.chmod(0o700)


def test_what_cannot_be_logged_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = filled(tmp_path, 2)
    content = log.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("muc_core.workspace.log.write_file", _full)
        with pytest.raises(MucError, match="disk is full"):
            log.append("system:ann", "login", {})
    assert log.path.read_bytes() == content
    log.append("system:ann", "login", {})
    assert log.read().faults == ()


def _full(path: Path, content: bytes) -> None:
    raise MucError(f"the disk is full: {path} could not be written")


def test_signs_that_cannot_be_shown_and_long_names_are_replaced(tmp_path: Path) -> None:
    entry = Log(tmp_path).append("login:\x1b[2J\ud800", "login", {"name": "n" * 1000})
    assert entry.who == "login:\ufffd[2J\ufffd"
    assert entry.which["name"] == "n" * LONGEST + "..."
    assert Log(tmp_path).read().entries == (entry,)


MANIFEST = EncoderManifest(name="mine", title="Mine", family="clip", architecture="muc-tiny")


def test_what_is_done_to_a_workspace_is_in_its_log(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", assets=tmp_path)
    record = workspace.save_encoder(MANIFEST, {"w": torch.ones(2)})
    workspace.rename_encoder("mine", "yours")
    workspace.save_audit(
        title="A", before="yours", after="yours", settings={}, digests={"owner": "abc"}, files={"a": b""}
    )
    workspace.delete_encoder("yours")
    make_key(workspace, key_file(workspace), None)
    keep_pack(workspace, b"pack")
    table = JobTable(workspace)
    job, _ = table.add("unlearn", {"original": "yours", "name": "x", "epochs": 3}, unique=False)
    assert job.who == system_user()
    table.request_cancel(job.id)
    table.queue_again(job.id)
    entries = workspace.log.read().entries
    assert [entry.what for entry in entries] == [
        "encoder added",
        "encoder renamed",
        "audit",
        "encoder removed",
        "key made",
        "evidence pack",
        "job started",
        "job cancelled",
        "job resumed",
    ]
    assert {entry.who for entry in entries} == {system_user()}
    digest = record.manifest.content_digest
    assert entries[0].which == {"encoder": "mine", "digest": digest}
    assert entries[1].which == {"encoder": "mine", "to": "yours", "digest": digest}
    assert entries[2].which["owner"] == "abc"
    assert entries[5].which["digest"] == hashlib.sha256(b"pack").hexdigest()
    assert entries[6].which == {"job": job.id, "kind": "unlearn", "original": "yours", "name": "x"}
    assert entries[7].which == {"job": job.id, "kind": "unlearn", "of": system_user()}


def test_nothing_is_done_that_cannot_be_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path / "home", assets=tmp_path)
    workspace.save_encoder(MANIFEST, {"w": torch.ones(2)})
    monkeypatch.setattr("muc_core.workspace.log.write_file", _full)
    other = MANIFEST.model_copy(update={"name": "other"})
    for deed in (
        lambda: workspace.save_encoder(other, {"w": torch.ones(2)}),
        lambda: workspace.rename_encoder("mine", "other"),
        lambda: workspace.delete_encoder("mine"),
        lambda: keep_pack(workspace, b"pack"),
        lambda: JobTable(workspace).add("unlearn", {}, unique=False),
    ):
        with pytest.raises(MucError, match="disk is full"):
            deed()
    assert [record.manifest.name for record in workspace.encoders()] == ["mine"]
    assert list((workspace.home / "evidence").iterdir()) == []
    assert JobTable(workspace).jobs() == []


def test_a_job_acts_for_whom_it_was_started(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home", job="123", assets=tmp_path)
    workspace.act_for("login:ann@example.org")
    workspace.save_encoder(MANIFEST, {"w": torch.ones(2)})
    (entry,) = workspace.log.read().entries
    assert (entry.who, entry.which["job"]) == ("login:ann@example.org", "123")


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_the_command_shows_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert "Nothing was logged yet" in call("log")
    assert "Whole: 0 entries" in call("log", "--verify")
    log = filled(tmp_path, 3)
    digest = log.read().digest
    assert "encoder é-2" in call("log")
    assert "é-1" not in call("log", "--last", "1")
    assert [entry["number"] for entry in json.loads(call("log", "--json"))] == [1, 2, 3]
    assert f"Whole: 3 entries, none changed or missing. last digest {digest}" in call("log", "--verify")
    log.append("system:ann", "login", {})
    call("log", "--verify", "--holds", digest)
    assert f"no entry of {log.path} has the digest 123" in call("log", "--verify", "--holds", "123", code=20)
    assert "add --verify" in call("log", "--holds", digest, code=2)
    with log.path.open("ab") as file:
        file.write(b'{"number":')
    assert "unfinished (10 bytes)" in call("log", "--verify")
    assert "Warning: the last line" in call("log")
    log.path.write_bytes(log.path.read_bytes().replace(b"login", b"logon"))
    told = json.loads(call("log", "--verify", "--json", code=20))
    assert not told["whole"]
    assert "line 4" in told["faults"][0]
    assert "Warning: line 4" in call("log")
