"""The alignment matrices before and after on one scale, and the gap between them, as figures that can be clicked.

Plotly reports no click on a heatmap, so a square marker that nobody sees lies over each cell. Its `customdata` is
`[row id, column id, row index, column index]`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.style import base_layout, ink, safe, shorten, title_height, two_decimals
from muc_core.audit.picture import AlignmentPicture
from muc_core.comparison import Comparison

SIMILARITY_COLOURS = "Cividis"
GAP_COLOURS = ("#22315B", "#8795BA", "#FFFFFF", "#F0A35E", "#8A3800")
"""From alignment gained (cold) over white at zero to alignment lost (warm)."""
GAP_COLOURS_DARK = ("#A9BBF2", "#566394", "#20242E", "#A65A1C", "#FFB066")
"""The same for the dark theme: zero is the neutral of the page, and what changed is bright."""

HOW_TO_READ = (
    "How to read this: each cell compares one picture (row) with one caption (column), and the diagonal is each "
    "picture with its own. Forgetting dims the diagonal of the matrix after and warms that of the gap."
)
HOW_TO_READ_VIEWS = (
    "How to read this: each cell compares changed copies of one picture (row) with those of another (column), and the "
    "diagonal is each picture with itself. Forgetting dims the diagonal of the matrix after and warms that of the gap."
)

_MOST_NAMES = 16
_SPACE = 0.045


def how_to_read(comparison: Comparison) -> str:
    """The sentence that goes below the matrices."""
    return HOW_TO_READ if comparison.mode == "image-text" else HOW_TO_READ_VIEWS


def alignment_heatmaps(comparison: Comparison, *, dark: bool, chosen: tuple[str, str] | None = None) -> go.Figure:
    """AM before, AM after and AGM side by side.

    Args:
        comparison: what to show; its pictures hold `[k, k]` cells each.
        dark: whether the page's theme is dark.
        chosen: ids of a row and a column, whose cell is outlined in all three.
    """
    pictures = (comparison.before.picture, comparison.after.picture, comparison.gap)
    width = (1 - 2 * _SPACE) / 3
    panels = [
        _Panel(number, picture, title, (number * (width + _SPACE), number * (width + _SPACE) + width), number == 2)
        for number, (picture, title) in enumerate(zip(pictures, _titles(comparison), strict=True))
    ]
    scales = {
        "coloraxis": _similarity_axis(comparison, dark, x=0.325, length=0.6),
        "coloraxis2": _gap_axis(comparison, dark, x=0.848, length=0.28),
    }
    return _draw(comparison, panels, scales, chosen, dark, wrap=105, height=440)


@dataclass(frozen=True)
class _Panel:
    """One matrix of a figure: its place from the left, what it shows, its title, and the width it takes in [0, 1]."""

    number: int
    picture: AlignmentPicture
    title: str
    domain: tuple[float, float]
    is_gap: bool

    def axis(self, name: str) -> str:
        """Plotly's name of an axis of this panel: x, x2, ..., or xaxis, xaxis2, ..."""
        return name if self.number == 0 else f"{name}{self.number + 1}"


def _draw(
    comparison: Comparison,
    panels: list[_Panel],
    scales: dict[str, Any],
    chosen: tuple[str, str] | None,
    dark: bool,
    *,
    wrap: int,
    height: int,
) -> go.Figure:
    # The figure is made of one description: each later change to it would be checked again, for half of the time a page
    # may take.
    layout = base_layout(comparison.finding, dark, height=height, wrap=wrap) | scales
    named = len(comparison.before.picture.ids) <= _MOST_NAMES and comparison.before.picture.kind != "pooled"
    above = title_height(comparison.finding, wrap=wrap) + 44
    layout["margin"] = {"t": above, "r": 12, "b": 88, "l": 110 if named else 34}
    layout["annotations"] = [_panel_title(panel, dark) for panel in panels]
    layout["shapes"] = [shape for panel in panels for shape in _outline(panel, chosen)]
    for panel in panels:
        layout |= _axes(panel, comparison, dark, named=named and panel.number == 0)
    return go.Figure({"data": [trace for panel in panels for trace in _matrix(panel, comparison)], "layout": layout})


