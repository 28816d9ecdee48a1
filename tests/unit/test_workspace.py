"""The workspace: what is written comes back, killed writers spoil nothing, and damage is said and survived."""

import errno
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from muc_core.data.splits import DataSplit
from muc_core.encoders.checkpoint import file_digest, load_weights
from muc_core.encoders.manifest import (
    WEIGHTS,
    AuditManifest,
    CheckpointEntry,
    DataReference,
    EncoderManifest,
    RunManifest,
    check_name,
    installed_versions,
)
from muc_core.errors import Cancelled, MucError, UnknownName
from muc_core.workspace import RunWriter, Workspace, write_encoder
from muc_core.workspace.files import new_folder, sweep, write_file
from muc_core.workspace.migrations import SCHEMA_VERSION

ROOT = Path(__file__).parents[2]
TENSORS = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "count": torch.tensor(3)}
SPLIT = DataSplit(seed=1, forget=("a",), retain=("b", "c"), held_out=("d",), calibration=("e",))


@pytest.fixture(autouse=True)
def _no_shipped_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "home")


def encoder_manifest(name: str = "mine", *, original: str | None = None) -> EncoderManifest:
    return EncoderManifest(
        name=name,
        title="My encoder",
        family="clip",
        architecture="tiny",
        method="ac",
        original=original,
        settings={"alpha": 1.0, "layers": [1, 2], "note": None},
        seeds={"order": 7},
        data=DataReference(spec="demo", digest="00ff", split=SPLIT),
        versions=installed_versions(),
        run_time_s=1.5,
        metrics={"loss": 0.25},
    )


def begin(workspace: Workspace, *, method: str = "ac", original: str = "demo-clip") -> RunWriter:
    return workspace.new_run(
        kind="unlearn",
        title="A run",
        family="clip",
        architecture="tiny",
        method=method,
        original=original,
        settings={"epochs": 2},
        seeds={"order": 7},
        data=None,
    )


def run_python(code: str, *arguments: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *arguments], env=environment)


