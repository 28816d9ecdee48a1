"""The page that compares: before anything is measured, while it is, and with figures."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.services import side_by_side as services
from muc_core.jobs import Job, JobTable
from muc_core.jobs.tasks import compare as task
from muc_core.jobs.tasks.compare import CompareSettings
from muc_core.workspace import Workspace
from tests.app.evidence import make_pack_on
from tests.app.linking import assert_link_reproduces

DASHBOARD = Path(__file__).parents[2] / "dashboard"


@pytest.fixture(scope="module")
def measured(pair_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which both demo encoders of the tests have been measured."""
    home = tmp_path_factory.mktemp("measured")
    workspace = Workspace(home, assets=pair_assets)
    task.compare(workspace, CompareSettings(original="demo-clip", encoders=("demo-clip-ac",)))
    return home


def visit(assets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(home))
    app = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=120)
    shown = app.run().switch_page("app_pages/compare.py").run()
    assert [error.message for error in shown.exception] == []
    return shown


def said(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.info, *app.error))


def test_measuring_is_offered_and_a_double_click_starts_one_job(
    pair_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[CompareSettings] = []

    def submit(workspace: Workspace, kind: str, settings: CompareSettings, *, unique: bool) -> Job:
        started.append(settings)
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(services, "submit", submit)
    app = visit(pair_assets, tmp_path / "home", monkeypatch)
    assert "2 of 2 encoders have not been measured yet" in said(app)
    assert list(app.dataframe[0].value["Verdict"]) == ["not measured yet"] * 2
    app.button(key="start compare").click().run()
    assert started == [CompareSettings(original="demo-clip", encoders=("demo-clip-ac",))]
    assert [button.label for button in app.button if button.label == "Cancel"] == ["Cancel"]
    services.start_compare("demo-clip", ("demo-clip-ac",))
    assert len(JobTable(Workspace(tmp_path / "home")).jobs()) == 1


def test_a_job_on_other_encoders_of_the_original_is_shown_while_it_works(
    pair_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = JobTable(Workspace(tmp_path / "home"))
    others = CompareSettings(original="demo-clip", encoders=("demo-clip-ac", "demo-clip-ac-2"))
    job, _ = table.add(task.KIND, others.model_dump(mode="json"), unique=True)
    app = visit(pair_assets, tmp_path / "home", monkeypatch)
    assert [button.label for button in app.button if button.label in ("Cancel", "Measure")] == ["Cancel"]
    table.close(job.id, "cancelled")
    assert [button.label for button in app.run().button if button.label in ("Cancel", "Measure")] == ["Measure"]


def test_what_was_measured_is_shown_and_can_be_attacked(
    pair_assets: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = visit(pair_assets, measured, monkeypatch)
    table = app.dataframe[0].value
    assert list(table["Encoder"]) == ["demo-clip", "demo-clip-ac"]
    assert table["Effect"].notna().all()
    assert table["Gap to Retrain"].isna().all()  # there is no Retrain, and nothing takes its place
    charts = app.get("plotly_chart")
    assert len(charts) == 2
    before = said(app)
    assert "Caught before" in before
    slider = app.slider[0]
    slider.set_value(slider.max).run()
    assert "Caught before: 0 of 150" in said(app)
    query = assert_link_reproduces(app, "compare")
    assert query["threshold demo-clip-ac"] == f"{slider.max:g}"


def test_the_verdict_in_the_table_can_be_signed(
    pair_assets: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = visit(pair_assets, measured, monkeypatch)
    found = make_pack_on(app)
    assert found.verified
    assert found.result is not None
    assert found.manifest is not None
    assert found.manifest.encoders["after"].name == "demo-clip-ac"
    assert found.manifest.encoders["before"].name == "demo-clip"
    assert any("were not probed" in warning for warning in found.result.warnings)
    table = app.dataframe[0].value.set_index("Encoder")
    assert found.result.verdict == table["Verdict"]["demo-clip-ac"]
    assert found.result.findings["trace"].effect.value == pytest.approx(table["Effect"]["demo-clip-ac"])


def test_an_encoder_of_another_origin_says_what_to_choose(
    pair_assets: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = visit(pair_assets, measured, monkeypatch)
    app.selectbox(key="after").set_value("demo-clip").run()
    assert "was not made from" in app.error[0].value


def test_nothing_chosen_asks_for_a_choice(pair_assets: Path, measured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = visit(pair_assets, measured, monkeypatch)
    app.pills[0].set_value([]).run()
    assert "Choose at least one encoder" in said(app)
