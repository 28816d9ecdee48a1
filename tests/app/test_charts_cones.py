"""The picture of norms and cones: what stands where, and what its title says."""

from dataclasses import dataclass

import numpy as np
import pytest

from dashboard.charts.cones import cones_chart
from dashboard.charts.style import HUES


@dataclass(frozen=True)
class Shown:
    root_images: np.ndarray
    root_texts: np.ndarray
    outside: np.ndarray


def shown(images: float, texts: float, outside: float) -> Shown:
    spread = np.linspace(-0.1, 0.1, 21)
    return Shown(images + spread, texts + spread, outside + spread)


BEFORE = {"forget": shown(2.0, 1.0, 5.0), "retain": shown(2.1, 1.1, 6.0), "held-out": shown(1.8, 0.9, 40.0)}
AFTER = {"forget": shown(1.9, 1.0, 38.0), "retain": shown(2.1, 1.1, 7.0), "held-out": shown(1.8, 0.9, 41.0)}


@pytest.mark.parametrize("dark", [False, True])
def test_every_set_stands_at_its_median_before_and_after(dark: bool) -> None:
    figure = cones_chart(BEFORE, AFTER, dark=dark)
    traces = {(trace.name, trace.xaxis): trace for trace in figure.data}
    assert len(traces) == 6
    assert traces["pictures before", "x"].x == pytest.approx([2.0, 2.1, 1.8])
    assert traces["captions after", "x"].x == pytest.approx([1.0, 1.1, 0.9])
    assert traces["pictures after", "x2"].x == pytest.approx([38.0, 7.0, 41.0])
    assert traces["pictures after", "x2"].error_x.array == pytest.approx([0.09] * 3)
    for (name, _), trace in traces.items():
        assert list(trace.marker.color) == [HUES[part] for part in BEFORE]
        assert trace.marker.symbol.endswith("-open") is name.endswith("before")
    assert len({tuple(trace.y) for trace in figure.data if trace.xaxis == "x"}) == 4


def test_the_title_says_what_became_of_the_forget_pictures() -> None:
    title = cones_chart(BEFORE, AFTER, dark=False).layout.title.text.replace("<br>", " ")
    assert title == ("Forget pictures lie 38° outside their captions' cones, 5° before; never-trained ones 41°")
    alone = {"forget": AFTER["forget"]}
    assert "never-trained" not in cones_chart({"forget": BEFORE["forget"]}, alone, dark=False).layout.title.text
    neither = {"retain": AFTER["retain"]}
    assert "hyperbolic" in cones_chart(neither, neither, dark=False).layout.title.text