def refuse(code: int) -> Callable[..., NoReturn]:
    def refusing(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refusing


def hidden_files(folder: Path) -> list[Path]:
    # not rglob: a folder that a writer renames at this moment would end it
    return [
        Path(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
        if name.startswith(".tmp-")
    ]


class TestEncoders:
    def test_what_is_saved_comes_back(self, workspace: Workspace) -> None:
        saved = workspace.save_encoder(encoder_manifest(), TENSORS, float16=False)
        again = Workspace(workspace.home).encoder("mine")
        assert again == saved
        assert again.manifest == encoder_manifest().with_files({WEIGHTS: file_digest(again.weights)}).model_copy(
            update={"created": again.manifest.created}
        )
        assert not again.shipped
        weights = load_weights(again.weights)
        assert all(torch.equal(weights[name], tensor) for name, tensor in TENSORS.items())

    def test_weights_are_stored_in_half_the_size_unless_told_otherwise(self, workspace: Workspace) -> None:
        weights = load_weights(workspace.save_encoder(encoder_manifest(), TENSORS).weights)
        assert weights["b"].dtype == torch.float16
        assert weights["count"].dtype == torch.int64

    def test_the_same_weights_have_the_same_digest_by_whatever_name(self, workspace: Workspace) -> None:
        records = [workspace.save_encoder(encoder_manifest(f"e{number}"), TENSORS) for number in range(6)]
        assert len({record.manifest.weights_digest for record in records}) == 1

    def test_an_empty_workspace_has_none(self, workspace: Workspace) -> None:
        assert workspace.encoders() == []
        assert workspace.problems() == ()

    def test_own_encoders_are_listed_in_the_order_they_were_made(self, workspace: Workspace) -> None:
        for name in ("z", "a", "m"):
            workspace.save_encoder(encoder_manifest(name), TENSORS)
            time.sleep(0.002)
        assert [record.manifest.name for record in workspace.encoders()] == ["z", "a", "m"]

    def test_a_taken_name_is_refused_and_nothing_changes(self, workspace: Workspace) -> None:
        first = workspace.save_encoder(encoder_manifest(), TENSORS)
        with pytest.raises(MucError, match="an encoder 'mine' already; choose another name"):
            workspace.save_encoder(encoder_manifest(), {"other": torch.zeros(1)})
        assert workspace.encoder("mine") == first
        assert file_digest(first.weights) == first.manifest.weights_digest

    @pytest.mark.parametrize("name", ["", "A", "../x", ".hidden", "a b", "a/b", "é", "-x", "a" * 65, "a\n"])
    def test_names_that_cannot_be_folders_are_refused(self, name: str) -> None:
        with pytest.raises(MucError, match="lower-case letters"):
            check_name(name)
        with pytest.raises(ValidationError):
            encoder_manifest(name)

    @pytest.mark.parametrize("name", ["a", "demo-clip-ac", "0.9_x", "a" * 64])
    def test_names_that_are_fine(self, name: str, workspace: Workspace) -> None:
        assert workspace.check_new_name(name) == name

    def test_an_unknown_name_lists_the_known_ones(self, workspace: Workspace) -> None:
        workspace.save_encoder(encoder_manifest("first"), TENSORS)
        with pytest.raises(UnknownName, match="no encoder 'second'; known: first"):
            workspace.encoder("second")

    @pytest.mark.parametrize("name", ["..", ".", "", "../home/encoders/mine", "mine/../mine"])
    def test_a_path_is_not_a_name(self, workspace: Workspace, name: str) -> None:
        workspace.save_encoder(encoder_manifest(), TENSORS)
        with pytest.raises(UnknownName):
            workspace.encoder(name)
        with pytest.raises(UnknownName):
            workspace.delete_encoder(name)
        assert workspace.encoder("mine").weights.exists()

    def test_a_deleted_encoder_is_gone_and_its_name_free(self, workspace: Workspace) -> None:
        workspace.save_encoder(encoder_manifest(), TENSORS)
        assert len(workspace.encoders()) == 1
        workspace.delete_encoder("mine")
        assert workspace.encoders() == []
        assert list(workspace.encoders_folder.iterdir()) == []
        workspace.save_encoder(encoder_manifest(), TENSORS)

    def test_other_weights_than_the_manifest_describes_are_not_loaded(self, workspace: Workspace) -> None:
        record = workspace.save_encoder(encoder_manifest(), TENSORS)
        content = bytearray(record.weights.read_bytes())
        content[-1] ^= 1
        record.weights.write_bytes(content)
        with pytest.raises(MucError, match="another SHA-256"):
            workspace.load("mine")


class TestShippedEncoders:
    @pytest.fixture
    def shipped(self, tmp_path: Path) -> Path:
        folder = tmp_path / "assets" / "encoders"
        folder.mkdir(parents=True)
        write_encoder(folder, encoder_manifest("demo-clip"), TENSORS)
        return folder

    def test_they_are_listed_beside_the_own_ones(self, workspace: Workspace, shipped: Path) -> None:
        workspace.save_encoder(encoder_manifest("mine"), TENSORS)
        assert [(record.manifest.name, record.shipped) for record in workspace.encoders()] == [
            ("demo-clip", True),
            ("mine", False),
        ]
        assert workspace.encoder("demo-clip").folder == shipped / "demo-clip"

    @pytest.mark.usefixtures("shipped")
    def test_they_can_be_neither_deleted_nor_overwritten(self, workspace: Workspace) -> None:
        with pytest.raises(MucError, match="comes with the program"):
            workspace.delete_encoder("demo-clip")
        with pytest.raises(MucError, match="already"):
            workspace.save_encoder(encoder_manifest("demo-clip"), TENSORS)

    def test_a_damaged_one_is_said_and_the_others_listed(self, workspace: Workspace, shipped: Path) -> None:
        write_encoder(shipped, encoder_manifest("demo-bad"), TENSORS)
        (shipped / "demo-bad" / "manifest.json").write_text("{")
        assert [record.manifest.name for record in workspace.encoders()] == ["demo-clip"]
        assert "demo-bad" in workspace.problems()[0]


@pytest.mark.usefixtures("backend")
class TestDamage:
    @pytest.fixture
    def damaged(self, workspace: Workspace) -> Workspace:
        workspace.save_encoder(encoder_manifest("good"), TENSORS)
        workspace.save_encoder(encoder_manifest("bad"), TENSORS)
        return workspace

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda text: text[: len(text) // 2], "not complete JSON"),
            (lambda _: "", "not complete JSON"),
            (lambda _: "\x00" * 40, "not complete JSON"),
            (lambda _: "[1, 2]", "is damaged"),
            (lambda _: "[" * 100_000, "not complete JSON"),
            (lambda text: text.replace('"family": "clip"', '"family": 3'), "family"),
            (lambda text: text.replace('"family": "clip",', ""), "family"),
            (lambda text: text.replace('"schema_version": 1', '"schema_version": 99'), "newer version"),
            (lambda text: text.replace('"title"', '"titel"'), "titel"),
            (lambda text: text.replace('"name": "bad"', '"name": "good"'), "give both the same name"),
            (lambda text: text.replace('"d"', '"a"'), "data.split"),
        ],
    )
    def test_a_damaged_manifest_costs_only_its_own_encoder(
        self, damaged: Workspace, damage: Callable[[str], str], said: str
    ) -> None:
        path = damaged.encoders_folder / "bad" / "manifest.json"
        changed = damage(path.read_text())
        assert changed != path.read_text()
        path.write_text(changed)
        assert [record.manifest.name for record in damaged.encoders()] == ["good"]
        (problem,) = damaged.problems()
        assert str(damaged.encoders_folder / "bad") in problem
        assert said in problem
        with pytest.raises(MucError, match=r"bad") as caught:
            damaged.encoder("bad")
        assert str(caught.value) == problem

    def test_missing_files_are_said(self, damaged: Workspace) -> None:
        (damaged.encoders_folder / "bad" / "weights.safetensors").unlink()
        (damaged.encoders_folder / "empty").mkdir()
        assert [record.manifest.name for record in damaged.encoders()] == ["good"]
        assert [problem.split(" has no ")[1].split(";")[0] for problem in damaged.problems()] == [
            "weights.safetensors",
            "manifest.json",
        ]

    def test_a_mended_manifest_is_listed_again(self, damaged: Workspace) -> None:
        path = damaged.encoders_folder / "bad" / "manifest.json"
        content = path.read_bytes()
        path.write_bytes(b"")
        assert len(damaged.problems()) == 1
        path.write_bytes(content)
        assert damaged.problems() == ()
        assert len(damaged.encoders()) == 2

    def test_a_damaged_encoder_can_be_deleted(self, damaged: Workspace) -> None:
        (damaged.encoders_folder / "bad" / "manifest.json").write_bytes(b"")
        damaged.delete_encoder("bad")
        assert damaged.problems() == ()


class TestIndex:
    def test_a_deleted_index_is_rebuilt_even_while_in_use(self, workspace: Workspace) -> None:
        workspace.save_encoder(encoder_manifest(), TENSORS)
        begin(workspace).finish()
        assert len(workspace.encoders()) == 1
        for path in workspace.home.glob("index.sqlite*"):
            path.unlink()
        assert len(workspace.encoders()) == 1
        assert len(workspace.runs()) == 1

    @pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
    def test_a_damaged_index_is_set_aside_and_rebuilt(self, workspace: Workspace, content: bytes) -> None:
        workspace.save_encoder(encoder_manifest(), TENSORS)
        assert len(workspace.encoders()) == 1
        for path in workspace.home.glob("index.sqlite-*"):
            path.unlink()
        (workspace.home / "index.sqlite").write_bytes(content)
        again = Workspace(workspace.home)
        assert [record.manifest.name for record in again.encoders()] == ["mine"]
        if content:
            assert "was damaged" in again.problems()[0]
            assert len(list(workspace.home.glob("index.sqlite.damaged-*"))) == 1

    def test_a_damaged_page_inside_is_found(self, workspace: Workspace) -> None:
        for number in range(12):
            workspace.save_encoder(encoder_manifest(f"e{number}"), TENSORS)
        assert len(workspace.encoders()) == 12
        with sqlite3.connect(workspace.home / "index.sqlite") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        path = workspace.home / "index.sqlite"
        content = bytearray(path.read_bytes())
        content[4096 : len(content)] = os.urandom(len(content) - 4096)
        path.write_bytes(content)
        again = Workspace(workspace.home)
        assert len(again.encoders()) == 12
        assert "was damaged" in again.problems()[0]

    @pytest.mark.usefixtures("backend")
    def test_an_index_out_of_step_is_brought_up_to_date(self, workspace: Workspace) -> None:
        workspace.save_encoder(encoder_manifest("one"), TENSORS)
        workspace.save_encoder(encoder_manifest("two"), TENSORS)
        assert len(workspace.encoders()) == 2
        (workspace.encoders_folder / "two").rename(workspace.home / "elsewhere")
        write_encoder(workspace.encoders_folder, encoder_manifest("three"), TENSORS)
        assert [record.manifest.name for record in workspace.encoders()] == ["one", "three"]

    @pytest.mark.usefixtures("backend")
    def test_unchanged_manifests_are_not_read_again(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace.save_encoder(encoder_manifest(), TENSORS)
        first = workspace.encoders()
        monkeypatch.setattr("muc_core.workspace.index.read_entry", refuse(errno.EIO))
        assert workspace.encoders() == first

    def test_the_schema_version_is_recorded_and_a_newer_one_refused(self, workspace: Workspace) -> None:
        with sqlite3.connect(workspace.home / "index.sqlite") as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            connection.execute("PRAGMA user_version=99")
        connection.close()
        with pytest.raises(MucError, match="newer version"):
            Workspace(workspace.home)
        assert (workspace.home / "index.sqlite").exists()


class TestRuns:
    def test_a_run_comes_back_as_it_was_written(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.record(1, 0.5, {"loss": 2.0})
        run.record(2, 1.0, {"loss": float("nan"), "term": 1.0})
        run.add_checkpoint(2, TENSORS, epoch=1.0, values={"loss": 1.5})
        run.add_checkpoint(1, TENSORS, epoch=0.5, float16=False)
        finished = run.finish(encoder="mine", run_time_s=3.0, metrics={"loss": float("inf")})

        (record,) = Workspace(workspace.home).runs()
        assert record.manifest == finished.manifest
        assert record.state == "done"
        assert record.manifest.encoder == "mine"
        assert record.manifest.metrics == {"loss": float("inf")}
        history = record.history()
        assert [(entry.step, entry.epoch) for entry in history] == [(1, 0.5), (2, 1.0)]
        assert np.isnan(history[1].values["loss"])
        one, two = record.checkpoints()
        assert (one.step, two.step, two.values) == (1, 2, {"loss": 1.5})
        assert load_weights(one.path)["b"].dtype == torch.float32
        assert load_weights(two.path)["b"].dtype == torch.float16
        assert record.manifest.checkpoints[0].digest == file_digest(one.path)

    @pytest.mark.usefixtures("backend")
    def test_ids_sort_by_age_and_runs_are_listed_newest_first(self, workspace: Workspace) -> None:
        ids = [begin(workspace).id for _ in range(4)]
        assert ids == sorted(ids)
        assert [record.manifest.id for record in workspace.runs()] == ids[::-1]

    @pytest.mark.usefixtures("backend")
    def test_runs_can_be_asked_for_by_method_and_original(self, workspace: Workspace) -> None:
        begin(workspace, method="ac").finish()
        begin(workspace, method="l1").finish()
        begin(workspace, method="l1", original="other").finish()
        assert [record.manifest.original for record in workspace.runs(method="l1")] == ["other", "demo-clip"]
        assert len(workspace.runs(method="l1", original="other")) == 1
        assert workspace.runs(family="moco") == []

    @pytest.mark.parametrize(
        ("error", "state", "said"),
        [
            (Cancelled(), "cancelled", None),
            (MucError("the batch is too small"), "failed", "the batch is too small"),
            (RuntimeError("secret detail"), "failed", "stopped by an unexpected RuntimeError"),
        ],
    )
    def test_a_block_that_raises_closes_the_run(
        self, workspace: Workspace, error: Exception, state: str, said: str | None
    ) -> None:
        with pytest.raises(type(error)), begin(workspace):
            raise error
        (record,) = workspace.runs()
        assert (record.state, record.manifest.error) == (state, said)
        assert record.manifest.finished is not None

    def test_a_block_that_ends_finishes_the_run(self, workspace: Workspace) -> None:
        with begin(workspace) as run:
            assert workspace.run(run.id).state == "running"
        assert workspace.run(run.id).state == "done"

    def test_a_closed_run_cannot_be_closed_again(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.cancel()
        with pytest.raises(ValueError, match="already cancelled"):
            run.finish()

    def test_the_same_step_replaces_its_checkpoint(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.add_checkpoint(5, TENSORS, epoch=1)
        path = run.add_checkpoint(5, {"b": torch.zeros(1)}, epoch=1)
        (checkpoint,) = run.finish().checkpoints()
        assert checkpoint.path == path
        assert list(load_weights(path)) == ["b"]

    def test_a_run_carries_the_job_of_its_process(self, workspace: Workspace) -> None:
        assert begin(Workspace(workspace.home, job="j1")).manifest.job == "j1"

    def test_two_cannot_write_one_run(self, workspace: Workspace) -> None:
        run = begin(workspace)
        with pytest.raises(MucError, match="another process"):
            workspace.resume_run(run.id)
        with pytest.raises(MucError, match="cancel it first"):
            workspace.delete_run(run.id)

    def test_a_failed_run_can_be_resumed_and_a_done_one_not(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.record(1, 0.5, {"loss": 2.0})
        run.write_file("state.pt", b"123")
        run.fail("the disk is full")
        resumed = workspace.resume_run(run.id)
        assert workspace.run(run.id).state == "running"
        assert (resumed.folder / "state.pt").read_bytes() == b"123"
        resumed.record(2, 1.0, {"loss": 1.0})
        record = resumed.finish()
        assert record.manifest.error is None
        assert [entry.step for entry in record.history()] == [1, 2]
        with pytest.raises(MucError, match="nothing to resume"):
            workspace.resume_run(run.id)

    @pytest.mark.parametrize("name", ["manifest.json", "history.jsonl", "../x", ".lock", "a/b"])
    def test_further_files_cannot_replace_the_runs_own(self, workspace: Workspace, name: str) -> None:
        with pytest.raises(ValueError, match="cannot be a further file"):
            begin(workspace).write_file(name, b"")

    def test_an_unfinished_last_line_is_left_out_and_cut_off_on_resuming(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.record(1, 0.5, {"loss": 2.0})
        record = run.fail("x")
        path = record.folder / "history.jsonl"
        path.write_bytes(path.read_bytes() + b'{"step": 2, "epo')
        assert [entry.step for entry in record.history()] == [1]
        with workspace.resume_run(run.id) as resumed:
            resumed.record(3, 1.0, {})
        assert [entry.step for entry in record.history()] == [1, 3]

    def test_a_damaged_line_in_between_is_named(self, workspace: Workspace) -> None:
        record = begin(workspace).finish()
        (record.folder / "history.jsonl").write_text('{"step": 1}\n')
        with pytest.raises(MucError, match=r"line 1 of .*history\.jsonl is damaged"):
            record.history()

    def test_an_unknown_run(self, workspace: Workspace) -> None:
        run = begin(workspace).finish()
        with pytest.raises(UnknownName, match=run.manifest.id):
            workspace.run("20000101-000000-000000-0000")

    @pytest.mark.usefixtures("backend")
    def test_a_deleted_run_is_gone(self, workspace: Workspace) -> None:
        run = begin(workspace).finish()
        workspace.delete_run(run.manifest.id)
        assert workspace.runs() == []


class TestAudits:
    @pytest.mark.usefixtures("backend")
    def test_an_audit_comes_back_as_it_was_saved(self, workspace: Workspace) -> None:
        saved = workspace.save_audit(
            title="Mine",
            before="demo-clip",
            after="demo-clip-ac",
            settings={"views": 8},
            digests={"items": "ff"},
            files={"comparison.json": b"{}"},
        )
        (record,) = Workspace(workspace.home).audits()
        assert record == saved == workspace.audit(saved.manifest.id)
        assert record.read("comparison.json") == b"{}"

    def test_a_file_that_changed_is_refused(self, workspace: Workspace) -> None:
        record = workspace.save_audit(
            title="Mine", before="a", after="b", settings={}, digests={}, files={"comparison.json": b"{}"}
        )
        (record.folder / "comparison.json").write_bytes(b"[]")
        with pytest.raises(MucError, match="not as it was saved"):
            record.read("comparison.json")
        with pytest.raises(MucError, match=r"has no file 'x'; it has comparison\.json"):
            record.read("x")

    def test_unknown_and_impossible_names(self, workspace: Workspace) -> None:
        with pytest.raises(UnknownName):
            workspace.audit("../encoders")
        with pytest.raises(ValueError, match="cannot be a file"):
            workspace.save_audit(title="", before="a", after="b", settings={}, digests={}, files={"../x": b""})
        assert workspace.audits() == []


class TestMaps:
    def test_a_map_comes_back(self, workspace: Workspace) -> None:
        arrays = {"before": np.arange(4.0).reshape(2, 2), "ids": np.array(["a", "é"])}
        assert workspace.read_map("k") is None
        workspace.write_map("k", arrays)
        found = workspace.read_map("k")
        assert found is not None
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)

    def test_a_damaged_map_counts_as_missing(self, workspace: Workspace) -> None:
        path = workspace.write_map("k", {"a": np.zeros(100)})
        for content in (path.read_bytes()[:60], b"", b"PK\x03\x04 no zip"):
            path.write_bytes(content)
            assert workspace.read_map("k") is None


class TestRefusals:
    @pytest.mark.parametrize(
        ("code", "said"),
        [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "MUC_HOME"), (errno.EIO, "could not be written")],
    )
    def test_the_system_refuses_an_encoder(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, code: int, said: str
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("muc_core.workspace.files.os.fsync", refuse(code))
            with pytest.raises(MucError, match=said) as caught:
                workspace.save_encoder(encoder_manifest(), TENSORS)
        assert str(workspace.home) in str(caught.value)
        assert list(workspace.encoders_folder.iterdir()) == []
        workspace.save_encoder(encoder_manifest(), TENSORS)

    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = tmp_path / "file"
        write_file(target, b"old")
        monkeypatch.setattr("muc_core.workspace.files.os.replace", refuse(errno.ENOSPC))
        with pytest.raises(MucError, match="the disk is full") as caught:
            write_file(target, b"new")
        assert str(target) in str(caught.value)
        assert target.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_full_disk_keeps_a_run_and_its_checkpoints(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = begin(workspace)
        kept = run.add_checkpoint(1, TENSORS, epoch=1)
        with monkeypatch.context() as patch:
            patch.setattr("muc_core.workspace.files.os.fsync", refuse(errno.ENOSPC))
            with pytest.raises(MucError, match=r"the disk is full: .*00000002\.safetensors"):
                run.add_checkpoint(2, TENSORS, epoch=2)
        (checkpoint,) = run.fail("the disk is full").checkpoints()
        assert file_digest(kept) == workspace.run(run.id).manifest.checkpoints[0].digest
        assert checkpoint.path == kept
        assert hidden_files(workspace.home) == []

    def test_writing_that_really_stops_in_the_middle(self, workspace: Workspace) -> None:
        run = begin(workspace)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
        try:
            with pytest.raises(MucError, match=r"mine could not be written \(File too large\)"):
                workspace.save_encoder(encoder_manifest(), {"w": torch.randn(1_000_000)})
            with pytest.raises(MucError, match="could not be written"):
                run.add_checkpoint(1, {"w": torch.randn(1_000_000)}, epoch=1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert list(workspace.encoders_folder.iterdir()) == []
        assert run.finish().checkpoints() == []
        assert hidden_files(workspace.home) == []

    def test_a_file_where_the_workspace_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(MucError, match=r"file.* could not be written.*MUC_HOME"):
            Workspace(tmp_path / "file")

    def test_a_read_only_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "mkdir", refuse(errno.EACCES))
        with pytest.raises(MucError, match=r"home could not be written \(Permission denied\).*MUC_HOME"):
            Workspace(tmp_path / "home")

    def test_a_read_only_index(self, workspace: Workspace) -> None:
        (workspace.home / "index.sqlite").unlink()
        (workspace.home / "index.sqlite").mkdir()
        with pytest.raises(MucError, match=r"index\.sqlite could not be opened"):
            Workspace(workspace.home)

    def test_a_home_with_an_unusual_name(self, tmp_path: Path) -> None:
        workspace = Workspace(tmp_path / "Frau Müller? #1 100%")
        workspace.save_encoder(encoder_manifest(), TENSORS)
        assert len(Workspace(workspace.home).encoders()) == 1
        assert (workspace.home / "index.sqlite").is_file()

    def test_muc_home_names_the_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MUC_HOME", str(tmp_path / "there"))
        assert Workspace().home == tmp_path / "there"
        monkeypatch.delenv("MUC_HOME")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        assert Workspace().home == tmp_path / "data" / "muc-audit"


class TestKilledWriters:
    def test_a_writer_killed_at_any_moment_leaves_whole_encoders_only(self, workspace: Workspace) -> None:
        code = """
            import sys
            from pathlib import Path
            import torch
            from muc_core.encoders.manifest import EncoderManifest
            from muc_core.workspace import Workspace
            workspace = Workspace(Path(sys.argv[1]))
            tensors = {str(i): torch.randn(200_000) for i in range(10)}
            print("ready", flush=True)
            for number in range(10_000):
                name = f"e{number}"
                workspace.save_encoder(
                    EncoderManifest(name=name, title="", family="clip", architecture="tiny"), tensors, float16=False
                )
        """
        writer = run_python(code, str(workspace.home))
        # It spends nearly all its time writing, so that it dies in the middle of it.
        _wait_for(lambda: len(workspace.encoders()) >= 2)
        _wait_for(lambda: hidden_files(workspace.home) != [])
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        again = Workspace(workspace.home)
        assert again.problems() == ()
        assert len(again.encoders()) >= 2
        for record in again.encoders():
            assert file_digest(record.weights) == record.manifest.weights_digest
        sweep(workspace.home, older_than_s=-1)  # it may have died writing to the log, too
        assert hidden_files(workspace.home) == []

    def test_a_run_whose_process_was_killed_is_lost_and_whole(self, workspace: Workspace) -> None:
        code = """
            import itertools, sys
            from pathlib import Path
            import torch
            from muc_core.workspace import Workspace
            run = Workspace(Path(sys.argv[1])).new_run(
                kind="unlearn", title="", family="clip", architecture="tiny", settings={}, seeds={}, data=None
            )
            for step in itertools.count():
                run.record(step, step / 10, {"loss": 1.0})
                run.add_checkpoint(step, {"w": torch.full((300_000,), step)}, epoch=step / 10)
        """
        writer = run_python(code, str(workspace.home))
        _wait_for(lambda: any(len(record.checkpoints()) > 2 for record in workspace.runs()))
        (record,) = workspace.runs()
        assert record.state == "running"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        (record,) = Workspace(workspace.home).runs()
        assert record.state == "lost"
        assert record.manifest.state == "running"
        assert workspace.problems() == ()
        for checkpoint, entry in zip(record.checkpoints(), record.manifest.checkpoints, strict=True):
            assert file_digest(checkpoint.path) == entry.digest
            assert load_weights(checkpoint.path)["w"][0] == checkpoint.step
        assert [entry.step for entry in record.history()][:3] == [0, 1, 2]
        resumed = workspace.resume_run(record.manifest.id)
        assert resumed.finish().state == "done"

    def test_old_leftovers_are_swept_on_opening_and_young_ones_stay(self, workspace: Workspace) -> None:
        run = begin(workspace)
        run.add_checkpoint(1, TENSORS, epoch=1)
        run.finish()
        places = [
            workspace.home,
            workspace.encoders_folder,
            workspace.maps_folder,
            run.folder,
            run.folder / "checkpoints",
        ]
        for place in places:
            (place / ".tmp-old").write_text("x")
            (place / ".tmp-young").write_text("x")
            os.utime(place / ".tmp-old", (0, time.time() - 25 * 3600))
        (workspace.encoders_folder / ".tmp-folder").mkdir()
        (workspace.encoders_folder / ".tmp-folder" / "weights.safetensors").write_text("x")
        os.utime(workspace.encoders_folder / ".tmp-folder", (0, time.time() - 25 * 3600))
        again = Workspace(workspace.home)
        assert {path.name for path in hidden_files(workspace.home)} == {".tmp-young"}
        assert len(hidden_files(workspace.home)) == len(places)
        assert again.problems() == ()
        assert len(again.runs()[0].checkpoints()) == 1

    def test_what_is_being_written_stays_when_the_clock_is_set_ahead(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        monkeypatch.setattr("muc_core.workspace.files.time.time", lambda: now + 400 * 86400)
        with new_folder(workspace.encoders_folder / "mine") as folder:
            (folder / "half").write_text("x")
            Workspace(workspace.home)
            assert (folder / "half").exists()
        left = workspace.encoders_folder / f".tmp-{2**22 + 1}-0123456789ab-dead"
        left.mkdir()
        Workspace(workspace.home)
        assert [path.name for path in workspace.encoders_folder.iterdir()] == ["mine"]


class TestConcurrentWriters:
    def test_of_several_writers_of_one_name_one_wins_and_others_all_succeed(self, workspace: Workspace) -> None:
        code = """
            import sys
            from pathlib import Path
            import torch
            from muc_core.encoders.manifest import EncoderManifest
            from muc_core.errors import MucError
            from muc_core.workspace import Workspace
            home, me = sys.argv[1:]
            workspace = Workspace(Path(home))
            won = 0
            for number in range(12):
                for name in (f"shared-{number}", f"own-{me}-{number}"):
                    manifest = EncoderManifest(name=name, title=me, family="clip", architecture="tiny")
                    try:
                        workspace.save_encoder(manifest, {"w": torch.full((10,), float(me))}, float16=False)
                        won += name.startswith("shared")
                    except MucError as error:
                        assert "already" in str(error), error
                        assert name.startswith("shared")
                workspace.encoders()
            print("won", won)
            sys.exit(won)
        """
        writers = [run_python(code, str(workspace.home), str(number)) for number in range(2)]
        assert sum(writer.wait(timeout=60) for writer in writers) == 12
        assert workspace.problems() == ()
        records = workspace.encoders()
        assert len(records) == 12 + 2 * 12
        for record in records:
            assert torch.equal(load_weights(record.weights)["w"], torch.full((10,), float(record.manifest.title)))
        assert hidden_files(workspace.home) == []

    def test_many_may_create_one_workspace_at_once(self, tmp_path: Path) -> None:
        code = """
            import sys
            from pathlib import Path
            from muc_core.workspace import Workspace
            for number in range(5):
                Workspace(Path(sys.argv[1]) / str(number)).encoders()
        """
        writers = [run_python(code, str(tmp_path)) for _ in range(3)]
        assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]

    def test_a_folder_that_appears_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        with pytest.raises(FileExistsError), new_folder(tmp_path / "target"):
            write_file_into(tmp_path / "target", "other")
        assert [path.name for path in (tmp_path / "target").iterdir()] == ["other"]
        assert hidden_files(tmp_path) == []


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
settings_of_runs = st.dictionaries(texts, json_values, max_size=4)
moments = st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
splits = st.lists(texts, unique=True, min_size=4, max_size=8).map(
    lambda ids: DataSplit(
        seed=3,
        forget=tuple(ids[:1]),
        held_out=tuple(ids[1:2]),
        calibration=tuple(ids[2:3]),
        retain=tuple(ids[3:]),
    )
)
references = st.builds(DataReference, spec=texts, digest=texts, split=splits)
shared = {
    "settings": settings_of_runs,
    "seeds": st.dictionaries(texts, st.integers(), max_size=3),
    "data": st.none() | references,
    "versions": st.dictionaries(texts, texts, max_size=3),
    "metrics": st.dictionaries(texts, numbers, max_size=3),
    "run_time_s": st.none() | numbers,
    "method": st.none() | texts,
    "original": st.none() | texts,
    "created": moments,
}
encoder_manifests = st.builds(
    EncoderManifest,
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    title=texts,
    family=texts,
    architecture=texts,
    weights_digest=texts,
    run=st.none() | texts,
    **shared,
)
checkpoint_entries = st.builds(
    CheckpointEntry,
    step=st.integers(min_value=0),
    epoch=st.floats(allow_nan=False, allow_infinity=False),
    digest=texts,
    values=st.dictionaries(texts, numbers, max_size=3),
)
run_manifests = st.builds(
    RunManifest,
    id=texts,
    kind=texts,
    title=texts,
    family=texts,
    architecture=texts,
    state=st.sampled_from(["running", "done", "failed", "cancelled"]),
    finished=st.none() | moments,
    error=st.none() | texts,
    encoder=st.none() | texts,
    job=st.none() | texts,
    checkpoints=st.lists(checkpoint_entries, max_size=2).map(tuple),
    **shared,
)
audit_manifests = st.builds(
    AuditManifest,
    id=texts,
    title=texts,
    before=texts,
    after=texts,
    settings=settings_of_runs,
    digests=st.dictionaries(texts, texts, max_size=3),
    files=st.dictionaries(texts, texts, max_size=3),
    versions=st.dictionaries(texts, texts, max_size=3),
    created=moments,
)


class TestManifests:
    @given(manifest=encoder_manifests | run_manifests | audit_manifests)
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_written_and_read_back_it_is_the_same(
        self, manifest: EncoderManifest | RunManifest | AuditManifest
    ) -> None:
        written = manifest.model_dump_json(indent=1)
        json.loads(written, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
        assert type(manifest).model_validate_json(written) == manifest

    def test_a_metric_that_is_not_a_number_survives(self) -> None:
        manifest = encoder_manifest().model_copy(update={"metrics": {"loss": float("nan")}})
        again = EncoderManifest.model_validate_json(manifest.model_dump_json())
        assert np.isnan(again.metrics["loss"])

    def test_settings_must_be_finite(self) -> None:
        with pytest.raises(ValidationError, match=r"optimiser\.lr is nan; settings must be finite"):
            EncoderManifest(
                name="a", title="", family="", architecture="", settings={"optimiser": {"lr": float("nan")}}
            )

    def test_a_moment_needs_its_time_zone(self) -> None:
        with pytest.raises(ValidationError, match="no time zone"):
            EncoderManifest(name="a", title="", family="", architecture="", created="2025-01-01T00:00:00")

    def test_versions_name_what_decides_the_numbers(self) -> None:
        versions = installed_versions()
        assert versions["torch"] == torch.__version__.partition("+")[0] or versions["torch"] == torch.__version__
        assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def write_file_into(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("x")


def _wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)
