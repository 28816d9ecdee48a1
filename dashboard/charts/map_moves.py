"""The joint map as two maps that are selected together, and as one that moves from before to after.

They have no titles, because on a narrow screen the legend would run into them. Drawn with Plotly: it has a lasso,
frames that need no rerun, three dimensions, and WebGL for many points.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.map_colours import NUMBERS, SETS, Colouring
from dashboard.charts.maps import MapData, percent
from dashboard.charts.style import HUES, base_layout, ink, safe, shorten

Moment: TypeAlias = Literal["before", "after"]

MOST_DRAWN = 1_500
"""Points that are drawn one by one; more go through WebGL."""
_STEPS, _STEPS_OF_MANY, _MANY = 20, 8, 5_000
_STARS = "your pictures"


@dataclass(frozen=True, eq=False)
class _Group:
    """Points of one colour, by their positions among all."""

    name: str
    rows: npt.NDArray[np.intp]
    marker: dict[str, Any]


def one_side(
    data: MapData, colouring: Colouring, moment: Moment, *, dark: bool, chosen: Sequence[int] = ()
) -> go.Figure:
    """The map before or the one after, with a lasso; both have the same axes.

    Args:
        chosen: positions of the selected items; all others are pale.
    """
    flat = (data.projection.before, data.projection.after)
    places = flat[0] if moment == "before" else flat[1]
    size = 6 if len(places) <= MOST_DRAWN else 4
    kind = "scatter" if len(places) <= MOST_DRAWN else "scattergl"
    selected = np.zeros(len(places), dtype=bool)
    selected[list(chosen)] = True
    traces: list[dict[str, Any]] = []
    for group in _groups(data, colouring, moment):
        rows = group.rows
        traces.append(
            {
                "type": kind,
                "mode": "markers",
                "name": group.name,
                "x": places[rows, 0].round(4),
                "y": places[rows, 1].round(4),
                "customdata": rows,
                "text": [_label(data, row) for row in rows],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"size": size, "symbol": "circle-open" if moment == "before" else "circle"} | group.marker,
                "unselected": {"marker": {"opacity": 0.12}},
            }
            | ({"selectedpoints": np.flatnonzero(selected[rows])} if len(chosen) else {})
        )
    if (stars := data.stars) is not None:
        own = stars.before if moment == "before" else stars.after
        traces.append(
            {
                "type": kind,
                "mode": "markers",
                "name": _STARS,
                "x": own[:, 0],
                "y": own[:, 1],
                "text": [safe(shorten(name, 40)) for name in stars.names],
                "hovertemplate": "%{text}<extra>your pictures</extra>",
                "marker": {
                    "size": 14,
                    "symbol": "star-open" if moment == "before" else "star",
                    "color": HUES["uploads"],
                    "line": {"width": 1.5},
                },
                "unselected": {"marker": {"opacity": 1}},
            }
        )
    layout = base_layout("", dark, height=500)
    span = _spans(data)
    layout |= {
        "margin": {"t": 48, "r": 8, "b": 8, "l": 8},
        "dragmode": "lasso",
        "xaxis": _bare(span[0]),
        "yaxis": _bare(span[1]),
        "legend": _legend(dark),
        # The scale of numbers stands where the legend would.
        "showlegend": colouring.numbers is None,
        "uirevision": "map",
    } | _scale(colouring, dark)
    return go.Figure({"data": traces, "layout": layout})


def moving_map(data: MapData, colouring: Colouring, *, dark: bool, lines: bool) -> go.Figure:
    """The map before, and a slider to the map after: each point goes straight from one place to the other.

    Args:
        data: with places in the plane or in space.
        lines: whether to draw the way of the pictures that moved, see `MapData.far`.
    """
    before, after = data.projection.before, data.projection.after
    solid = before.shape[1] == 3
    n = len(before)
    kind = "scatter3d" if solid else ("scatter" if n <= MOST_DRAWN else "scattergl")
    groups = _groups(data, colouring, "after")
    traces: list[dict[str, Any]] = []
    for group in groups:
        traces.append(
            {
                "type": kind,
                "mode": "markers",
                "name": group.name,
                "text": [_label(data, row) for row in group.rows],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {"size": 3 if solid else 6 if n <= MOST_DRAWN else 4, "opacity": 0.8} | group.marker,
            }
            | _at(before[group.rows])
        )
    if (stars := data.stars) is not None:
        traces.append(
            {
                "type": kind,
                "mode": "markers",
                "name": _STARS,
                "text": [safe(shorten(name, 40)) for name in stars.names],
                "hovertemplate": "%{text}<extra>your pictures</extra>",
                # Space has no stars.
                "marker": {
                    "size": 7 if solid else 14,
                    "symbol": "diamond" if solid else "star",
                    "color": HUES["uploads"],
                },
            }
            | _at(stars.before)
        )
    moving = list(range(len(traces)))
    if lines:
        traces.append(_ways(data, kind, dark))
    steps = _STEPS if n <= _MANY else _STEPS_OF_MANY
    names = [f"{step / steps:.2f}" for step in range(steps + 1)]
    frames = []
    for step, name in enumerate(names):
        share = step / steps
        parts = [_at(_between(before, after, share)[group.rows]) for group in groups]
        if stars is not None:
            parts.append(_at(_between(stars.before, stars.after, share)))
        frames.append({"name": name, "data": [part | {"type": kind} for part in parts], "traces": moving})
    layout = base_layout("", dark, height=620)
    layout |= {
        "margin": {"t": 48, "r": 8, "b": 104, "l": 8},
        "legend": _legend(dark),
        # The scale of numbers stands where the legend would.
        "showlegend": colouring.numbers is None,
        "sliders": [_slider(names, dark)],
        "uirevision": "map",
    } | _scale(colouring, dark)
    spans = _spans(data)
    if solid:
        axis = {"showticklabels": False, "title": {"text": ""}, "showbackground": False, "gridcolor": ink(dark).rule}
        layout["scene"] = {
            name: axis | {"range": span} for name, span in zip(("xaxis", "yaxis", "zaxis"), spans, strict=True)
        } | {"aspectmode": "cube"}
        layout["dragmode"] = "orbit"
    else:
        layout |= {"xaxis": _bare(spans[0]), "yaxis": _bare(spans[1])}
    return go.Figure({"data": traces, "layout": layout, "frames": frames})


def _groups(data: MapData, colouring: Colouring, moment: Moment) -> list[_Group]:
    """One group for each class, or one whose points have a number each."""
    if colouring.numbers is not None:
        numbers = colouring.numbers[0 if moment == "before" else 1]
        marker = {"color": numbers.round(4), "coloraxis": "coloraxis"}
        return [_Group("pictures", np.arange(len(data.groups)), marker)]
    classes = np.array(colouring.classes)
    return [
        _Group(safe(name), np.flatnonzero(classes == name), {"color": colour})
        for name, colour in colouring.palette.items()
    ]


def _label(data: MapData, row: int) -> str:
    moved = percent(float(data.projection.displacement[row])) if len(data.groups) <= _MANY else ""
    said = f"{safe(shorten(data.texts[row], 40))}<br>{SETS[data.groups[row]]}"
    return f"{said}, moved {moved} of the diagonal" if moved else said


def _between(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    return before + share * (after - before)


def _at(places: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.object_]]:
    """Coordinates as arrays of objects, which reach the browser as lists: Plotly does not unpack others in frames, and
    looks at each number of a list."""
    axes = zip(range(places.shape[1]), "xyz", strict=False)
    return {name: places[:, axis].round(4).astype(object) for axis, name in axes}


def _ways(data: MapData, kind: str, dark: bool) -> dict[str, Any]:
    """One trace for all ways, with gaps between them."""
    far = np.flatnonzero(data.far)
    before, after = data.projection.before[far], data.projection.after[far]
    gap = np.full_like(before, np.nan)
    joined = np.stack([before, after, gap], axis=1).reshape(-1, before.shape[1]).round(4)
    return {
        "type": kind,
        "mode": "lines",
        "name": "the way of those that moved",
        "line": {"width": 1, "color": ink(dark).muted},
        "opacity": 0.35,
        "hoverinfo": "skip",
    } | {name: joined[:, axis] for axis, name in zip(range(joined.shape[1]), "xyz", strict=False)}


def _spans(data: MapData) -> list[list[float]]:
    """Range of each axis, common to before and after, with a margin."""
    points = np.concatenate([data.projection.before, data.projection.after])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.maximum((high - low) * 0.04, 1e-6)
    return [[float(a), float(b)] for a, b in zip(low - margin, high + margin, strict=True)]


def _bare(span: Sequence[float]) -> dict[str, Any]:
    return {"range": list(span), "visible": False, "fixedrange": True}


def _legend(dark: bool) -> dict[str, Any]:
    return {
        "orientation": "h",
        "x": 0,
        "y": 1,
        "yanchor": "bottom",
        "font": {"color": ink(dark).text, "size": 14},
        "bgcolor": "rgba(0,0,0,0)",
        "itemsizing": "constant",
    }


def _scale(colouring: Colouring, dark: bool) -> dict[str, Any]:
    if colouring.numbers is None:
        return {}
    colours = ink(dark)
    return {
        "coloraxis": {
            "colorscale": NUMBERS,
            "cmin": colouring.limits[0],
            "cmax": colouring.limits[1],
            "colorbar": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
                "len": 0.6,
                "thickness": 10,
                "nticks": 5,
                "title": {"text": colouring.title, "side": "bottom", "font": {"size": 13, "color": colours.muted}},
                "tickfont": {"size": 12, "color": colours.muted},
            },
        }
    }


def _slider(names: Sequence[str], dark: bool) -> dict[str, Any]:
    colours = ink(dark)

    def step(name: str, label: str) -> dict[str, Any]:
        # Redrawn at once: in between Plotly would glide, which WebGL cannot.
        play = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
        return {"method": "animate", "args": [[name], play], "label": label}

    labels = dict(_ends(names))
    return {
        "active": 0,
        "steps": [step(name, labels.get(name, "")) for name in names],
        "x": 0.04,
        "len": 0.92,
        "y": 0,
        "pad": {"t": 28, "b": 8},
        "currentvalue": {"visible": False},
        "ticklen": 4,
        "tickcolor": colours.rule,
        "bordercolor": colours.rule,
        "bgcolor": colours.rule,
        "activebgcolor": colours.accent,
        "font": {"size": 14, "color": colours.text},
    }


def _ends(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield names[0], "before"
    yield names[len(names) // 2], "half-way"
    yield names[-1], "after"
