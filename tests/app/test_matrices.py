"""The page of the matrices: what it compares, the cell that is chosen, the collateral beside it, the downloads."""

import base64
import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.tables import items_table, summary_table
from dashboard.services.matrices import BLOCKS
from dashboard.services.spreads import spreads
from muc_core.audit.alignment import alignment_matrix
from muc_core.comparison import compare
from muc_core.data.demo import demo_split, load_demo
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.errors import MucError
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


def all_figures(page: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def figures(page: AppTest) -> list[dict[str, Any]]:
    """The matrices before, after, and the gap; those of two lists come later."""
    return [figure for figure in all_figures(page) if figure["data"][0]["type"] == "heatmap"][:3]


def titles(page: AppTest) -> list[str]:
    return [figure["layout"]["title"]["text"] for figure in figures(page)]


def values(trace: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Numbers of a trace, which Plotly packs."""
    packed = trace["z"]
    shape = [int(part) for part in packed["shape"].split(",")]
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).reshape(shape)


def test_it_opens_with_the_artists_drawings_and_the_held_out_ones_as_controls(page: AppTest) -> None:
    run(page)
    assert page.selectbox(key="matrices_items").value == "owner:artist"
    assert "own-caption similarity" in page.subheader[0].value
    assert "that of the controls" in page.subheader[0].value
    assert [title.partition(":")[0] for title in titles(page)] == ["Before", "After", "Gap"]
    assert all(values(figure["data"][0]).shape == (150, 150) for figure in figures(page))
    assert any("Shows all 150 items" in caption.value for caption in page.caption)
    table = page.dataframe[1].value
    assert list(table["Pictures of"]) == [
        "owner:artist (chosen above)",
        "retain set, drawn at random",
        "held-out: the controls",
    ]
    assert list(table["Number"]) == ["150", "160", "160"]


def test_matrices_share_one_scale(page: AppTest) -> None:
    run(page)
    before, after, gap = (figure["layout"]["coloraxis"] for figure in figures(page))
    assert (before["cmin"], before["cmax"]) == (after["cmin"], after["cmax"])
    assert gap["cmin"] == -gap["cmax"]


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
    for figure in figures(page):
        assert {(shape["y0"] + shape["y1"]) / 2 for shape in figure["layout"]["shapes"]} == {3}
        assert {(shape["x0"] + shape["x1"]) / 2 for shape in figure["layout"]["shapes"]} == {5}


def test_a_link_shows_the_same_set_order_and_cell(page: AppTest) -> None:
    ids = load_demo().subset(demo_split().held_out).ids
    page.query_params["matrices_items"] = "held-out"
    page.query_params["matrices_order"] = "by item, as given"
    page.query_params["matrices_row"], page.query_params["matrices_column"] = ids[2], ids[7]
    run(page)
    assert not page.warning
    assert page.selectbox(key="matrices_items").value == "held-out"
    assert page.selectbox(key="matrices_order").value == "by item, as given"
    assert (page.selectbox(key="matrices_row").value, page.selectbox(key="matrices_column").value) == (ids[2], ids[7])
    (shape, _) = figures(page)[0]["layout"]["shapes"]
    assert ((shape["y0"] + shape["y1"]) / 2, (shape["x0"] + shape["x1"]) / 2) == (2, 7)


def test_a_link_to_what_is_not_here_says_so(page: AppTest) -> None:
    page.query_params["matrices_items"] = "owner:nobody"
    page.query_params["matrices_row"] = "no such picture"
    run(page)
    said = [warning.value.replace("\\", "") for warning in page.warning]
    assert any("owner:nobody" in sentence for sentence in said)
    assert any("no such picture" in sentence for sentence in said)
    assert page.selectbox(key="matrices_items").value == "owner:artist"


def test_what_is_not_significant_is_grey_and_a_cell_has_its_interval(page: AppTest) -> None:
    page.session_state["matrices_items"] = "category:animal-bird"
    page.session_state["matrices_mask"] = True
    run(page)
    gap = values(figures(page)[2]["data"][0])
    assert not np.isnan(values(figures(page)[0]["data"][0])).any()
    (told,) = [markdown.value for markdown in page.markdown if "of the cells" in markdown.value]
    assert told.startswith(f"**{1 - np.isnan(gap).mean():.0%} of the cells**")
    (interval,) = [markdown.value for markdown in page.markdown if "95 % interval" in markdown.value]
    middle, low, high = map(float, re.findall(r"-?\d\.\d\d", interval))
    assert low <= middle <= high


def test_verdicts_need_an_audit_first(page: AppTest) -> None:
    page.session_state["matrices_items"] = "category:animal-bird"
    page.session_state["matrices_order"] = "by verdict, most concern first"
    run(page)
    assert "no verdicts yet" in page.info[0].value
    (button,) = [button for button in page.button if button.label == "Audit these pictures"]
    button.click()
    run(page)
    assert not page.info
    assert [text.value for text in page.markdown if text.value.startswith("The verdicts are those of an audit")]
    assert [button for button in page.button if button.label == "Make the evidence pack"]
    table = page.dataframe[0].value
    concern = {"trace found": 0, "below never-seen": 1, "no trace found": 2}
    ranks = [concern[verdict] for verdict in table["Verdict"]]
    assert ranks == sorted(ranks)


def test_without_enough_pictures_there_are_no_verdicts(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MucError("2 pictures are too few")

    monkeypatch.setattr("dashboard.components.audit_offer.audit_of", refuse)
    page.session_state["matrices_items"] = "category:animal-bird"
    page.session_state["matrices_order"] = "by verdict, most concern first"
    run(page)
    assert "There are no verdicts: 2 pictures are too few" in page.info[0].value


def test_many_pictures_are_pooled_and_a_block_opens(page: AppTest) -> None:
    page.session_state["matrices_items"] = "retain"
    run(page)
    assert all(values(figure["data"][0]).shape == (BLOCKS, BLOCKS) for figure in figures(page))
    assert any("mean over a block" in caption.value for caption in page.caption)
    (button,) = [button for button in page.button if button.label == "Open"]
    button.click()
    run(page)
    rows, columns = values(figures(page)[0]["data"][0]).shape
    assert 2 <= rows == columns < 60
    assert titles(page)[0].startswith("Before: 0")
    next(button for button in page.button if button.label == "Back to all blocks").click()
    run(page)
    assert values(figures(page)[0]["data"][0]).shape == (BLOCKS, BLOCKS)


def test_a_block_beside_the_diagonal_is_named_by_a_link(page: AppTest) -> None:
    page.query_params["matrices_block"] = "2-5"
    page.session_state["matrices_items"] = "retain"
    run(page)
    assert titles(page)[0] == "Before: one block"
    assert page.selectbox(key="matrices_row").options != page.selectbox(key="matrices_column").options


def test_a_block_that_is_none_is_said(page: AppTest) -> None:
    page.query_params["matrices_block"] = "the third"
    page.session_state["matrices_items"] = "retain"
    run(page)
    assert "a block is named like 3-5" in page.warning[0].value.replace("\\", "")


def test_rows_in_the_box_are_listed(page: AppTest) -> None:
    run(page)
    ids = [row for row in page.dataframe[0].value["Caption"]]
    options = list(page.selectbox(key="matrices_row").options)
    assert ids == options
    shown = load_demo()
    names = dict(zip(shown.texts, shown.ids, strict=True))
    page.session_state["matrices_rows"] = (names[options[4]], names[options[8]])
    run(page)
    assert list(page.dataframe[0].value["Caption"]) == options[4:9]
    assert any("5 selected rows" in expander.label for expander in page.expander)
    assert any(shape["type"] == "line" for shape in figures(page)[0]["layout"]["shapes"])
    next(button for button in page.button if button.label == "Show all rows").click()
    run(page)
    assert len(page.dataframe[0].value) == 150


def test_spreads_stand_beside_the_controls_band(page: AppTest) -> None:
    run(page)
    positive, negative = [figure for figure in all_figures(page) if figure["data"][0]["type"] == "scatter"]
    assert positive["layout"]["title"]["text"].startswith("Positive alignment: ")
    assert negative["layout"]["title"]["text"].startswith("Negative alignment: ")
    assert [shape["type"] for shape in positive["layout"]["shapes"]] == ["rect", "line", "line"]


def test_spreads_count_every_pair_once(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    demo, split = load_demo(), demo_split()
    items, controls = demo.subset(split.forget[:12]), demo.subset(split.held_out[:9])
    found = spreads("demo-clip", "demo-clip-ac", items, controls, "image-text")
    encoder = Workspace().load("demo-clip")
    matrix = alignment_matrix(
        embed_images(encoder, items).numpy(), embed_texts(encoder, [text or "" for text in items.texts]).numpy()
    )
    others = [matrix[i, j] for i in range(12) for j in range(12) if i != j]
    assert found.negative is not None
    assert found.positive.mean_before == pytest.approx(np.mean(np.diag(matrix)))
    assert found.negative.mean_before == pytest.approx(np.mean(others))
    for spread in (found.positive, found.negative):
        assert spread.before.sum() == pytest.approx(1)
        assert spread.after.sum() == pytest.approx(1)
    edges = found.negative.edges
    slow = [sum(low <= value < high for value in others) / len(others) for low, high in itertools.pairwise(edges[:-1])]
    assert found.negative.before[:-1] == pytest.approx(slow)


def test_any_two_lists_stand_side_by_side(page: AppTest) -> None:
    page.query_params["lists"] = "true"
    page.query_params["lists_rows"] = "category:animal-bird"
    page.query_params["lists_columns"] = "held-out"
    page.query_params["lists_against"] = "pictures"
    run(page)
    before, after = [figure for figure in all_figures(page) if figure["data"][0]["type"] == "heatmap"][3:]
    assert values(before["data"][0]).shape == values(after["data"][0]).shape
    assert values(before["data"][0]).shape[1] == 160
    assert before["layout"]["coloraxis"]["cmin"] == after["layout"]["coloraxis"]["cmin"]
    assert before["layout"]["xaxis"]["title"]["text"] == "pictures of held-out"
    page.session_state["lists_cell"] = (a_bird(), demo_split().held_out[0])
    run(page)
    assert [metric.label for metric in page.metric][-2:] == ["Similarity before", "Similarity after"]


def a_bird() -> str:
    demo = load_demo()
    return next(name for name, label in zip(demo.ids, demo.labels, strict=True) if label == "animal-bird")


def test_long_lists_are_pooled_and_the_link_may_name_none(page: AppTest) -> None:
    page.query_params["lists"] = "true"
    page.query_params["lists_rows"] = "retain"
    page.query_params["lists_columns"] = "nobody"
    run(page)
    assert any("nobody" in warning.value for warning in page.warning)
    lists = [figure for figure in all_figures(page) if figure["data"][0]["type"] == "heatmap"][3:]
    assert values(lists[0]["data"][0]).shape[0] == BLOCKS
    assert any("block of pairs" in caption.value for caption in page.caption)


def test_held_out_items_have_the_calibration_set_as_controls(page: AppTest) -> None:
    page.session_state["matrices_items"] = "held-out"
    run(page)
    assert not page.warning
    assert list(page.dataframe[1].value["Pictures of"]) == ["held-out (chosen above)", "retain set, drawn at random"]
    assert "that of the controls" in page.subheader[0].value


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
    assert "stayed at" in page.subheader[0].value


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
