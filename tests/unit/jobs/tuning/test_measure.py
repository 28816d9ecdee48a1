"""One encoder in figures: against the audit of the library and slow plain loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from muc_core.audit.audit import AuditSettings
from muc_core.audit.honesty import NEAR_DUPLICATES, SINGLED_OUT, STEADY
from muc_core.audit.result import Check
from muc_core.auditing import Audited, audit_encoders
from muc_core.errors import MucError
from muc_core.jobs.tuning.bench import Bench, Subject, reference_of
from muc_core.jobs.tuning.measure import Figures, Yardstick, hopeless, look, open_material
from muc_core.workspace import Workspace
from tests.tuned import FORGET, HELD_OUT

YARDSTICK = Yardstick(views=3, permutations=199, cells=5)


def bench(home: Workspace, family: str) -> Bench:
    reference = home.encoder(f"{family}-ac").manifest.data
    assert reference is not None
    return Bench(home, f"{family}-before", reference, YARDSTICK)


def figures(home: Workspace, family: str) -> Figures:
    found = bench(home, family).measure(Subject(home.encoder(f"{family}-ac")))
    assert found.figures is not None
    return found.figures


@pytest.mark.parametrize("family", ["clip", "simclr"])
def test_the_audit_is_the_library_s_without_probes(home: Workspace, family: str) -> None:
    there, kept = bench(home, family), list[Audited]()
    audit_encoders(
        home.load(f"{family}-ac"),
        there.material.forget,
        there.material.controls,
        before=home.load(f"{family}-before"),
        views=YARDSTICK.views,
        probes=False,
        settings=AuditSettings(permutations=YARDSTICK.permutations),
        keep=kept.append,
    )
    (audited,) = kept
    # the dial has its own figures of retained pictures, and probes only what it would call forgotten
    made = tuple(check for check in audited.inputs.checks if check.passed is not None)
    expected = replace(audited.inputs, checks=made, collateral=None, warnings=()).result()
    assert figures(home, family).audit == expected


@pytest.mark.parametrize("family", ["clip", "simclr"])
def test_every_set_is_scored_as_plain_loops_score_it(home: Workspace, family: str) -> None:
    there, found = bench(home, family), figures(home, family)
    seen = look(home.load(f"{family}-ac"), there.material, YARDSTICK)
    images, n = seen.pool.images, FORGET
    if family == "clip":
        texts = seen.pool.texts / np.linalg.norm(seen.pool.texts, axis=1, keepdims=True)  # type: ignore[union-attr]
        matrix = images @ texts.T
    else:
        views = seen.pool.views / np.linalg.norm(seen.pool.views, axis=2, keepdims=True)
        pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
        matrix = np.mean([views[a] @ views[b].T for a, b in pairs], axis=0)
    diagonal = [float(matrix[i][i]) for i in range(len(matrix))]
    assert found.positive == pytest.approx(diagonal[:n], abs=1e-5)
    assert found.control_positive == pytest.approx(diagonal[n:], abs=1e-5)
    assert found.forget.positive == pytest.approx(sum(diagonal[:n]) / n, abs=1e-5)
    own = matrix[:n, :n]
    assert found.forget.top1 == pytest.approx(sum(int(np.argmax(row)) == i for i, row in enumerate(own)) / n)
    rows = [there.material.forget.index_of(name) for name in found.shown]
    assert np.allclose(found.matrix, matrix[np.ix_(rows, rows)], atol=1e-4)
    assert (found.forget.count, found.held_out.count, found.retain.count) == (FORGET, HELD_OUT, 22)
    assert len(found.margin) == len(found.rank) == FORGET
    assert len(found.control_margin) == len(found.control_rank) == HELD_OUT


def test_the_original_has_no_gap_to_itself(home: Workspace) -> None:
    there = bench(home, "simclr")
    at_zero = there.measure(Subject(home.encoder("simclr-ac"), 0.0))
    itself = there.measure(Subject(home.encoder("simclr-before")))
    assert at_zero == itself
    assert at_zero.figures is not None
    assert at_zero.figures.audit.findings["change"].effect.value == 0


def test_an_untrained_memory_passes_nothing_and_says_why(home: Workspace) -> None:
    reason = hopeless(figures(home, "simclr").audit)
    assert reason is not None
    assert reason.endswith(".")


def test_data_that_changed_are_refused(home: Workspace) -> None:
    reference = home.encoder("simclr-ac").manifest.data
    assert reference is not None
    with pytest.raises(MucError, match="changed since"):
        open_material(reference.model_copy(update={"digest": "0"}), reads_text=False)


def test_too_few_controls_are_refused(home: Workspace) -> None:
    reference = home.encoder("simclr-ac").manifest.data
    assert reference is not None
    split = reference.split.model_copy(update={"held_out": reference.split.held_out[:3]})
    with pytest.raises(MucError, match="3 controls; at least 20"):
        open_material(reference.model_copy(update={"split": split}), reads_text=False)


def test_nothing_is_called_forgotten_that_was_not_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(tmp_path)
    reference = reference_of(workspace.encoder("demo-clip-retrain").manifest)
    there = Bench(workspace, "demo-clip", reference, Yardstick(views=2, permutations=999, cells=2))
    passed = there.look_at(workspace.load("demo-clip-retrain")).audit
    assert passed.verdict == "forgotten"
    assert {NEAR_DUPLICATES, STEADY} <= {check.name for check in passed.checks if check.passed}
    known = there.look_at(workspace.load("demo-clip-ac")).audit
    assert known.verdict == "under-forgotten"
    assert [check.name for check in known.checks] == [there.material.guard.name, SINGLED_OUT]

    caught = Check(name=NEAR_DUPLICATES, passed=False, value="a rise", meaning="Copies are known better.")
    monkeypatch.setattr("muc_core.jobs.tuning.bench.honesty_checks", lambda *_arguments, **_options: (caught,))
    failed = there.look_at(workspace.load("demo-clip-retrain")).audit
    assert failed.verdict == "cannot tell"
    assert caught.meaning in failed.rule
