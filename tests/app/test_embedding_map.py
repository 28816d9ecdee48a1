"""The page of the embedding map: PCA at once, UMAP from a job, and how far each set moved."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

import muc_core.jobs
from dashboard.services import Files
from muc_core.data.demo import load_demo
from muc_core.jobs import Job, JobTable
from muc_core.jobs.tasks.embedding_map import EmbeddingMapSettings, choose_items, map_key
from muc_core.workspace import Workspace
from tests.app.pair import write_pair

PAGE = Path(__file__).parents[2] / "dashboard" / "app_pages" / "embedding_map.py"
SETTINGS = EmbeddingMapSettings(before="demo-clip", after="demo-clip-ac", most_per_set=300)
PATIENCE_S = 300


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    write_pair(folder)
    return folder


@pytest.fixture
def workspace(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))

    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    # Jobs are queued as always, but no process is started for them.
    monkeypatch.setattr(muc_core.jobs, "submit", submit)
    return Workspace()


@pytest.fixture
def page(workspace: Workspace) -> AppTest:
    return run(AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S))


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception
    return page


def chart(page: AppTest) -> dict[str, Any]:
    (found,) = page.get("vega_lite_chart")
    spec: dict[str, Any] = json.loads(found.proto.spec)
    return spec


def horizontal_axis(page: AppTest) -> str:
    title: str = chart(page)["layer"][1]["encoding"]["x"]["axis"]["title"]
    return title


def button(page: AppTest, label: str) -> Any:
    return next(found for found in page.button if found.label == label)


def labels(page: AppTest) -> list[str]:
    return [found.label for found in page.button]


def press_compute(page: AppTest) -> None:
    button(page, "Compute UMAP").click()
    run(page)


def test_pca_is_there_at_once_with_the_numbers_beside_it(page: AppTest) -> None:
    assert not page.error
    assert horizontal_axis(page) == "first principal axis"
    assert [metric.label for metric in page.metric] == ["Forget set moved", "Retain set moved", "Held-out set moved"]
    assert all(metric.value.endswith("%") for metric in page.metric)
    assert any("times as far as the held-out ones" in markdown.value for markdown in page.markdown)
    assert any("610 of 1,484 pictures are drawn" in caption.value for caption in page.caption)
    assert labels(page) == ["Compute UMAP"]


def test_the_ways_can_be_taken_away(page: AppTest) -> None:
    assert len(chart(page)["layer"]) == 3
    page.toggle(key="map_lines").set_value(False)
    run(page)
    assert [layer["mark"]["type"] for layer in chart(page)["layer"]] == ["point", "point"]


def test_umap_is_queued_once_and_its_progress_shown(page: AppTest, workspace: Workspace) -> None:
    press_compute(page)
    (job,) = JobTable(workspace).jobs()
    assert (job.kind, job.settings) == ("embedding_map", SETTINGS.model_dump(mode="json"))
    assert labels(page) == ["Cancel"]
    assert page.radio(key="map_method").value == "umap"
    assert horizontal_axis(page) == "first principal axis"
    run(page)
    assert len(JobTable(workspace).jobs()) == 1


def test_a_cancelled_job_can_be_started_again(page: AppTest, workspace: Workspace) -> None:
    press_compute(page)
    button(page, "Cancel").click()
    run(page)
    (job,) = JobTable(workspace).jobs()
    assert job.state == "cancelled"
    run(page)
    assert labels(page) == ["Compute UMAP"]
    assert not page.error


def test_a_failed_job_says_why(page: AppTest, workspace: Workspace) -> None:
    press_compute(page)
    (job,) = JobTable(workspace).jobs()
    JobTable(workspace).close(job.id, "failed", error="the disk is full")
    run(page)
    assert "the disk is full" in page.error[0].value
    assert labels(page) == ["Compute UMAP"]


def test_a_umap_that_is_there_is_shown_at_once(workspace: Workspace) -> None:
    items = choose_items(workspace, SETTINGS)
    count = len(items.dataset)
    arrays: dict[str, np.ndarray[Any, Any]] = {
        "before": np.zeros((count, 2), np.float32),
        "after": np.tile(np.array([3, 4], np.float32), (count, 1)),
        "drift": np.zeros(count, np.float32),
        "retention_before": np.full(count, 0.5, np.float32),
        "retention_after": np.full(count, np.nan, np.float32),
        "ids": np.array(items.dataset.ids),
        "groups": np.array(items.groups),
        "notes": np.array(["n_neighbors was cut."]),
    }
    workspace.write_map(map_key(workspace, SETTINGS, items), arrays)
    page = run(AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S))
    assert page.radio(key="map_method").value == "umap"
    assert horizontal_axis(page) == "UMAP, first axis (no unit)"
    assert [metric.value for metric in page.metric] == ["100%"] * 3
    assert any("n_neighbors was cut." in caption.value for caption in page.caption)
    assert labels(page) == []


def figures(page: AppTest) -> list[dict[str, Any]]:
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def opened(**link: str) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S)
    for key, value in link.items():
        page.query_params[key] = value
    return run(page)


def said(page: AppTest) -> str:
    return " ".join(part.value for part in (*page.markdown, *page.caption, *page.info, *page.warning, *page.error))


def test_how_far_the_map_can_be_believed_is_beside_it(page: AppTest) -> None:
    assert "Of the 15 nearest neighbours of a point in the original space" in said(page)


def test_the_slider_moves_every_point_without_a_rerun(workspace: Workspace) -> None:
    page = opened(map_view="moving")
    assert not page.error
    (figure,) = figures(page)
    first, last = figure["frames"][0], figure["frames"][-1]
    assert [step["args"][0] for step in figure["layout"]["sliders"][0]["steps"]] == [
        [frame["name"]] for frame in figure["frames"]
    ]
    assert first["data"][0]["x"] == figure["data"][0]["x"]
    assert first["data"][0]["x"] != last["data"][0]["x"]


def test_in_space_there_are_three_axes(workspace: Workspace) -> None:
    page = opened(map_view="moving, in space (3-D)", map_colour="drift")
    assert not page.error
    (figure,) = figures(page)
    assert {trace["type"] for trace in figure["data"]} == {"scatter3d"}
    assert set(figure["frames"][0]["data"][0]) >= {"x", "y", "z"}
    assert "The three axes hold" in said(page)
    press_compute(page)
    (job,) = JobTable(workspace).jobs()
    assert job.settings["dimensions"] == 3


def test_what_is_selected_on_one_map_is_selected_on_both_and_listed(workspace: Workspace) -> None:
    items = choose_items(workspace, SETTINGS)
    page = AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S)
    page.query_params["map_view"] = "side by side, with a lasso"
    page.session_state["map_chosen"] = (items.dataset.ids[3], "from another map", items.dataset.ids[200])
    run(page)
    assert not page.error
    assert "2 pictures selected" in said(page)
    assert set(page.dataframe[0].value["Caption"]) == {items.dataset.texts[3], items.dataset.texts[200]}
    for figure in figures(page):
        assert all("selectedpoints" in trace for trace in figure["data"])
    button(page, "End the selection").click()
    run(page)
    assert not page.dataframe
    assert all("selectedpoints" not in trace for trace in figures(page)[0]["data"])


@pytest.mark.parametrize("colour", ["owner", "label", "drift", "neighbours kept"])
def test_points_can_be_coloured_by_more_than_their_set(workspace: Workspace, colour: str) -> None:
    page = opened(map_colour=colour)
    assert not page.error
    scale = chart(page)["layer"][2]["encoding"]["color"]["scale"]
    assert ("scheme" in scale) == (colour in ("drift", "neighbours kept"))


def test_without_an_audit_the_map_is_coloured_by_set(workspace: Workspace) -> None:
    page = opened(map_colour="verdict")
    assert "no verdicts yet; until then the map is coloured by set" in said(page)
    assert "Audit these pictures" in labels(page)


def test_a_link_to_a_view_that_is_none_says_so(workspace: Workspace) -> None:
    page = opened(map_view="from above")
    assert "from above" in page.warning[0].value
    assert chart(page)


def test_more_pictures_than_a_page_draws_wait_for_the_job(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.services.maps.MOST_AT_ONCE", 100)
    page = opened()
    assert "are drawn in the background" in said(page)
    assert not page.get("vega_lite_chart")
    assert labels(page) == ["Compute UMAP"]


def test_uploads_are_stars(workspace: Workspace) -> None:
    pixels = load_demo().images(64, [0, 1]).permute(0, 2, 3, 1).numpy()
    files = []
    for name, array in zip(("left.png", "right.png"), pixels, strict=True):
        content = io.BytesIO()
        Image.fromarray(array).save(content, format="PNG")
        files.append((name, content.getvalue()))
    page = AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S)
    page.session_state["my_files"] = Files.of(files)
    page.query_params["map_view"] = "moving"
    run(page)
    assert not page.error
    (stars,) = [trace for trace in figures(page)[0]["data"] if trace["name"] == "your pictures"]
    assert stars["text"] == ["left", "right"]
    assert stars["marker"]["symbol"] == "star"
    assert "Stars are your own pictures" in said(page)
    page.selectbox(key="map_view").select("one map")
    run(page)
    assert [layer["mark"].get("shape", "")[:3] for layer in chart(page)["layer"]][-2:] == ["M0,", "M0,"]


def test_a_link_says_which_map_and_whether_ways_are_drawn(workspace: Workspace) -> None:
    page = opened(map_method="UMAP", map_lines="false")
    assert not page.warning
    assert page.radio(key="map_method").value == "umap"
    assert len(chart(page)["layer"]) == 2
    assert "t-SNE" in opened(map_method="t-SNE").warning[0].value.replace("\\", "")
