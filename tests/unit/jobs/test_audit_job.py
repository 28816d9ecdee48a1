"""The job that audits: what it keeps can be signed later, without the pictures or the encoders."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from PIL import Image

from muc_core.data.demo import demo_split
from muc_core.errors import Cancelled, MucError
from muc_core.evidence.pack import sign
from muc_core.evidence.verify import verify_pack
from muc_core.jobs.tasks import audit as task
from muc_core.jobs.tasks.audit import AuditJob, PictureSet, kept_draft, pack, read_audit, run, unpack
from muc_core.progress import SILENT
from muc_core.reports.evidence import write_reports
from muc_core.workspace import Workspace
from tests.app.pair import write_pair
from tests.unit.evidence.pack import KEY

OWNER, CONTROLS, RETAINED = 6, 20, 8


def demo(ids: tuple[str, ...]) -> PictureSet:
    return PictureSet(source="demo", packed=False, ids=ids, captions=(None,) * len(ids))


def audit(folder: Path) -> Workspace:
    write_pair(folder / "assets")
    workspace = Workspace(folder / "home", assets=folder / "assets")
    split = demo_split()
    owner, controls = demo(split.forget[:OWNER]), demo(split.held_out[:CONTROLS])
    job = AuditJob(
        before="demo-clip",
        after="demo-clip-ac",
        owner=owner,
        controls=controls,
        retained=demo(split.retain[:RETAINED]),
        key="k",
        views=2,
    )
    told = run(job, workspace, SILENT)
    assert told["audit"] == workspace.audits()[0].manifest.id
    return workspace


def test_a_kept_audit_gives_evidence_that_holds_and_one_too_large_gives_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = audit(tmp_path).audits()
    found = verify_pack(sign(kept_draft(record), KEY, write_reports), write_reports=write_reports)
    assert found.problems == ()
    assert found.result == read_audit(record).result
    assert found.result is not None
    assert found.result.collateral is not None
    groups = found.result.collateral.groups
    assert [(group.group, group.count) for group in groups] == [("controls", CONTROLS), ("retained", RETAINED)]
    assert found.manifest is not None
    assert found.manifest.title == f"Did demo-clip-ac forget these {OWNER} pictures?"
    origin = found.manifest.encoders["after"].origin
    assert origin is not None
    assert (origin.method, origin.asked_to_forget) == ("ac", len(demo_split().forget))

    def refuse(*_: object) -> None:
        raise MucError("too large")

    monkeypatch.setattr(task, "check_size", refuse)
    second = audit(tmp_path / "second").audits()[0]
    assert read_audit(second).result == read_audit(record).result
    with pytest.raises(MucError, match="kept without its vectors"):
        kept_draft(second)


@pytest.fixture
def uploaded(tmp_path: Path) -> AuditJob:
    """An audit of pictures from a browser, of the tiny encoders in `tmp_path`."""
    write_pair(tmp_path / "assets")
    packed = []
    for name, seed in (("owner", 1), ("controls", 2)):
        generator = torch.Generator().manual_seed(seed)
        files = []
        for number in range(OWNER if name == "owner" else CONTROLS):
            buffer = io.BytesIO()
            pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
            Image.fromarray(pixels.numpy()).save(buffer, format="PNG")
            files.append((f"{name}-{number}.png", buffer.getvalue()))
        path = tmp_path / f"{name}.zip"
        path.write_bytes(pack(files, key=name))
        ids = unpack(path).ids
        packed.append(PictureSet(source=str(path), packed=True, ids=ids, captions=(None,) * len(ids)))
    return AuditJob(before=None, after="demo-clip", owner=packed[0], controls=packed[1], key="k", views=2)


def sources(job: AuditJob) -> list[bool]:
    return [Path(part.source).exists() for part in (job.owner, job.controls)]


def test_uploads_outlive_a_failure_and_nothing_else(
    uploaded: AuditJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "home", assets=tmp_path / "assets", job="j")
    with monkeypatch.context() as patch:
        patch.setattr(task, "audit_encoders", _raising(MucError("the service gave no answer")))
        with pytest.raises(MucError, match="no answer"):
            run(uploaded, workspace, SILENT)
        assert sources(uploaded) == [True, True]
    told = run(uploaded, workspace, SILENT)
    assert [record.manifest.id for record in workspace.audits()] == [told["audit"]]
    assert sources(uploaded) == [False, False]
    # its process died before it could say so: there are no pictures any more, and none are needed
    assert run(uploaded, workspace, SILENT) == told
    assert len(workspace.audits()) == 1
    with pytest.raises(MucError, match="upload them again"):
        run(uploaded, Workspace(workspace.home, assets=tmp_path / "assets", job="another"), SILENT)


def test_uploads_go_when_the_audit_is_cancelled(
    uploaded: AuditJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "audit_encoders", _raising(Cancelled()))
    with pytest.raises(Cancelled):
        run(uploaded, Workspace(tmp_path / "home", assets=tmp_path / "assets"), SILENT)
    assert sources(uploaded) == [False, False]


def test_uploads_are_forgotten_after_a_day(tmp_path: Path) -> None:
    folder = Workspace(tmp_path).uploads_folder
    folder.mkdir(parents=True)
    for name, age in ((".tmp-old.zip", 25 * 3600), (".tmp-young.zip", 23 * 3600)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (0, time.time() - age))
    Workspace(tmp_path)
    assert [path.name for path in folder.iterdir()] == [".tmp-young.zip"]


def _raising(error: Exception) -> Callable[..., NoReturn]:
    def instead(*_: object, **__: object) -> NoReturn:
        raise error

    return instead
