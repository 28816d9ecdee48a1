"""Residual stress beside relearning: weights in 8 bits, the line to the encoder before, classifiers on the features.

Titles are left to the page, where they break into lines: the figures stand side by side, or below one another in a
narrow window.
"""

from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import HUES, LEGEND_AT_FOOT, axis, base_layout, ink, two_decimals
from muc_core.evaluation.stress import Int8Stress, LineStress, Role, SeparationStress
from muc_core.stats.rates import Rate

NAMES: dict[Role, str] = {"before": "before", "after": "after", "retrained": "Retrain"}

HOW_TO_READ_INT8 = (
    "How to read this: 0 is what never-seen pictures do; hollow is the encoder as it is, solid the same with its "
    "weights rounded to 8 bits, with 95 % intervals. If rounding moves the one after to the "
    "right, something had been hidden in the fine digits."
)
HOW_TO_READ_LINE = (
    "How to read this: left is the encoder itself, right the encoder before; a line that rises early lies close to "
    "what was to be forgotten. It must rise in the end, so this illustrates and decides nothing."
)
HOW_TO_READ_SEPARATION = (
    "How to read this: .50 is a coin toss, 1 tells every forgotten picture from a never-seen one; an interval right of "
    "the dotted line means that the features still give the pictures away."
)


def int8_finding(result: Int8Stress) -> str:
    """What rounding does to the encoder after: the title of its figure."""
    start, end = (two_decimals(standings["after"].effect.value) for standings in (result.plain, result.rounded))
    return f"Rounding moves the encoder after from {start} to {end}"


def line_finding(result: LineStress) -> str:
    """From where on the encoder after shows a trace: the title of the figure of the line."""
    share = result.returns_at.get("after")
    where = "nowhere" if share is None else "from the start" if share == 0 else f"from {share:.0%} of the way on"
    return f"A trace shows {where}"


def separation_finding(result: SeparationStress) -> str:
    """How well the features of the encoder after give the pictures away: the title of their figure."""
    linear, neighbours = (two_decimals(rates["after"].value) for rates in (result.linear, result.neighbours))
    return f"AUC {linear} by a linear classifier, {neighbours} by nearest neighbours"


def int8_figure(result: Int8Stress, *, dark: bool) -> go.Figure:
    """Standing of the forgotten pictures in each encoder, as it is (hollow) and with its weights in 8 bits (solid)."""
    figure = go.Figure()
    parts = (("as it is", result.plain, True, 0.16), ("8-bit weights", result.rounded, False, -0.16))
    for name, standings, hollow, offset in parts:
        _add_dots(figure, {role: one.effect for role, one in standings.items()}, name, dark, offset, hollow=hollow)
    _rows(figure, list(result.plain), "above never-seen pictures", dark)
    _mark(figure, 0, dark)
    return figure


def line_figure(result: LineStress, *, dark: bool) -> go.Figure:
    """Standing of the forgotten pictures along the straight line of weights to the encoder before."""
    figure = go.Figure()
    for role in ("after", "retrained"):
        points = [(point.share, point.standings[role]) for point in result.points if role in point.standings]
        if not points:
            continue
        figure.add_scatter(
            x=[share for share, _ in points],
            y=[standing.effect.value for _, standing in points],
            error_y=_whiskers([standing.effect for _, standing in points]),
            name=f"from {NAMES[role]}",
            mode="lines+markers",
            line={"color": _hue(role, dark), "width": 2.5},
            marker={"size": 6},
            hovertemplate=f"from {NAMES[role]}, %{{x:.0%}} of the way: %{{y:.2f}}<extra></extra>",
        )
    _frame(figure, dark)
    figure.update_xaxes(axis("share of the way", dark), tickformat=".0%", range=[-0.04, 1.04])
    figure.update_yaxes(axis("above never-seen", dark))
    return figure


def separation_figure(result: SeparationStress, *, dark: bool) -> go.Figure:
    """How well classifiers on the features tell the forgotten pictures from never-seen ones, in each encoder."""
    figure = go.Figure()
    _add_dots(figure, result.linear, "linear classifier", dark, 0.16, hollow=False)
    _add_dots(figure, result.neighbours, "nearest neighbours", dark, -0.16, hollow=False, symbol="diamond")
    _rows(figure, list(result.linear), "AUC", dark)
    _mark(figure, 0.5, dark)
    return figure


def _add_dots(
    figure: go.Figure,
    rates: dict[Role, Rate],
    name: str,
    dark: bool,
    offset: float,
    *,
    hollow: bool,
    symbol: str = "circle",
) -> None:
    """One dot with its interval for each encoder, a little above or below the encoder's row."""
    hues = [_hue(role, dark) for role in rates]
    figure.add_scatter(
        x=[rate.value for rate in rates.values()],
        y=[offset - row for row in range(len(rates))],
        error_x=_whiskers(list(rates.values()), ink(dark).muted),
        name=name,
        mode="markers",
        customdata=[NAMES[role] for role in rates],
        marker={
            "symbol": symbol,
            "size": 11,
            "color": ["rgba(0,0,0,0)"] * len(hues) if hollow else hues,
            "line": {"color": hues, "width": 2},
        },
        hovertemplate=f"%{{customdata}}, {name}: %{{x:.2f}}<extra></extra>",
    )


def _whiskers(rates: list[Rate], colour: str | None = None) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [rate.high - rate.value for rate in rates],
        "arrayminus": [rate.value - rate.low for rate in rates],
        "thickness": 1.5,
        "width": 0,
    } | ({} if colour is None else {"color": colour})


def _rows(figure: go.Figure, roles: list[Role], measured: str, dark: bool) -> None:
    """Encoders as rows, the first one on top."""
    _frame(figure, dark)
    figure.update_xaxes(axis(measured, dark))
    figure.update_yaxes(
        axis("", dark),
        tickvals=[-row for row in range(len(roles))],
        ticktext=[NAMES[role] for role in roles],
        range=[-len(roles) + 0.4, 0.6],
        showgrid=False,
        zeroline=False,
    )


def _frame(figure: go.Figure, dark: bool) -> None:
    figure.update_layout(base_layout("", dark, height=270), showlegend=True)
    figure.update_layout(legend=LEGEND_AT_FOOT, margin={"t": 8, "l": 64, "r": 12, "b": 108})


def _mark(figure: go.Figure, place: float, dark: bool) -> None:
    figure.add_vline(x=place, line={"color": ink(dark).muted, "width": 1.5, "dash": "dot"})


def _hue(role: Role, dark: bool) -> str:
    pale = f"rgba(213,94,0,{0.7 if dark else 0.45})"
    return {"before": pale, "after": HUES["forget"], "retrained": ink(dark).muted}[role]
