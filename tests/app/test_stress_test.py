"""The page that stresses: every state it can be in, and what it makes of an audit's verdict."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from dashboard.charts.verdict_looks import STRESS_LOOKS
from dashboard.services import stress as services
from muc_core.evaluation.standing import Shift, Standing
from muc_core.evaluation.stress import (
    CurvePoint,
    LinePoint,
    RelearningStress,
    ResidualStress,
    Role,
    Verdict,
    judge_int8,
    judge_line,
    judge_relearning,
    judge_separation,
    overall,
)
from muc_core.jobs import Job, JobTable
from muc_core.jobs.stress_plan import ResidualStressSettings, plan_stress
from muc_core.jobs.table import State
from muc_core.jobs.tasks.residual_stress import KIND
from muc_core.stats.rates import Rate
from muc_core.workspace import Workspace
from tests.app.linking import assert_link_reproduces, choose
from tests.app.odd import write_odd

SETTINGS = ResidualStressSettings(before="demo-clip", after="demo-clip-ac", forget="owner:artist")
DASHBOARD = Path(__file__).parents[2] / "dashboard"


def around(value: float) -> Rate:
    return Rate(value, value - 0.1, value + 0.1)


def standing(effect: float, p: float) -> Standing:
    return Standing(effect=around(effect), p=p, positive=0.5, control_positive=0.4, first=0.3)


def moved(effect: float, p: float) -> Shift:
    return Shift(effect=around(effect), p=p, most=effect + 0.1)


def relearned(verdict: Verdict) -> RelearningStress:
    """Figures that lead to a verdict by the rules of the test itself."""
    rise, level, rest = {
        "hidden, not forgotten": (moved(0.8, 0.001), moved(0.9, 0.001), standing(0.1, 0.4)),
        "still there": (moved(0.0, 0.5), moved(0.9, 0.001), standing(0.9, 0.001)),
        "no trace came back": (moved(0.0, 0.5), moved(0.0, 0.5), standing(0.0, 0.5)),
        "cannot tell": (moved(0.4, 0.2), moved(0.6, 0.2), standing(0.2, 0.2)),
    }[verdict]
    curve = tuple(
        CurvePoint(
            step=step, effect=around(effect), positive=around(0.4), control_positive=around(0.3), first=around(0.2)
        )
        for step, effect in ((0, rest.effect.value), (40, level.effect.value))
    )
    return judge_relearning(
        {"after": curve},
        before=standing(2.0, 0.001),
        rest=rest,
        still=moved(rest.effect.value, rest.p),
        rise=rise,
        level=level,
        halves=4,
    )


def result(verdict: Verdict, workspace: Workspace, settings: ResidualStressSettings = SETTINGS) -> ResidualStress:
    """A result as the job would have kept it, from figures of our choice."""
    relearning = relearned(verdict)
    both: dict[Role, Standing] = {"before": standing(2.0, 0.001), "after": standing(0.1, 0.4)}
    int8 = judge_int8(both, both, moved(0.0, 0.5))
    line = judge_line(
        tuple(
            LinePoint(share=share, standings={"after": standing(share, 0.5 - share / 2)}) for share in (0.0, 0.5, 1.0)
        )
    )
    separation = judge_separation(
        {"before": around(0.7), "after": around(0.5)}, {"before": around(0.65), "after": around(0.5)}
    )
    names: dict[Role, str] = {"before": settings.before, "after": settings.after}
    return ResidualStress(
        encoders=names,
        digests={role: workspace.encoder(name).manifest.content_digest for role, name in names.items()},
        forget=settings.forget,
        controls=settings.controls,
        mode="image-text",
        n_items=150,
        n_controls=160,
        seed=0,
        int8=int8,
        line=line,
        separation=separation,
        relearning=relearning,
        verdict=overall(int8, separation, relearning),
        warnings=("Without Retrain less is known.",),
    )


def keep(found: ResidualStress, workspace: Workspace, key: str) -> None:
    folder = workspace.home / "stress"
    folder.mkdir(exist_ok=True)
    (folder / f"{key}.json").write_text(found.model_dump_json())


@pytest.fixture
def workspace(tmp_path: Path, pair_assets: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of its own, in which jobs are queued and no process is started for them."""
    monkeypatch.setenv("MUC_ASSETS", str(pair_assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))

    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(services, "submit", submit)
    return Workspace()


