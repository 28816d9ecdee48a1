"""Where a hyperbolic encoder puts pictures and captions before and after: distance from the root, and cones."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.style import HUES, axis, base_layout, ink, title_height

Float64 = npt.NDArray[np.float64]
Kinds = tuple[tuple[str, str, str], ...]
"""What is drawn: its name, the attribute with its values, its symbol."""

_WRAP = 40


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
    "The root of hyperbolic space is the most general, and captions (diamonds) lie nearer to it than their pictures "
    "(circles). Below an angle of 0 a picture lies inside its caption's cone, an instance of what the caption "
    "says. Forgotten pictures should come to where never-trained ones lie, and neither to the root nor to the rim."
)


def roots_chart(before: Mapping[str, HierarchyShown], after: Mapping[str, HierarchyShown], *, dark: bool) -> go.Figure:
    """Distances of pictures and captions from the root.

    Args:
        before, after: by set ("forget", "retain", "held-out"), the same sets in both.
    """
    found = _medians("forget", "root_images", before, after)
    title = f"Forget pictures lie {found[1]:z.2f} from the root, {found[0]:z.2f} before" if found else "The root"
    kinds = (("pictures", "root_images", "circle"), ("captions", "root_texts", "diamond"))
    return _chart(title, "distance from the root", before, after, kinds, dark=dark)


def angles_chart(before: Mapping[str, HierarchyShown], after: Mapping[str, HierarchyShown], *, dark: bool) -> go.Figure:
    """Angles of pictures outside the cones of their captions; arguments as `roots_chart`."""
    found = _medians("forget", "outside", before, after)
    title = (
        f"Forget pictures lie {found[1]:z.0f}° outside their captions' cones, {found[0]:z.0f}° before"
        if found
        else "Cones"
    )
    if found and (never := _medians("held-out", "outside", before, after)):
        title += f"; never-trained ones {never[1]:z.0f}°"
    kinds = (("pictures", "outside", "circle"),)
    return _chart(title, "angle outside the caption's cone, degrees", before, after, kinds, dark=dark)


def _medians(
    part: str, name: str, before: Mapping[str, HierarchyShown], after: Mapping[str, HierarchyShown]
) -> tuple[float, float] | None:
    if part not in before:
        return None
    first, last = (float(np.median(getattr(sets[part], name))) for sets in (before, after))
    return first, last


def _chart(
    title: str,
    name: str,
    before: Mapping[str, HierarchyShown],
    after: Mapping[str, HierarchyShown],
    kinds: Kinds,
    *,
    dark: bool,
) -> go.Figure:
    layout = base_layout(title, dark, height=380 + title_height(title, wrap=_WRAP), wrap=_WRAP)
    layout["margin"] |= {"t": title_height(title, wrap=_WRAP) + 64, "l": 76, "r": 12}
    layout["legend"] |= {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1,
        "yanchor": "bottom",
        "entrywidth": 0.48,
        "entrywidthmode": "fraction",
    }
    layout["xaxis"] = axis(name, dark)
    layout["yaxis"] = axis("", dark) | {
        "tickvals": [-place for place in range(len(before))],
        "ticktext": list(before),
        "range": [-len(before) + 0.5, 0.5],
        "zeroline": False,
        "showgrid": False,
    }
    return go.Figure({"data": _traces(before, after, kinds, dark=dark), "layout": layout})


def _traces(
    before: Mapping[str, HierarchyShown],
    after: Mapping[str, HierarchyShown],
    kinds: Kinds,
    *,
    dark: bool,
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
