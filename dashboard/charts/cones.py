"""Where a hyperbolic encoder puts pictures and captions before and after: distance from the root, and cones."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.style import HUES, axis, base_layout, ink, title_height

Float64 = npt.NDArray[np.float64]


class HierarchyShown(Protocol):
    """Distances from the root and angles outside the captions' cones in degrees, `[n]` each."""

    @property
    def root_images(self) -> Float64: ...

    @property
    def root_texts(self) -> Float64: ...

    @property
    def outside(self) -> Float64: ...


HOW_TO_READ = (
    "How to read this: a dot is the middle of a set, its line reaches over nine of ten; hollow is before, solid after. "
    "Left: the root of hyperbolic space is the most general, and captions (diamonds) lie nearer to it than their "
    "pictures (circles). Right: below 0 a picture lies inside its caption's cone, an instance of what the caption "
    "says. Forgotten pictures should come to where never-trained ones lie, and neither to the root nor to the rim."
)

_ROOT = (("pictures", "root_images", "circle"), ("captions", "root_texts", "diamond"))
_ANGLE = (("pictures", "outside", "circle"),)


def cones_chart(before: Mapping[str, HierarchyShown], after: Mapping[str, HierarchyShown], *, dark: bool) -> go.Figure:
    """Sets side by side in two panels.

    Args:
        before, after: by set ("forget", "retain", "held-out"), the same sets in both.
    """
    title = _finding(before, after)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12, shared_yaxes=False)
    for column, kinds in ((1, _ROOT), (2, _ANGLE)):
        for trace in _traces(before, after, kinds, dark=dark, legend=column == 1):
            figure.add_trace(trace, row=1, col=column)
    layout = base_layout(title, dark, height=380 + title_height(title))
    layout["margin"] |= {"t": title_height(title) + 44, "l": 88}
    layout["legend"] |= {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"}
    figure.update_layout(layout)
    names = axis("", dark) | {
        "tickvals": [-place for place in range(len(before))],
        "ticktext": list(before),
        "range": [-len(before) + 0.5, 0.5],
        "zeroline": False,
        "showgrid": False,
    }
    figure.update_yaxes(names)
    figure.update_xaxes(axis("distance from the root", dark) | {"rangemode": "tozero"}, row=1, col=1)
    figure.update_xaxes(axis("angle outside the caption's cone, degrees", dark), row=1, col=2)
    return figure


def _traces(
    before: Mapping[str, HierarchyShown],
    after: Mapping[str, HierarchyShown],
    kinds: tuple[tuple[str, str, str], ...],
    *,
    dark: bool,
    legend: bool,
) -> list[go.Scatter]:
    """A point for each set, kind and moment, below one another."""
    traces = []
    step = 0.8 / (2 * len(kinds))
    for number, (moment, sets) in enumerate((("before", before), ("after", after))):
        for row, (kind, name, symbol) in enumerate(kinds):
            ranges = [np.quantile(getattr(found, name), (0.05, 0.5, 0.95)) for found in sets.values()]
            low, middle, high = np.array(ranges).T
            hues = [HUES[part] for part in sets]
            places = -np.arange(len(sets)) + 0.4 - step * (2 * row + number + 0.5)
            marker: dict[str, Any] = {
                "symbol": symbol if number else f"{symbol}-open",
                "size": 10,
                "color": hues,
                "line": {"width": 2, "color": hues},
            }
            traces.append(
                go.Scatter(
                    x=middle,
                    y=places,
                    mode="markers",
                    name=f"{kind} {moment}",
                    marker=marker,
                    showlegend=legend,
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": high - middle,
                        "arrayminus": middle - low,
                        "thickness": 1.5,
                        "width": 0,
                        "color": ink(dark).muted,
                    },
                    customdata=np.stack([low, high], axis=1),
                    hovertemplate=f"{kind} {moment}: %{{x:.2f}} (%{{customdata[0]:.2f}} to %{{customdata[1]:.2f}})"
                    "<extra></extra>",
                )
            )
    return traces


def _finding(before: Mapping[str, HierarchyShown], after: Mapping[str, HierarchyShown]) -> str:
    if "forget" not in before:
        return "Where pictures and captions lie in hyperbolic space"
    first, last = (float(np.median(found["forget"].outside)) for found in (before, after))
    told = f"Forget pictures lie {last:z.0f}° outside their captions' cones, {first:z.0f}° before"
    if "held-out" not in after:
        return told
    return f"{told}; never-trained ones {float(np.median(after['held-out'].outside)):z.0f}°"
