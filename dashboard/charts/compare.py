"""Encoders side by side: the gap matrices on one scale, and what an attacker would catch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard.charts.heatmaps import GAP_COLOURS, GAP_COLOURS_DARK, gap_limit
from dashboard.charts.style import HUES, axis, base_layout, ink, safe, shorten, title_height, two_decimals
from muc_core.evaluation.attacker import caught
from muc_core.jobs.tasks.compare import Compared
from muc_core.jobs.tuning.measure import Figures

A_ROW = 4
SIDE = 215
HOW_TO_READ_GAPS = (
    "How to read this: each square is the alignment matrix of the original less that of one encoder, the same pictures "
    "in the same order and one scale for all. A warm diagonal and nothing beside it: only what was to be forgotten "
    "lost its alignment. Warm all over: everything was dragged along."
)
HOW_TO_READ_ATTACK = (
    "How to read this: each tick is a picture, further right the better it matches its own. Vermilion ones right of "
    "the line are called trained on, rightly; blue ones are false alarms. Forgotten means that no place for the "
    "line catches many of the first and few of the second."
)


def gaps_figure(original: Figures, encoders: Sequence[Compared], *, dark: bool) -> go.Figure:
    """Small multiples of the gap matrices, four a row, on one symmetric scale.

    Args:
        original: of the encoder before.
        encoders: those that were measured.
    """
    before = np.array(original.matrix)
    gaps = [(one.manifest.name, before - np.array(one.figures.matrix)) for one in encoders if one.figures is not None]
    limit = max((gap_limit(gap) for _, gap in gaps), default=1.0)
    rows = -(-len(gaps) // A_ROW)
    title = _gaps_title(gaps)
    top = title_height(title) + 20
    height = top + rows * (SIDE + 34) + 60
    layout = base_layout(title, dark, height=height)
    layout["margin"] = {"t": top, "r": 8, "b": 60, "l": 8}
    colours = [[place / 4, colour] for place, colour in enumerate(GAP_COLOURS_DARK if dark else GAP_COLOURS)]
    figure = go.Figure()
    annotations = []
    panel = 1 / max(rows, 1)
    name_share = 34 / (SIDE + 34) * panel
    for number, (name, gap) in enumerate(gaps):
        row, column = divmod(number, A_ROW)
        suffix = "" if number == 0 else str(number + 1)
        left = column / A_ROW
        y_top = 1 - row * panel - name_share
        figure.add_trace(
            go.Heatmap(
                z=gap[::-1],
                xaxis=f"x{suffix}",
                yaxis=f"y{suffix}",
                coloraxis="coloraxis",
                hovertemplate=f"{safe(name)}<br>lost %{{z:.2f}}<extra></extra>",
            )
        )
        hidden: dict[str, Any] = {"visible": False, "fixedrange": True}
        layout[f"xaxis{suffix}"] = hidden | {"domain": [left, left + 1 / A_ROW - 0.02]}
        layout[f"yaxis{suffix}"] = hidden | {
            "domain": [y_top - (panel - name_share), y_top],
            "scaleanchor": f"x{suffix}",
        }
        annotations.append(
            {
                "text": safe(shorten(name, 28)),
                "x": left + (1 / A_ROW - 0.02) / 2,
                "y": y_top,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "center",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 13, "color": ink(dark).text},
            }
        )
    layout["annotations"] = annotations
    layout["coloraxis"] = {
        "colorscale": colours,
        "cmin": -limit,
        "cmax": limit,
        "colorbar": {
            "orientation": "h",
            "x": 0.5,
            "y": -0.02,
            "yanchor": "top",
            "len": 0.4,
            "thickness": 10,
            "title": {"text": "original minus encoder: above 0 lost", "side": "top"},
            "tickfont": {"color": ink(dark).muted},
        },
    }
    figure.update_layout(layout)
    return figure


def _gaps_title(gaps: Sequence[tuple[str, npt.NDArray[np.float64]]]) -> str:
    if not gaps:
        return "Nothing has been measured yet"
    losses = {name: _own_and_others(gap) for name, gap in gaps}
    most = max(losses, key=lambda name: losses[name][0])
    own, others = losses[most]
    return (
        f"{most} lost most of the forget pictures' own alignment: {two_decimals(own)} on the diagonal, "
        f"{two_decimals(others)} beside it"
    )


def _own_and_others(gap: npt.NDArray[np.float64]) -> tuple[float, float]:
    own = float(np.diag(gap).mean())
    others = (gap.sum() - np.trace(gap)) / max(gap.size - len(gap), 1)
    return own, float(others)


def attack_figure(before: Figures, after: Figures, threshold: float, *, dark: bool) -> go.Figure:
    """The margins of forget pictures and controls in two encoders, and the attacker's line."""
    found = [caught(one.margin, one.control_margin, threshold) for one in (before, after)]
    title = (
        f"An attacker with this line catches {_percent(found[0].share)} of the forget pictures before and "
        f"{_percent(found[1].share)} after, at {_percent(found[0].false_alarms)} and {_percent(found[1].false_alarms)} "
        "false alarms"
    )
    layout = base_layout(title, dark, height=300 + title_height(title))
    figure = go.Figure()
    rows = (
        ("after: never trained on", after.control_margin, "controls", False),
        ("after: to be forgotten", after.margin, "forget", False),
        ("before: never trained on", before.control_margin, "controls", True),
        ("before: to be forgotten", before.margin, "forget", True),
    )
    for name, margins, hue, pale in rows:
        figure.add_trace(
            go.Scatter(
                x=margins,
                y=[name] * len(margins),
                mode="markers",
                marker={
                    "symbol": "line-ns",
                    "size": 18,
                    "line": {"width": 1.5, "color": HUES[hue]},
                    "opacity": 0.45 if pale else 0.9,
                },
                hovertemplate="margin %{x:.3f}<extra></extra>",
                showlegend=False,
            )
        )
    layout["margin"]["l"] = 190
    layout["shapes"] = [
        {
            "type": "line",
            "x0": threshold,
            "x1": threshold,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": ink(dark).accent, "width": 2, "dash": "dash"},
        }
    ]
    figure.update_layout(layout)
    figure.update_xaxes(axis("margin: own partner above the others", dark))
    figure.update_yaxes(axis("", dark))
    return figure


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
