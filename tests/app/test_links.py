"""The contract of all pages: what is chosen is in the address, and a bad address is told in a sentence."""

from pathlib import Path
from typing import Any

import pytest

from dashboard.streamlit_app import PAGES
from muc_core.jobs import JobTable
from muc_core.workspace import Workspace
from tests.app.linking import assert_link_reproduces, choices, choose, open_link
from tests.app.small import AFTER, ANN, BEFORE, RETRAIN, write_small

# What is chosen, in this order: a widget's key and value, or a button's name. The pages' own tests have further scenes.
SCENES: dict[str, tuple[str, dict[str, Any]]] = {
    "overview": ("overview", {"before": AFTER, "after": RETRAIN}),
    "present": ("present", {"Deutsch": None, "next": None, "take notes": None}),
    "present-a-picture": ("present", {"step": "3", "picture": ANN[2], "moment": "now"}),
    "own-pictures": (
        "check_my_pictures",
        {"Try with three drawings of the demo": None, "controls choice": "own"},
    ),
    "matrices": (
        "matrices",
        {
            "matrices_items": "owner:ann",
            "matrices_order": "by item, as given",
            "matrices_mask": True,
            "matrices_drag": True,
            "matrices_row": ANN[5],
            "matrices_column": ANN[7],
            "matrices_rows": (ANN[2], ANN[6]),
            "lists": True,
            "lists_rows": "forget",
            "lists_against": "pictures",
            "lists_columns": "owner:ann",
            "lists_cell": (ANN[1], ANN[3]),
        },
    ),
    "map": (
        "embedding_map",
        {"map_view": "moving", "map_colour": "drift", "map_count": "2,000 of each set", "map_lines": False},
    ),
    "lasso": ("embedding_map", {"map_view": "side by side, with a lasso", "map_chosen": ANN[:3]}),
    "stress": (
        "stress_test",
        {
            "stress forget": "owner:bob",
            "stress controls": "calibration",
            f"stress retrained {BEFORE} {AFTER}": None,
            "stress steps": 7,
            "stress splits": 2,
            "stress seed": 11,
        },
    ),
    "unlearn": (
        "tune",
        {
            "unlearn method": "neggrad",
            "unlearn original": AFTER,
            "unlearn forget": "owner:bob",
            "neggrad epochs": 3,
            "neggrad learning_rate": 0.003,
            "neggrad optimizer": "sgd",
            "neggrad gradient_clip": None,
            "neggrad channels_last": False,
            "unlearn seed": 5,
            "unlearn audits": False,
        },
    ),
    "dial": ("tune", {"view": "Strength dial"}),
    "weakest": (
        "tune",
        {
            "view": "Weakest strength",
            "search": "Over real runs",
            "search setting": "alpha",
            "low alpha": 0.5,
            "high alpha": 6.5,
            "search halvings": 2,
        },
    ),
    "compare": ("compare", {f"compared {BEFORE} {AFTER}": [RETRAIN]}),
    "encoders": ("encoders", {"encoder card": AFTER, "encoder beside": RETRAIN}),
    "jobs": ("jobs", {"jobs shown": "Failed or lost", "jobs page": 2}),
}
WITHOUT_CHOICES = ("start", "settings", "evidence")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Assets, and a workspace with so many jobs that their list has two pages."""
    assets, home = tmp_path_factory.mktemp("assets"), tmp_path_factory.mktemp("home")
    write_small(assets, tmp_path_factory.mktemp("data") / "pictures")
    table = JobTable(Workspace(home, assets=assets))
    for number in range(21):
        job, _ = table.add("train", {"data": "demo", "name": f"mine-{number}"}, unique=False)
        table.close(job.id, "failed", error="the disk is full")
    return assets, home


@pytest.fixture(autouse=True)
def workplace(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(places[0]))
    monkeypatch.setenv("MUC_HOME", str(places[1]))


def test_every_page_has_a_scene() -> None:
    assert {page for page, _ in SCENES.values()} | set(WITHOUT_CHOICES) == {name for name, _, _ in PAGES}


@pytest.mark.parametrize("place", WITHOUT_CHOICES)
def test_a_page_without_a_scene_has_no_choice(place: str) -> None:
    assert choices(open_link(place)) == {}


@pytest.mark.parametrize("scene", SCENES)
def test_a_link_reproduces_what_was_chosen(scene: str) -> None:
    place, wanted = SCENES[scene]
    app = open_link(place)
    at_first = choices(app)
    for key, value in wanted.items():
        choose(app, key, value)
    clicked = {key for key in wanted if key in app.session_state and key not in choices(app)} - {"next", "take notes"}
    query = assert_link_reproduces(app, place, also=tuple(sorted(clicked)))
    assert query
    assert choices(app) != at_first or clicked or scene == "present"


BAD = {
    "overview": {"before": "gone"},
    "present": {"step": "9", "language": "Klingon", "notes": "maybe"},
    "check_my_pictures": {"my_demo": "four"},
    "matrices": {"matrices_items": "gone", "matrices_row": "gone", "matrices_mask": "maybe", "matrices_block": "x"},
    "embedding_map": {"map_view": "from above", "map_method": "t-SNE", "map_lines": "perhaps"},
    "stress_test": {"stress steps": "inf", "stress splits": "-1", "stress seed": "one"},
    "tune": {"unlearn method": "prayer", "unlearn original": "gone", "unlearn seed": "inf", "ac epochs": "0"},
    "compare": {f"compared {BEFORE} {AFTER}": "gone"},
    "encoders": {"encoder card": "gone", "encoder beside": "gone"},
    "jobs": {"jobs shown": "Lost forever", "jobs page": "99", "job": "gone"},
}


@pytest.mark.parametrize("place", BAD)
def test_what_a_link_names_that_is_not_there_is_told(place: str) -> None:
    without = choices(open_link(place))
    app = open_link(place, BAD[place])
    assert [error.value for error in app.error] == []
    assert choices(app) == without
    told = [warning.value for warning in app.warning if "The link" in warning.value]
    assert len(told) == len(BAD[place]), told
    assert [warning.value for warning in app.run().warning if "The link" in warning.value] == []
