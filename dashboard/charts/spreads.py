"""How similarities are spread before and after, with the band in which controls lie."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.style import HUES, axis, base_layout, ink, title_height, two_decimals

Band = tuple[float, float] | None


class SpreadShown(Protocol):
    """Bins and the share of similarities in each, before and after; means; the controls' 5th and 95th percentile."""

    @property
    def edges(self) -> npt.NDArray[np.float64]: ...

    @property
    def before(self) -> npt.NDArray[np.float64]: ...

    @property
    def after(self) -> npt.NDArray[np.float64]: ...

    @property
    def mean_before(self) -> float: ...

    @property
    def mean_after(self) -> float: ...

    @property
    def band_before(self) -> Band: ...

    @property
    def band_after(self) -> Band: ...


HOW_TO_READ = (
    "How to read this: the outline is before, the filled shape after, the height the share of pairs; the titles have "
    "the means. Nine of ten controls, never trained on, lie in the blue band after and between the dashed lines "
    "before. Positive is each picture with its own partner; what was forgotten lies where the controls lie. Negative "
    "is every other pair: a shift there means that the encoder has changed as a whole."
)


def spread_chart(spread: SpreadShown, name: str, hue: str, *, dark: bool) -> go.Figure:
    """One spread.

    Args:
        name: "Positive alignment" or "Negative alignment".
        hue: colour of the set.
    """
    title = f"{name}: {two_decimals(spread.mean_before)} before, {two_decimals(spread.mean_after)} after"
    colours = ink(dark)
    x = np.repeat(spread.edges, 2)
    heights = [np.r_[0, np.repeat(100 * shares, 2), 0] for shares in (spread.before, spread.after)]
    lines: dict[str, Any] = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "x": x}
    traces = [
        lines | {"y": heights[1], "name": "after", "fill": "tozeroy", "line": {"color": hue, "width": 1}},
        lines | {"y": heights[0], "name": "before", "line": {"color": colours.text, "width": 1.5}},
    ]
    layout = base_layout(title, dark, height=300, wrap=46)
    layout |= {
        "margin": {"t": title_height(title, wrap=46) + 40, "r": 8, "b": 52, "l": 56},
        "xaxis": axis("similarity (higher = more alike)", dark),
        "yaxis": axis("share of pairs, %", dark) | {"rangemode": "tozero"},
        "shapes": _bands(spread),
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"color": colours.text}},
    }
    return go.Figure({"data": traces, "layout": layout})


def _bands(spread: SpreadShown) -> list[dict[str, Any]]:
    """The controls after as a band, before as its dashed edges."""
    shapes: list[dict[str, Any]] = []
    tall = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    if spread.band_after is not None:
        low, high = spread.band_after
        shapes.append(
            tall
            | {
                "type": "rect",
                "x0": low,
                "x1": high,
                "fillcolor": HUES["controls"],
                "opacity": 0.18,
                "line": {"width": 0},
            }
        )
    for edge in spread.band_before or ():
        line = {"color": HUES["controls"], "width": 1.5, "dash": "dash"}
        shapes.append(tall | {"type": "line", "x0": edge, "x1": edge, "line": line})
    return shapes
