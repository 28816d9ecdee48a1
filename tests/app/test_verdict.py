"""The verdict of an audit on the page: what a stress test of the same encoders makes of it, and a card a picture."""

import base64
import json
import re

import numpy as np
import numpy.typing as npt
import pytest
from streamlit.testing.v1 import AppTest

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.result import AuditResult, Change, Collateral, GroupChange, Interval
from muc_core.audit.vectors import ImageTextVectors
from muc_core.jobs.tasks.audit import KIND, PICTURES, RESULT
from muc_core.jobs.tasks.residual_stress import SavedStress
from muc_core.workspace import Workspace
from tests.app.linking import assert_link_reproduces, choose, open_link
from tests.app.test_stress_test import keep, result
from tests.app.test_stress_test import workspace as workspace  # the fixture

N, M = 100, 120


def vectors(memory: float, rng: np.random.Generator) -> ImageTextVectors:
    """The owner's N items are aligned with their captions by `memory` more than the M controls."""
    strength = np.maximum(rng.normal(0.8, 0.4, N + M), 0) + np.r_[np.full(N, memory), np.zeros(M)]
    centres = rng.normal(size=(N + M, 24))

    def noisy() -> npt.NDArray[np.float32]:
        return np.asarray(strength[:, None] * centres + rng.normal(size=(N + M, 24)), dtype=np.float32)

    return ImageTextVectors(np.stack([noisy(), noisy()]), noisy())


def audited(memory: float) -> AuditResult:
    """What an audit finds when so much of a memory of 2 is left."""
    rng = np.random.default_rng(3)
    ids = [f"item {number}" for number in range(N + M)]
    return audit(
        vectors(memory, rng),
        owner_ids=ids[:N],
        control_ids=ids[N:],
        before=vectors(2.0, rng),
        settings=AuditSettings(permutations=199),
    )


def card(found: AuditResult, stress: SavedStress | None) -> AppTest:
    def page(found: "AuditResult", stress: "SavedStress | None") -> None:
        from dashboard.components.verdict import verdict_card

        verdict_card(found, key="test", stress=stress)

    shown = AppTest.from_function(page, kwargs={"found": found, "stress": stress}, default_timeout=60).run()
    assert not shown.exception
    return shown


def said(page: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*page.markdown, *page.caption]).replace("\\", "")


@pytest.fixture
def brought_back(workspace: Workspace) -> SavedStress:
    from dashboard.services.stress import what_came_back

    keep(result("hidden, not forgotten", workspace), workspace, "a")
    found = what_came_back("demo-clip", "demo-clip-ac")
    assert found is not None
    return found


def test_a_passed_audit_with_a_failed_stress_is_hidden_not_forgotten(brought_back: SavedStress) -> None:
    found = audited(0.0)
    assert found.verdict == "forgotten"
    alone, both = card(found, None), card(found, brought_back)
    assert "check_circle: Forgotten]" in said(alone)
    assert said(both).startswith("## :red[:material/visibility_off: Hidden, not forgotten]")
    assert "Forgotten, as far as can be seen" not in said(both)
    assert found.rule in said(both).replace("\\", "")
    assert "in 40 steps the untouched half went" in said(both)
    assert "owner:artist, 150 pictures" in said(both)
    assert len(both.get("plotly_chart")) == len(alone.get("plotly_chart")) + 1


def test_a_trace_that_the_audit_found_needs_no_stress(brought_back: SavedStress) -> None:
    found = audited(2.0)
    assert found.verdict == "under-forgotten"
    assert said(card(found, brought_back)) == said(card(found, None))


def test_each_picture_has_a_card_with_its_place_among_never_seen_ones() -> None:
    """The place is a picture: Streamlit takes drawings that stand in the page's markup out of it."""

    def page(found: "AuditResult") -> None:
        from dashboard.components.verdict_cards import verdict_cards

        verdict_cards(found, {}, {})

    found = audited(0.0)
    shown = AppTest.from_function(page, kwargs={"found": found}, default_timeout=60).run()
    assert not shown.exception
    markup = shown.get("html")[0].proto.body
    assert "<svg" not in markup
    strips = re.findall(r'class="muc-strip" src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', markup)
    assert len(strips) == 12
    first = found.items[0]
    assert f"after {first.standing_after:.2f}" in strips[0][1]
    assert base64.b64decode(strips[0][0]).decode().count("<circle") == 2


def test_a_link_opens_an_earlier_audit_at_the_same_pictures(workspace: Workspace) -> None:
    pictures: dict[str, dict[str, str]] = {"names": {}, "thumbnails": {}}
    kept = workspace.save_audit(
        title="mine",
        before="demo-clip",
        after="demo-clip-ac",
        settings={"kind": KIND, "key": "x"},
        digests={},
        files={RESULT: audited(0.0).model_dump_json().encode(), PICTURES: json.dumps(pictures).encode()},
    ).manifest.id
    page = choose(open_link("check_my_pictures"), "earlier audit", kept)
    choose(page, "verdict page", 2)
    query = assert_link_reproduces(page, "check_my_pictures", also=("verdict page",))
    assert (query["earlier audit"], query["verdict page"]) == (kept, "2")
    choose(page, "verdict filter", "no trace found")
    assert page.session_state["verdict page"] == 1
    query = assert_link_reproduces(page, "check_my_pictures")
    assert query["verdict filter"] == "no trace found"


def test_what_others_lost_is_told_with_intervals() -> None:
    found = audited(0.0)
    interval = Interval(value=0.3, low=0.1, high=0.5)
    change = Change(
        name="item 7", group="controls", count=1, before=0.9, after=0.6, lost=0.3, interval=interval, meaning="It lost."
    )
    group = GroupChange(group="controls", count=M, lost=interval, down=3, up=1, meaning="All others lost a little.")
    collateral = Collateral(groups=(group,), items=(change,), classes=(), texts=(), compared={"items": M})

    def page(found: "AuditResult") -> None:
        from dashboard.components.verdict_collateral import collateral_panel

        collateral_panel(found, {"item 7": "a **bird**"})

    shown = AppTest.from_function(page, kwargs={"found": found.model_copy(update={"collateral": collateral})}).run()
    assert not shown.exception
    assert "All others lost a little." in said(shown)
    row = shown.dataframe[0].value.iloc[0]
    assert (row["Name"], row["From"], row["95 % interval"]) == ("a **bird**", "controls", "0.10 to 0.50")
    nothing = AppTest.from_function(page, kwargs={"found": found.model_copy(update={"collateral": None})}).run()
    assert not nothing.expander