def open_page(**session: str) -> AppTest:
    app = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=120)
    for name, value in session.items():
        app.session_state[name] = value
    page = app.run().switch_page("app_pages/stress_test.py").run()
    assert not page.exception
    return page


def add_job(workspace: Workspace, state: State, settings: ResidualStressSettings = SETTINGS, **news: Any) -> Job:
    """A job in the table as its worker would have left it."""
    table = JobTable(workspace)
    job, _ = table.add(KIND, settings.model_dump(mode="json"), unique=False)
    ending = {key: news.pop(key) for key in ("error", "result") if key in news}
    if state != "queued":
        table.claim(job.id)
        table.tell(job.id, news)
    if state not in ("queued", "running"):
        table.close(job.id, state, **ending)
    return table.job(job.id)


def texts(page: AppTest) -> str:
    """All that the page says, without the backslashes that keep Markdown from reading it as markup."""
    said = [*page.markdown, *page.caption, *page.error, *page.info, *page.warning]
    return "\n".join(str(element.value) for element in said).replace("\\", "")


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def progress(page: AppTest) -> str:
    (bar,) = page.get("progress")
    return str(bar.proto.text).replace("\\", "")


@pytest.mark.usefixtures("workspace")
def test_at_first_it_says_what_it_will_look_at_and_what_that_costs() -> None:
    page = open_page()
    assert page.selectbox(key="stress forget").value == "owner:artist"
    assert page.selectbox(key="stress controls").value == "held-out"
    said = texts(page)
    assert "150 pictures that were to be forgotten against 160 that were never trained on." in said
    assert "4 trainings of 40 steps on copies of demo-clip-ac" in said
    assert "on this machine" in said
    assert "Without Retrain" in said
    assert "No stress test has been made yet" in said
    assert "Start the stress test" in labels(page)
    assert not page.error


def test_start_queues_the_chosen_settings_once(workspace: Workspace) -> None:
    page = open_page()
    page.number_input(key="stress steps").set_value(20)
    page.number_input(key="stress seed").set_value(3).run()
    start = next(button for button in page.button if button.label == "Start the stress test")
    start.click().run()
    (job,) = JobTable(workspace).jobs()
    assert job.kind == KIND
    assert ResidualStressSettings.model_validate(job.settings) == SETTINGS.model_copy(update={"steps": 20, "seed": 3})
    assert "Start the stress test" not in labels(page)
    assert "Waiting for its turn" in progress(page)
    assert "Cancel" in labels(page)


def test_a_running_test_is_shown_to_whoever_opens_the_page(workspace: Workspace) -> None:
    """Also beside other settings: the tab that started it may have been closed."""
    add_job(
        workspace,
        "running",
        SETTINGS.model_copy(update={"forget": "category:animal-bird"}),
        step=50,
        total=200,
        message="relearning half 1 of 4 with demo-clip-ac",
    )
    page = open_page()
    assert "Relearning half 1 of 4 with demo-clip-ac, step 50 of 200" in progress(page)
    assert progress(page).startswith("Stress test of demo-clip → demo-clip-ac, category:animal-bird.")
    assert {"Cancel", "Start the stress test"} <= set(labels(page))
    next(button for button in page.button if button.label == "Cancel").click().run()
    assert JobTable(workspace).jobs()[0].cancel_requested or JobTable(workspace).jobs()[0].state == "cancelled"


@pytest.mark.parametrize("verdict", list(STRESS_LOOKS))
def test_each_verdict_is_shown_in_words_with_the_curve_and_the_other_tests(
    workspace: Workspace, verdict: Verdict
) -> None:
    keep(result(verdict, workspace), workspace, plan_stress(workspace, SETTINGS).key)
    page = open_page()
    look = STRESS_LOOKS[verdict]
    assert f"## :{look.colour}[:material/{look.icon}: {look.word}]" in texts(page)
    assert len(page.get("plotly_chart")) == 4
    for finding in (
        "in 40 steps the untouched half went after unlearning from",
        "Rounding moves the encoder after from 0.10 to 0.10",
        "A trace shows from 100% of the way on",
        "AUC 0.50 by a linear classifier, 0.50 by nearest neighbours",
    ):
        assert finding in texts(page)
    assert texts(page).count("How to read this") == 4
    assert "Without Retrain less is known." in texts(page)
    assert "does not prove deletion" in texts(page)
    assert "Start the stress test" not in labels(page)
    assert not page.error


