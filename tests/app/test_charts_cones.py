"""The picture of norms and cones: what stands where, and what its title says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import pytest

from dashboard.charts.cones import angles_chart, roots_chart
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
@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (roots_chart, {"pictures before": [2.0, 2.1, 1.8], "captions after": [1.0, 1.1, 0.9]}),
        (angles_chart, {"pictures before": [5.0, 6.0, 40.0], "pictures after": [38.0, 7.0, 41.0]}),
    ],
)
def test_every_set_stands_at_its_median_before_and_after(
    draw: Callable[..., go.Figure], expected: dict[str, list[float]], dark: bool
) -> None:
    traces = {trace.name: trace for trace in draw(BEFORE, AFTER, dark=dark).data}
    assert len(traces) == (4 if draw is roots_chart else 2)
    for name, medians in expected.items():
        assert traces[name].x == pytest.approx(medians)
        assert traces[name].error_x.array == pytest.approx([0.09] * 3)
    for name, trace in traces.items():
        assert list(trace.marker.color) == [HUES[part] for part in BEFORE]
        assert trace.marker.symbol.endswith("-open") is name.endswith("before")
    assert len({tuple(trace.y) for trace in traces.values()}) == len(traces)


def title(figure: go.Figure) -> str:
    return str(figure.layout.title.text).replace("-<br>", "-").replace("<br>", " ")


def test_the_titles_say_what_became_of_the_forget_pictures() -> None:
    assert title(roots_chart(BEFORE, AFTER, dark=False)) == "Forget pictures lie 1.90 from the root, 2.00 before"
    assert title(angles_chart(BEFORE, AFTER, dark=False)) == (
        "Forget pictures lie 38° outside their captions' cones, 5° before; never-trained ones 41°"
    )
    alone = {"forget": AFTER["forget"]}
    assert "never-trained" not in title(angles_chart({"forget": BEFORE["forget"]}, alone, dark=False))
    neither = {"retain": AFTER["retain"]}
    assert [title(draw(neither, neither, dark=False)) for draw in (roots_chart, angles_chart)] == ["The root", "Cones"]
