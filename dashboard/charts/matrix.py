"""One matrix as a figure of its own, for the pages where several stand side by side and every cell can be clicked.

Plotly reports no click on a heatmap, so markers that nobody sees lie over the cells: their x is the column and their y
the row. A figure stands alone so that matrices wrap on a narrow screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.heatmaps import (
    GAP_COLOURS,
    GAP_COLOURS_DARK,
    SIMILARITY_COLOURS,
    gap_limit,
    similarity_limits,
)
from dashboard.charts.style import base_layout, ink, safe, shorten

_MOST_NAMES = 16
_MOST_DRAWN = 3_600
"""Markers that are drawn one by one; more go through WebGL."""
_HEIGHT = 500
_FADED, _FADED_DARK = "#c4c4c0", "#5b5b58"
"""Grey for what is not significant, told apart from zero in both themes."""


@dataclass(frozen=True, eq=False)
class Panel:
    """A matrix to look at.

    Attributes:
        values: `[rows, columns]`.
        title: the finding, short.
        row_names, column_names: what each row and column is called.
        row_axis, column_axis: what rows and columns are, in words.
        limits: of the colours; a gap's are symmetric.
        is_gap: whether these are differences.
        faded: cells to be shown grey, for what is not significant.
        chosen: row and column of the outlined cell.
        marked: rows with a mark beside them.
    """

    values: npt.NDArray[np.float64]
    title: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    row_axis: str
    column_axis: str
    limits: tuple[float, float]
    is_gap: bool = False
    faded: npt.NDArray[np.bool_] | None = None
    chosen: tuple[int, int] | None = None
    marked: Sequence[int] = ()


def common_limits(*matrices: npt.NDArray[np.float64] | None) -> tuple[float, float]:
    """Limits of one scale for all matrices of similarities on screen."""
    return similarity_limits(*(matrix for matrix in matrices if matrix is not None))


def symmetric_limits(gap: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Limits of a scale of differences, white at zero."""
    limit = gap_limit(gap)
    return -limit, limit


def matrix_chart(panel: Panel, *, dark: bool, drag: bool = False) -> go.Figure:
    """A matrix whose cells can be clicked.

    Args:
        panel: what to show.
        dark: whether the page's theme is dark.
        drag: whether dragging draws a box around rows; without it a finger scrolls the page.
    """
    colours = ink(dark)
    layout = base_layout(panel.title, dark, height=_HEIGHT, wrap=44)
    layout |= {
        "margin": {"t": 40, "r": 8, "b": 84, "l": 112 if len(panel.row_names) <= _MOST_NAMES else 30},
        "shapes": [*_outline(panel), *_marks(panel, colours.accent)],
        "xaxis": _columns(panel, dark),
        "yaxis": _rows(panel, dark),
        "coloraxis": _scale(panel, dark),
        # What is not significant has no colour of its own: the ground shows through.
        "plot_bgcolor": (_FADED_DARK if dark else _FADED) if panel.faded is not None else "rgba(0,0,0,0)",
        "dragmode": "select" if drag else False,
        "selectdirection": "v",
        "clickmode": "event+select",
    }
    # One description, drawn at once: Plotly would check each later change again.
    return go.Figure({"data": [_heatmap(panel), _markers(panel)], "layout": layout})


def _heatmap(panel: Panel) -> dict[str, Any]:
    values = panel.values if panel.faded is None else np.where(panel.faded, np.nan, panel.values)
    return {
        "type": "heatmap",
        "z": values.astype(np.float32),
        "coloraxis": "coloraxis",
        "hoverinfo": "skip",
        "name": panel.title,
    }


