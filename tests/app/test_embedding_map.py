"""The page of the embedding map: PCA at once, UMAP from a job, and how far each set moved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

import muc_core.jobs
from muc_core.jobs import Job, JobTable, table
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

    # Jobs are queued as always, but no process is started for them, and nobody minds.
    monkeypatch.setattr(muc_core.jobs, "submit", submit)
    monkeypatch.setattr(table, "START_WITHIN_S", 1e9)
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
    assert any("At most 300 pictures of a set" in caption.value for caption in page.caption)
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