def test_earlier_results_are_listed_and_can_be_looked_at(workspace: Workspace) -> None:
    other = SETTINGS.model_copy(update={"forget": "category:animal-bird"})
    keep(result("still there", workspace, other), workspace, plan_stress(workspace, other).key)
    page = open_page()
    assert "Start the stress test" in labels(page)
    earlier = page.selectbox(key="earlier stress")
    assert earlier.options[0].endswith("demo-clip → demo-clip-ac · category:animal-bird · still there")
    earlier.select_index(0).run()
    assert "Still there" in texts(page)
    assert len(page.get("plotly_chart")) == 4
    choose(page, "stress measure earlier", "positive")
    query = assert_link_reproduces(page, "stress_test")
    assert query["stress measure earlier"] == "positive"


@pytest.mark.parametrize("state", ["failed", "lost"])
def test_a_failed_test_says_why_and_can_be_started_again(workspace: Workspace, state: State) -> None:
    add_job(workspace, state, error="the disk is full")
    page = open_page()
    assert "The test did not end: the disk is full" in page.error[0].value
    assert "Start the stress test" in labels(page)


def test_after_a_cancel_nothing_was_kept_and_it_is_said(workspace: Workspace) -> None:
    add_job(workspace, "cancelled")
    page = open_page()
    assert "The test was cancelled. Nothing was kept of it." in texts(page)
    assert "Start the stress test" in labels(page)


@pytest.mark.usefixtures("workspace")
def test_what_cannot_be_tested_is_refused_before_the_start() -> None:
    page = open_page(**{"stress controls": "owner:artist"})
    assert "This cannot be tested." in page.info[0].value
    assert "both forgotten and a control" in page.info[0].value
    assert "Start the stress test" not in labels(page)


def test_encoders_that_cannot_be_trained_are_refused_with_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_odd(tmp_path / "assets", tmp_path / "home", tmp_path / "pictures")
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "assets"))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    page = open_page(before="odd-simclr", after="odd-backbone")
    said = page.info[0].value.replace("\\", "")
    assert "No stress test for this pair." in said
    assert "'odd-backbone' is opened as backbone" in said
    assert "muc stress" in said
    assert "Start the stress test" not in labels(page)
    assert not page.error


@pytest.mark.usefixtures("workspace")
def test_a_link_to_an_encoder_that_is_not_here_says_so_and_shows_others() -> None:
    page = AppTest.from_file(str(DASHBOARD / "app_pages" / "stress_test.py"), default_timeout=120)
    page.query_params["after"] = "no*body"
    page.run()
    assert not page.exception
    assert "The link names no*body, which this workspace does not have." in texts(page)
    assert page.selectbox(key="after").value == "demo-clip-ac"
    assert "Start the stress test" in labels(page)


# the audit's verdict and the stress


@pytest.mark.parametrize("verdict", ["hidden, not forgotten", "still there"])
def test_what_came_back_is_found_for_the_very_encoders_only(workspace: Workspace, verdict: Verdict) -> None:
    find: Callable[[str, str], Any] = services.what_came_back
    assert find("demo-clip", "demo-clip-ac") is None
    found = result(verdict, workspace)
    keep(found, workspace, "a")
    assert find("demo-clip", "demo-clip-ac").result == found
    assert find("demo-clip-ac", "demo-clip") is None
    others = found.model_copy(update={"digests": found.digests | {"after": "0" * 64}})
    keep(others, workspace, "a")
    assert find("demo-clip", "demo-clip-ac") is None
    keep(result("no trace came back", workspace), workspace, "a")
    assert find("demo-clip", "demo-clip-ac") is None
