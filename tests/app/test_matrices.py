"""The page of the matrices: what it compares, the cell that is chosen, the collateral beside it, the downloads."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.tables import items_table, summary_table
from dashboard.services import MOST_CELLS
from muc_core.comparison import compare
from muc_core.data.demo import demo_split, load_demo
from muc_core.workspace import Workspace
from tests.app.pair import write_pair

PAGE = Path(__file__).parents[2] / "dashboard" / "app_pages" / "matrices.py"
PATIENCE_S = 300


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_pair(folder)
    return folder


@pytest.fixture
def page(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S)


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    assert not page.error
    return page


def figure(page: AppTest) -> dict[str, Any]:
    (chart,) = page.get("plotly_chart")
    spec: dict[str, Any] = json.loads(chart.proto.spec)
    return spec


def test_it_opens_with_the_artists_drawings_and_the_held_out_ones_as_controls(page: AppTest) -> None:
    run(page)
    assert page.selectbox(key="matrices_items").value == "owner:artist"
    title = figure(page)["layout"]["title"]["text"]
    assert "own-caption similarity" in title
    assert "that of the controls" in title.replace("<br>", " ")
    heatmaps = [trace for trace in figure(page)["data"] if trace["type"] == "heatmap"]
    assert len(heatmaps) == 3
    assert f"Shows {MOST_CELLS} of the 150 items, drawn at random" in page.caption[3].value
    table = page.dataframe[0].value
    assert list(table["Pictures of"]) == [
        "owner:artist (chosen above)",
        "retain set, drawn at random",
        "held-out: the controls",
    ]
    assert list(table["Number"]) == ["150", "160", "160"]


def test_row_and_column_choose_the_cell(page: AppTest) -> None:
    run(page)
    # A first cell is chosen: the picture that lost most, with its own caption.
    assert page.selectbox(key="matrices_row").value == page.selectbox(key="matrices_column").value
    row, column = page.selectbox(key="matrices_row").options[3], page.selectbox(key="matrices_column").options[5]
    page.selectbox(key="matrices_row").select(row)
    page.selectbox(key="matrices_column").select(column)
    run(page)
    assert f"picture of “{row}”" in [caption.value for caption in page.caption]
    assert f"**“{column}”**" in [markdown.value for markdown in page.markdown]
    before, after, gap = (float(metric.value) for metric in page.metric)
    assert round(before - after, 2) == pytest.approx(gap)
    spec = figure(page)
    heatmaps = [trace for trace in spec["data"] if trace["type"] == "heatmap"]
    assert {(shape["y0"] + shape["y1"]) / 2 for shape in spec["layout"]["shapes"]} == {3}
    assert {(shape["x0"] + shape["x1"]) / 2 for shape in spec["layout"]["shapes"]} == {5}
    assert len(heatmaps) == 3


def test_held_out_items_have_the_calibration_set_as_controls(page: AppTest) -> None:
    page.session_state["matrices_items"] = "held-out"
    run(page)
    assert not page.warning
    assert list(page.dataframe[0].value["Pictures of"]) == ["held-out (chosen above)", "retain set, drawn at random"]
    assert "that of the controls" in figure(page)["layout"]["title"]["text"].replace("<br>", " ")


def test_a_chosen_cell_that_is_not_on_screen_any_more_gives_way(page: AppTest) -> None:
    page.session_state["matrices_row"] = page.session_state["matrices_column"] = "from another set"
    page.session_state["matrices_items"] = "category:animal-bird"
    run(page)
    assert page.selectbox(key="matrices_row").value in load_demo().ids


def test_the_same_encoder_twice_is_said(page: AppTest) -> None:
    page.session_state["after"] = "demo-clip"
    page.session_state["matrices_items"] = "category:animal-bird"
    run(page)
    assert "Both encoders are the same" in page.warning[0].value
    assert "stayed at" in figure(page)["layout"]["title"]["text"]


def test_the_files_hold_every_item_and_control(assets: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, assets=assets)
    demo, split = load_demo(), demo_split()
    items, controls = demo.subset(split.forget[:5]), demo.subset(split.held_out[:4])
    comparison = compare(workspace.load("demo-clip"), workspace.load("demo-clip-ac"), items, controls=controls)
    rows = list(csv.DictReader(io.StringIO(items_table(comparison).to_csv(index=False))))
    assert [row["id"] for row in rows] == [*items.ids, *controls.ids]
    assert [row["part"] for row in rows] == ["item"] * 5 + ["control"] * 4
    for row in rows:
        assert float(row["gap"]) == pytest.approx(float(row["positive_before"]) - float(row["positive_after"]))
    assert float(rows[0]["positive_before"]) == comparison.before.items.positive[0]
    table = summary_table([("some", comparison)])
    mean = comparison.before.summary.positive_mean
    assert table["Positive alignment"][0].startswith(f"{mean:z.2f} → ")


def test_a_single_picture_has_no_negatives(assets: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, assets=assets)
    only = load_demo().subset(demo_split().forget[:1])
    comparison = compare(workspace.load("demo-clip"), workspace.load("demo-clip-ac"), only)
    table = summary_table([("one", comparison)])
    assert table["Negative alignment"][0] == "– → –"
    assert table["Own partner first"][0] == "– → –"