def _markers(panel: Panel) -> dict[str, Any]:
    count = panel.values.size
    rows, columns = (places.ravel().astype(np.int16) for places in np.indices(panel.values.shape))
    what = "before minus after" if panel.is_gap else "similarity"
    template = f"%{{y}} × %{{x}}<br>{what} <b>%{{customdata:.2f}}</b>"
    return {
        "type": "scatter" if count <= _MOST_DRAWN else "scattergl",
        "x": columns,
        "y": rows,
        "mode": "markers",
        "marker": {"symbol": "square", "size": max(4, 360 / max(panel.values.shape)), "opacity": 0, "color": "#888888"},
        "selected": {"marker": {"opacity": 0}},
        "unselected": {"marker": {"opacity": 0}},
        # Adding 0 makes -0.00 a 0.00.
        "customdata": (panel.values.ravel().round(2) + 0.0).astype(np.float32),
        "hovertemplate": f"{template}<extra></extra>",
        "showlegend": False,
        "name": "cells",
    }


def _outline(panel: Panel) -> list[dict[str, Any]]:
    """Two lines, light on dark, which stand out on every colour."""
    if panel.chosen is None:
        return []
    row, column = panel.chosen
    reach = 0.5 + 0.006 * max(panel.values.shape)
    place = {"x0": column - reach, "x1": column + reach, "y0": row - reach, "y1": row + reach}
    return [
        {"type": "rect", "line": {"width": width, "color": colour}} | place
        for width, colour in ((5, "#000000"), (2, "#ffffff"))
    ]


def _marks(panel: Panel, colour: str) -> list[dict[str, Any]]:
    """A bar at the left edge along the marked rows, one for each run of neighbours."""
    rows = sorted(panel.marked)
    starts = [row for row in rows if row - 1 not in set(rows)]
    ends = [row for row in rows if row + 1 not in set(rows)]
    line = {"width": 4, "color": colour}
    return [
        {"type": "line", "line": line, "x0": -0.5, "x1": -0.5, "y0": first - 0.5, "y1": last + 0.5}
        for first, last in zip(starts, ends, strict=True)
    ]


_QUIET: dict[str, Any] = {
    "ticks": "",
    "showgrid": False,
    "zeroline": False,
    "fixedrange": True,
    "constrain": "domain",
    "tickmode": "array",
}


def _columns(panel: Panel, dark: bool) -> dict[str, Any]:
    names = panel.column_names
    return _QUIET | {
        "range": [-0.5, len(names) - 0.5],
        "showticklabels": False,
        # Not drawn, but a label at the pointer takes its names from here.
        "tickvals": np.arange(len(names)),
        "ticktext": [safe(shorten(name, 28)) for name in names],
        "title": {"text": panel.column_axis, "font": {"size": 13, "color": ink(dark).muted}, "standoff": 6},
    }


def _rows(panel: Panel, dark: bool) -> dict[str, Any]:
    names, colours = panel.row_names, ink(dark)
    few = len(names) <= _MOST_NAMES
    # Square cells where there are about as many rows as columns, else as the place allows.
    square = 0.5 <= len(names) / len(panel.column_names) <= 2
    return (
        _QUIET
        | {
            "range": [len(names) - 0.5, -0.5],
            "showticklabels": few,
            "tickvals": np.arange(len(names)),
            "ticktext": [safe(shorten(name, 14 if few else 28)) for name in names],
            "tickfont": {"size": 12, "color": colours.text},
            "title": {"text": panel.row_axis, "font": {"size": 13, "color": colours.muted}, "standoff": 4},
        }
        | ({"scaleanchor": "x"} if square else {})
    )


def _scale(panel: Panel, dark: bool) -> dict[str, Any]:
    colours = ink(dark)
    stops = GAP_COLOURS_DARK if dark else GAP_COLOURS
    name = "before minus after: above 0 lost" if panel.is_gap else "similarity, one scale for all"
    return {
        "colorscale": [[place / 4, colour] for place, colour in enumerate(stops)]
        if panel.is_gap
        else SIMILARITY_COLOURS,
        "cmin": panel.limits[0],
        "cmax": panel.limits[1],
        "colorbar": {
            "orientation": "h",
            "x": 0.5,
            "xanchor": "center",
            "y": -0.09,
            "yanchor": "top",
            "len": 0.8,
            "lenmode": "fraction",
            "thickness": 10,
            "outlinecolor": colours.rule,
            "nticks": 7,
            "tickfont": {"size": 12, "color": colours.muted},
            "title": {"text": name, "side": "bottom", "font": {"size": 13, "color": colours.muted}},
        },
    }
