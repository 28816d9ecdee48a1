"""Evidence of an audit that was made while measuring: the same audit again, and what hinders it."""

import pytest

from muc_core.auditing import NOT_PROBED
from muc_core.errors import MucError
from muc_core.evidence.pack import sign
from muc_core.evidence.verify import verify_pack
from muc_core.jobs.tuning.bench import Bench, Measured, Subject, measured_path
from muc_core.jobs.tuning.evidence import measured_draft
from muc_core.jobs.tuning.measure import Yardstick
from muc_core.reports.evidence import write_reports
from muc_core.workspace import Workspace
from tests.unit.evidence.pack import KEY


def bench(home: Workspace, seed: int) -> Bench:
    reference = home.encoder("simclr-ac").manifest.data
    assert reference is not None
    return Bench(home, "simclr-before", reference, Yardstick(views=2, permutations=99, cells=4, seed=seed))


def test_what_is_signed_is_the_audit_that_was_measured(home: Workspace) -> None:
    there = bench(home, seed=1)
    measured = there.measure(Subject(home.encoder("simclr-ac")))
    assert measured.figures is not None
    found = verify_pack(sign(measured_draft(there, "simclr-ac"), KEY, write_reports))
    assert found.verified, found.problems
    assert found.result == measured.figures.audit.model_copy(update={"warnings": (NOT_PROBED,)})
    assert found.manifest is not None
    assert {role: who.digest for role, who in found.manifest.encoders.items()} == {
        role: home.encoder(f"simclr-{name}").manifest.content_digest
        for role, name in (("before", "before"), ("after", "ac"))
    }


def test_without_a_verdict_there_is_nothing_to_sign(home: Workspace) -> None:
    with pytest.raises(MucError, match="'simclr-ac' has no verdict yet"):
        measured_draft(bench(home, seed=2), "simclr-ac")


def test_an_audit_that_says_something_else_now_is_no_evidence(home: Workspace) -> None:
    there, subject = bench(home, seed=3), Subject(home.encoder("simclr-ac"))
    figures = there.measure(subject).figures
    assert figures is not None
    other = figures.model_copy(update={"audit": figures.audit.model_copy(update={"verdict": "over-forgotten"})})
    measured_path(home, there.key(subject)).write_text(Measured(figures=other).model_dump_json())
    with pytest.raises(MucError, match="and not 'over-forgotten'"):
        measured_draft(there, "simclr-ac")