def _matrix(panel: _Panel, comparison: Comparison) -> list[dict[str, Any]]:
    picture = panel.picture
    k = len(picture.ids)
    names = [safe(shorten(caption, 28)) for caption in _captions(comparison, picture)]
    what = "before minus after" if panel.is_gap else "similarity"
    rows, columns = (places.ravel() for places in np.indices((k, k)))
    cells = list(zip(rows.tolist(), columns.tolist(), picture.matrix.ravel().tolist(), strict=True))
    # Plotly checks the entries of lists one by one, which takes most of a second here; arrays it takes as they are.
    customdata = np.empty((k * k, 4), dtype=object)
    customdata[:] = [[picture.ids[i], picture.ids[j], i, j] for i, j, _ in cells]
    labels = np.array(
        [f"{names[i]} × {names[j]}<br>{what} <b>{two_decimals(value)}</b>" for i, j, value in cells], dtype=object
    )
    common = {"xaxis": panel.axis("x"), "yaxis": panel.axis("y"), "name": panel.title.partition(":")[0]}
    heatmap = {
        "type": "heatmap",
        "z": np.round(picture.matrix, 4),
        "coloraxis": "coloraxis2" if panel.is_gap else "coloraxis",
        "hoverinfo": "skip",
    }
    markers = {
        "type": "scatter",
        "x": columns,
        "y": rows,
        "mode": "markers",
        "marker": {"symbol": "square", "size": max(4, 270 / k), "opacity": 0, "color": "#888888"},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        "customdata": customdata,
        "text": labels,
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    return [heatmap | common, markers | common]


def _outline(panel: _Panel, chosen: tuple[str, str] | None) -> list[dict[str, Any]]:
    """Two lines, light on dark, which stand out on every colour."""
    ids = panel.picture.ids
    if chosen is None or not set(chosen) <= set(ids):
        return []
    row, column = (ids.index(item_id) for item_id in chosen)
    reach = 0.5 + 0.006 * len(ids)
    place = {
        "type": "rect",
        "xref": panel.axis("x"),
        "yref": panel.axis("y"),
        "x0": column - reach,
        "x1": column + reach,
        "y0": row - reach,
        "y1": row + reach,
    }
    return [place | {"line": {"width": width, "color": colour}} for width, colour in ((5, "#000000"), (2, "#ffffff"))]


def _panel_title(panel: _Panel, dark: bool) -> dict[str, Any]:
    return {
        "text": panel.title,
        "x": sum(panel.domain) / 2,
        "xref": "paper",
        "xanchor": "center",
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 15, "color": ink(dark).text},
    }


def _axes(panel: _Panel, comparison: Comparison, dark: bool, *, named: bool) -> dict[str, Any]:
    colours = ink(dark)
    k = len(panel.picture.ids)
    partner = "captions" if comparison.mode == "image-text" else "pictures, other copies"
    quiet = {
        "showticklabels": False,
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "constrain": "domain",
    }
    font = {"size": 13, "color": colours.muted}
    horizontal = quiet | {
        "anchor": panel.axis("y"),
        "domain": panel.domain,
        "range": [-0.5, k - 0.5],
        "title": {"text": f"{partner}, in the order of the rows", "font": font, "standoff": 6},
    }
    vertical: dict[str, Any] = quiet | {
        "anchor": panel.axis("x"),
        "domain": [0, 1],
        "range": [k - 0.5, -0.5],
        "scaleanchor": panel.axis("x"),
    }
    if panel.number == 0:
        vertical["title"] = {"text": "pictures", "font": font, "standoff": 4}
    if named:
        vertical |= {
            "showticklabels": True,
            "tickvals": list(range(k)),
            "ticktext": [safe(shorten(caption, 14)) for caption in _captions(comparison, panel.picture)],
            "tickfont": {"size": 12, "color": colours.text},
        }
    return {panel.axis("xaxis"): horizontal, panel.axis("yaxis"): vertical}


def _similarity_axis(comparison: Comparison, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    low, high = similarity_limits(comparison.before.picture.matrix, comparison.after.picture.matrix)
    scale = _scale("similarity, one scale for before and after", dark, x=x, length=length)
    return {"colorscale": SIMILARITY_COLOURS, "cmin": low, "cmax": high, "colorbar": scale}


def _gap_axis(comparison: Comparison, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    limit = gap_limit(comparison.gap.matrix)
    stops = GAP_COLOURS_DARK if dark else GAP_COLOURS
    scale = _scale("before minus after: above 0 lost", dark, x=x, length=length)
    colours = [[place / 4, colour] for place, colour in enumerate(stops)]
    return {"colorscale": colours, "cmin": -limit, "cmax": limit, "cmid": 0, "colorbar": scale}


def _scale(name: str, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    colours = ink(dark)
    return {
        "orientation": "h",
        "x": x,
        "xanchor": "center",
        "y": -0.11,
        "yanchor": "top",
        "len": length,
        "lenmode": "fraction",
        "thickness": 10,
        "outlinecolor": colours.rule,
        "nticks": 7,
        "tickfont": {"size": 12, "color": colours.muted},
        "title": {"text": name, "side": "bottom", "font": {"size": 13, "color": colours.muted}},
    }


def similarity_limits(*matrices: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Limits common to all matrices, rounded outwards to a tenth, never of no width."""
    low = np.floor(min(matrix.min() for matrix in matrices) * 10 + 1e-9) / 10
    high = np.ceil(max(matrix.max() for matrix in matrices) * 10 - 1e-9) / 10
    return float(low), float(max(high, low + 0.1))


def gap_limit(matrix: npt.NDArray[np.float64]) -> float:
    """The largest change either way, rounded up to a tenth, and at least 0.1 so that noise stays pale."""
    return float(max(np.ceil(np.abs(matrix).max() * 10 - 1e-9) / 10, 0.1))


def _titles(comparison: Comparison) -> tuple[str, str, str]:
    own = "on the diagonal"
    # The gap is that of the printed numbers: one that seems a cent off would look like a mistake.
    start, end = (round(a.summary.positive_mean, 2) for a in (comparison.before, comparison.after))
    change = "no change" if start == end else f"{abs(start - end):.2f} {'lost' if start > end else 'gained'}"
    return f"Before: {start:z.2f} {own}", f"After: {end:z.2f} {own}", f"Gap: {change} {own}"


def _captions(comparison: Comparison, picture: AlignmentPicture) -> list[str]:
    """Captions of the rows; the id of an item that has none, or of a block of items."""
    captions = dict(zip(comparison.ids, comparison.texts, strict=True))
    return [captions.get(name) or name for name in picture.ids]
