"""The start page, the list of jobs and the settings: what they show, and when there is nothing to show."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.words import plain
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from muc_core.workspace.place import VARIABLE
from tests.postgres import Server

PATIENCE_S = 120
DASHBOARD = Path(__file__).parents[2] / "dashboard"


@pytest.fixture
def fresh(pair_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """Two encoders and a workspace of its own, in which jobs may be left."""
    monkeypatch.setenv("MUC_ASSETS", str(pair_assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)


def visit(app: AppTest, page: str) -> AppTest:
    shown = app.run().switch_page(f"app_pages/{page}.py").run()
    assert [error.message for error in shown.exception] == []
    assert [error.value for error in shown.error] == []
    return shown


def said(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.info, *app.warning))


def test_start_shows_three_ways_in_and_what_is_in_hand(app: AppTest) -> None:
    shown = app.run()
    assert [title.value for title in shown.title] == ["What do you want to do?"]
    text = said(shown)
    for way in ("Were my pictures forgotten?", "Make an encoder forget", "Show what happened"):
        assert way in text
    (table,) = [frame.value for frame in shown.table]
    assert list(table["Original"]) == [plain("demo-clip")]
    assert list(table["Made from it"]) == [plain("demo-clip-ac")]


def test_start_shows_what_runs(fresh: AppTest) -> None:
    assert "Nothing is running." in said(visit(fresh, "start"))
    JobTable(Workspace()).add("train", {"data": "demo", "name": "mine"}, unique=False)
    assert "Nothing is running." not in said(fresh.run())


def test_jobs_are_listed_by_state_with_settings_and_log(fresh: AppTest) -> None:
    shown = visit(fresh, "jobs")
    assert "Nothing has run yet" in said(shown)
    table = JobTable(Workspace())
    job, _ = table.add("train", {"data": "demo", "name": "mine", "list": list(range(50))}, unique=False)
    table.log(job.id).parent.mkdir(parents=True, exist_ok=True)
    table.log(job.id).write_text("line of the worker\n")
    table.close(job.id, "failed", error="the disk is full; free some space")
    shown = shown.run()
    assert "The disk is full; free some space." in said(shown)
    assert not shown.code, "the log is read before anybody wants to see it"
    linked = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)
    linked.query_params["job"] = job.id
    codes = [code.value for code in visit(linked, "jobs").code]
    assert linked.query_params["job"] == job.id
    assert any('"list": "50 entries"' in code for code in codes)
    assert "line of the worker" in codes
    shown.button_group(key="jobs shown").set_value("Active").run()
    assert "There is no such job." in said(shown)
    shown.button_group(key="jobs shown").set_value("Failed or lost").run()
    assert "The disk is full" in said(shown)


def test_settings_name_the_workspace_and_no_key(fresh: AppTest, tmp_path: Path) -> None:
    shown = visit(fresh, "settings")
    assert [code.value for code in shown.code] == [str(tmp_path / "home")]
    kept, found = (frame.value for frame in shown.dataframe)
    assert kept["What"].iloc[0] == "Encoders"
    assert (kept["MB"] >= 0).all()
    assert {"Device", "Threads of a job", "torch"} <= set(found["What"])
    assert "no key is needed" in said(shown)


@pytest.mark.postgres
def test_settings_name_the_database_and_not_its_password(
    fresh: AppTest, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, postgres_server.emptied_database())
    shown = visit(fresh, "settings")
    assert f"is in the database 127.0.0.1:{postgres_server.port}/postgres." in said(shown).replace("\\", "")
    assert postgres_server.password not in str(shown)


def test_a_database_that_is_away_is_a_sentence_without_its_password(
    fresh: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://muc:hunter2-hunter2@127.0.0.1:1/muc")
    shown = fresh.run().switch_page("app_pages/jobs.py").run()
    (error,) = [error.value for error in shown.error]
    assert error.startswith("The database 127.0.0.1:1/muc could not be reached")
    assert not shown.exception
    assert "hunter2" not in str(shown)


@pytest.mark.parametrize("page", ["matrices", "embedding_map", "check_my_pictures", "overview"])
def test_a_link_names_an_encoder_that_is_not_here(app: AppTest, page: str) -> None:
    app.query_params["before"], app.query_params["after"] = "demo-clip", "gone"
    shown = visit(app, page)
    assert any("names gone, which this workspace does not have" in warning.value for warning in shown.warning)


def test_a_link_chooses_the_pair(app: AppTest) -> None:
    app.query_params["before"], app.query_params["after"] = "demo-clip-ac", "demo-clip"
    shown = visit(app, "overview")
    assert [shown.selectbox(key=key).value for key in ("before", "after")] == ["demo-clip-ac", "demo-clip"]
