"""Every way to a verdict, on *Check my pictures* itself: from an audit that was kept to the words on the page."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.verdict_looks import LOOKS, STRESS_LOOKS, Look
from dashboard.components.verdict import OVERTURNED
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.guard import control_guard
from muc_core.audit.honesty import STEADY, steady
from muc_core.audit.result import GUARD, AuditResult, Check
from muc_core.jobs.tasks.audit import KIND, PICTURES, RESULT
from muc_core.workspace import Workspace
from tests.app.conftest import DASHBOARD, PATIENCE_S
from tests.app.test_stress_test import keep
from tests.app.test_stress_test import result as stress_result
from tests.app.test_stress_test import workspace as workspace  # the fixture
from tests.app.test_verdict import M, N, said, vectors

FEW = 20


def audited(memory: float, *, count: int = N, checks: tuple[Check, ...] = ()) -> AuditResult:
    """What an audit of `count` pictures finds when so much of a memory of 2 is left, after checks of its own."""
    rng = np.random.default_rng(3)
    rows = np.r_[:count, N : N + M]
    after, before = (vectors(strength, rng).take(rows) for strength in (memory, 2.0))
    ids = [f"item {row}" for row in rows]
    return audit(
        after,
        owner_ids=ids[:count],
        control_ids=ids[count:],
        before=before,
        checks=checks,
        settings=AuditSettings(permutations=199),
    )


def dark_pictures_against_bright_ones() -> Check:
    rng = np.random.default_rng(0)
    dark, bright = (rng.integers(low, low + 100, (40, 3, 32, 32), dtype=np.uint8) for low in (0, 150))
    return control_guard(dark, bright, seed=0)


def another_answer_the_second_time() -> Check:
    first, again = np.random.default_rng(0).normal(size=(2, 40, 24))
    return steady({"picture": first}, {"picture": again})


def show(result: AuditResult, workspace: Workspace) -> AppTest:
    """The page, where somebody has chosen this audit among the earlier ones."""
    names = "demo-clip", "demo-clip-ac"
    workspace.save_audit(
        title=f"audit {len(workspace.audits())}",
        before=names[0],
        after=names[1],
        settings={"kind": KIND, "key": "x"},
        digests={f"encoder {name}": workspace.encoder(name).manifest.content_digest for name in names},
        files={
            RESULT: result.model_dump_json().encode(),
            PICTURES: json.dumps({"names": {}, "thumbnails": {}}).encode(),
        },
    )
    app = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)
    page = app.run().switch_page("app_pages/check_my_pictures.py").run()
    page.selectbox(key="earlier audit").select_index(0).run()
    assert not page.exception
    assert not page.error
    return page


def heading(page: AppTest) -> str:
    """The verdict in words, the only second-level heading that is coloured."""
    (found,) = [line for line in said(page).splitlines() if line.startswith("## :")]
    return found


def in_words(look: Look) -> str:
    return f"## :{look.colour}[:material/{look.icon}: {look.word}]"


def sureness(page: AppTest) -> str:
    (panel,) = [expander.label for expander in page.expander if expander.label.startswith("How sure are we?")]
    return panel


@pytest.mark.parametrize(
    ("found", "verdict", "because"),
    [
        pytest.param(lambda: audited(0.0), "forgotten", "lies within ±0.50", id="forgotten"),
        pytest.param(lambda: audited(0.5), "under-forgotten", "stand above never-seen ones", id="under-forgotten"),
        pytest.param(lambda: audited(-1.0), "over-forgotten", "stand below never-seen ones", id="over-forgotten"),
        pytest.param(lambda: audited(0.25, count=FEW), "cannot tell", "would settle it", id="too few to tell"),
    ],
)
def test_each_verdict_is_shown_with_the_rule_that_gave_it(
    workspace: Workspace, found: Callable[[], AuditResult], verdict: str, because: str
) -> None:
    result = found()
    assert result.verdict == verdict
    assert because in result.rule
    page = show(result, workspace)
    assert heading(page) == in_words(LOOKS[result.verdict])
    assert result.rule in said(page)


@pytest.mark.parametrize(
    ("check", "name", "short"),
    [
        pytest.param(dark_pictures_against_bright_ones, GUARD, "controls not fair · no probes made", id="guard"),
        pytest.param(another_answer_the_second_time, STEADY, "1 probe failed", id="probe"),
    ],
)
def test_a_failed_check_caps_the_verdict_and_is_named(
    workspace: Workspace, check: Callable[[], Check], name: str, short: str
) -> None:
    failed = check()
    assert (failed.name, failed.passed) == (name, False)
    result = audited(0.0, checks=(failed,))
    page = show(result, workspace)
    assert heading(page) == in_words(LOOKS["cannot tell"])
    assert (failed.value if name == GUARD else failed.meaning) in result.rule
    assert result.rule in said(page)
    assert sureness(page).endswith(short)
    row = page.table[0].value.iloc[0]
    assert (row["Result"], row["Check"]) == (":red-badge[:material/close: failed]", name)
    assert heading(show(audited(0.0), workspace)) == in_words(LOOKS["forgotten"])


def test_what_a_stress_test_brought_back_is_hidden_not_forgotten(workspace: Workspace) -> None:
    """Kept by a stress test of the very encoders of the audit, found by the page itself."""
    result = audited(0.0)
    offered = show(result, workspace)
    assert heading(offered) == in_words(LOOKS["forgotten"])
    assert [button for button in offered.button if button.label == "Go to the stress test"]
    keep(stress_result("hidden, not forgotten", workspace), workspace, "a")
    page = offered.run()
    assert heading(page) == in_words(STRESS_LOOKS["hidden, not forgotten"])
    assert OVERTURNED in said(page)
    assert "in 40 steps the untouched half went" in said(page)
    assert not [button for button in page.button if button.label == "Go to the stress test"]
