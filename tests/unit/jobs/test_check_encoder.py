"""The job that checks an encoder: what it keeps, and that it is found again by the encoder's digest."""

from pathlib import Path

import pytest

from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import UnknownName
from muc_core.jobs import follow, submit
from muc_core.jobs.tasks.check_encoder import (
    KIND,
    CheckEncoderSettings,
    canaries_of,
    check,
    forget_canaries,
    read_check,
)
from muc_core.workspace import Workspace
from tests import tiny


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path / "home", assets=tmp_path / "assets")
    manifest = EncoderManifest(name="one", title="one", family="clip", architecture="muc-tiny")
    found.save_encoder(manifest, tiny.clip().build("muc-tiny", 0).state_dict())
    return found


def test_what_a_check_found_is_kept(workspace: Workspace) -> None:
    digest = workspace.encoder("one").manifest.content_digest
    assert read_check(workspace, digest) is None
    found = check(workspace, "one")
    assert read_check(workspace, digest) == found
    assert {probe.name: probe.passed for probe in found.probes}["drift"] is None
    assert [probe.name for probe in found.failed] == [p.name for p in found.probes if p.passed is False]


def test_a_later_check_compares_with_the_first_under_any_name(workspace: Workspace) -> None:
    digest = workspace.encoder("one").manifest.content_digest
    check(workspace, "one")
    first = canaries_of(workspace, digest).read_bytes()
    workspace.rename_encoder("one", "two")
    drift = next(probe for probe in check(workspace, "two").probes if probe.name == "drift")
    assert drift.passed
    assert canaries_of(workspace, digest).read_bytes() == first
    forget_canaries(workspace, digest)
    drift = next(probe for probe in check(workspace, "two").probes if probe.name == "drift")
    assert drift.passed is None


def test_a_damaged_result_counts_as_none(workspace: Workspace) -> None:
    check(workspace, "one")
    digest = workspace.encoder("one").manifest.content_digest
    (workspace.home / "checks" / f"{digest}.json").write_text("{", encoding="utf-8")
    assert read_check(workspace, digest) is None


def test_an_unknown_encoder_is_named(workspace: Workspace) -> None:
    with pytest.raises(UnknownName, match="known: one"):
        check(workspace, "other")


def test_it_runs_as_a_job(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    job = submit(workspace, KIND, CheckEncoderSettings(encoder="one"))
    *_, end = follow(workspace, job.id)
    assert (end.state, end.result["checked"]) == ("done", "one"), end.error
    assert read_check(workspace, workspace.encoder("one").manifest.content_digest) is not None
