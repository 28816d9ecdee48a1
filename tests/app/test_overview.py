"""The overview: the sentence with the finding, the three strips, and what each method forgot."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.charts.style import HUES, two_decimals
from dashboard.components import pictures
from dashboard.components.pictures import Shown
from dashboard.services import Means, changes
from muc_core.data.demo import demo_split


def test_the_finding_has_the_means_of_whole_sets(app: AppTest) -> None:
    shown = app.run().switch_page("app_pages/overview.py").run()
    found = changes("demo-clip", "demo-clip-ac")
    assert found.forget is not None
    assert found.held_out is not None
    assert [len(part.ids) for part in (found.forget, found.retain, found.held_out)] == [
        len(ids) for ids in (demo_split().forget, demo_split().retain, demo_split().held_out)
    ]
    finding = next(element.value for element in shown.markdown if element.value.startswith("#### "))
    assert finding.startswith("#### The pictures to be forgotten ")
    for part in (found.forget, found.retain, found.held_out):
        assert part.mean_before == pytest.approx(np.mean(part.before))
        for mean in (part.mean_before, part.mean_after):
            assert two_decimals(mean) in finding


def test_each_set_has_its_strip_in_its_hue(app: AppTest) -> None:
    shown = app.run().switch_page("app_pages/overview.py").run()
    strips = [body for element in shown.get("html") if "<figure>" in (body := str(element.proto.body))]
    assert len(strips) == 3
    for strip, name in zip(strips, ("forget", "retain", "held-out"), strict=True):
        assert strip.count("<figure>") == 8
        assert strip.count(f"background: {HUES[name]}") == 16
        assert not [hue for hue in HUES.values() if hue != HUES[name] and hue in strip]


def test_all_encoders_made_from_the_original_are_listed(app: AppTest) -> None:
    table = app.run().switch_page("app_pages/overview.py").run().dataframe[0].value
    assert list(table["Encoder"]) == ["demo-clip", "demo-clip-ac"]
    found = changes("demo-clip", "demo-clip-ac")
    assert list(table["Retained"]) == [found.retain.mean_before, found.retain.mean_after]
    # Without a retrained encoder there is no yardstick.
    assert list(table["Note"]) == ["the original", ""]


def test_the_choice_of_the_pair_stays_on_other_pages(app: AppTest) -> None:
    shown = app.run().switch_page("app_pages/overview.py").run()
    shown.selectbox(key="after").select("demo-clip").run()
    for page in ("check_my_pictures", "tune", "overview"):
        shown.switch_page(f"app_pages/{page}.py").run()
    assert shown.selectbox(key="after").value == "demo-clip"


def test_distance_is_over_the_sets_that_both_have() -> None:
    retrained = Means("r", "retrain", 0.2, 0.9, 0.3)
    assert Means("a", "ac", 0.5, 0.8, 0.3).distance(retrained) == pytest.approx(0.4 / 3)
    assert Means("a", "ac", None, 0.8, 0.3).distance(retrained) == pytest.approx(0.05)


def test_a_caption_cannot_become_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("streamlit.html", drawn.append)
    pictures.picture_strip([Shown("data:,", '<script>"x"', 0.5, -0.25)], HUES["forget"])
    assert "<script>" not in drawn[0]
    assert "&lt;script&gt;&quot;x&quot;" in drawn[0]
    assert "width: 50.0%" in drawn[0]
    assert "width: 0.0%" in drawn[0]
    assert "-0.25" in drawn[0]
