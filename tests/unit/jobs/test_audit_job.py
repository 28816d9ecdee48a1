"""The job that audits: what it keeps can be signed later, without the pictures or the encoders."""

from pathlib import Path

import pytest

from muc_core.data.demo import demo_split
from muc_core.errors import MucError
from muc_core.evidence.pack import sign
from muc_core.evidence.verify import verify_pack
from muc_core.jobs.tasks import audit as task
from muc_core.jobs.tasks.audit import AuditJob, PictureSet, kept_draft, read_audit, run
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
