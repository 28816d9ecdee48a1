"""What relearning brings back: half of the forgotten pictures is trained on, the other half is looked at."""

from typing import Literal

import plotly.graph_objects as go

from dashboard.charts.style import HUES, LEGEND_AT_FOOT, axis, base_layout, ink, two_decimals
from muc_core.evaluation.stress import CurvePoint, RelearningStress, Role
from muc_core.stats.rates import Rate

Measure = Literal["effect", "positive", "first"]
"""Standing above never-seen pictures, similarity with the own caption or views, share found first by their captions."""

AXES: dict[Measure, str] = {
    "effect": "above never-seen, in their spread",
    "positive": "similarity with the own",
    "first": "share found first",
}
"""Short, for a narrow window; the sentence below the figure says the rest."""
_NAMES: dict[Role, str] = {"after": "after unlearning", "retrained": "Retrain"}
_FINDINGS = {
    "still there": "The pictures were never gone",
    "hidden, not forgotten": "Hidden, not forgotten",
    "no trace came back": "No trace came back",
    "cannot tell": "Cannot tell whether a trace comes back",
}


def relearning_figure(result: RelearningStress, dark: bool, *, measure: Measure = "effect") -> go.Figure:
    """The untouched half step by step, with the interval over halves: after unlearning, and in Retrain.

    A pale line shows the encoder before, which knows these pictures. By similarity the controls are drawn, too. The
    title, `relearning_finding`, is left to the page, where it breaks into lines in a narrow window.

    Args:
        result: of `muc_core.evaluation.stress`.
        dark: whether the page's theme is dark.
        measure: what is drawn; "first" needs captions.

    Raises:
        ValueError: "first" of a result without captions.
    """
    colours = ink(dark)
    figure = go.Figure()
    for role, curve in result.curves.items():
        hue = HUES["forget"] if role == "after" else colours.muted
        _add(figure, curve, [_value(point, measure) for point in curve], _NAMES[role], hue, "solid")
    if measure == "positive":
        curve = result.curves["after"]
        values = [point.control_positive for point in curve]
        _add(figure, curve, values, "controls, after unlearning", HUES["controls"], "dot")
    before = _before(result, measure)
    figure.add_scatter(
        x=[0, result.steps],
        y=[before, before],
        name="before unlearning",
        mode="lines",
        line={"color": _pale(HUES["forget"], 0.7 if dark else 0.45), "width": 2, "dash": "dash"},
        hovertemplate=f"before unlearning: {_text(before, measure)}<extra></extra>",
    )
    figure.update_layout(base_layout("", dark, height=360), showlegend=True, hovermode="x")
    figure.update_layout(legend=LEGEND_AT_FOOT, margin={"t": 12, "b": 112, "l": 64, "r": 16})
    figure.update_xaxes(axis("steps of training on the other half", dark), range=[0, result.steps])
    figure.update_yaxes(axis(AXES[measure], dark), tickformat=".0%" if measure == "first" else None)
    return figure


def relearning_finding(result: RelearningStress, measure: Measure = "effect") -> str:
    """The verdict, and the way of the untouched half."""
    courses = []
    for role, curve in result.curves.items():
        start, end = (_text(_value(point, measure).value, measure) for point in (curve[0], curve[-1]))
        courses.append(f"{_NAMES[role]} from {start} to {end}")
    return f"{_FINDINGS[result.verdict]}: in {result.steps} steps the untouched half went {', in '.join(courses)}"


def how_to_read(result: RelearningStress) -> str:
    """One sentence below the figure."""
    other = (
        "than in Retrain, which never saw these pictures" if "retrained" in result.curves else "than never-seen ones"
    )
    return (
        f"Half of the forgotten pictures was trained on ({result.halves} times, each time another half); the lines "
        f"show the other half with its 95 % interval, and if it rises further {other}, it had been hidden, not "
        "forgotten."
    )


def _add(figure: go.Figure, curve: tuple[CurvePoint, ...], values: list[Rate], name: str, hue: str, dash: str) -> None:
    steps = [point.step for point in curve]
    figure.add_scatter(
        x=[*steps, *reversed(steps)],
        y=[*(value.high for value in values), *(value.low for value in reversed(values))],
        fill="toself",
        fillcolor=_pale(hue, 0.16),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=name,
        name=f"{name}, interval",
    )
    figure.add_scatter(
        x=steps,
        y=[value.value for value in values],
        customdata=[(value.low, value.high) for value in values],
        name=name,
        legendgroup=name,
        mode="lines+markers",
        line={"color": hue, "width": 2.5, "dash": dash},
        marker={"color": hue, "size": 6},
        hovertemplate=f"{name}: %{{y:.2f}} (%{{customdata[0]:.2f}} to %{{customdata[1]:.2f}})<extra></extra>",
    )


def _value(point: CurvePoint, measure: Measure) -> Rate:
    if measure == "effect":
        return point.effect
    if measure == "positive":
        return point.positive
    if point.first is None:
        raise ValueError("without captions nothing is found by them; draw the effect or the similarity")
    return point.first


def _before(result: RelearningStress, measure: Measure) -> float:
    if measure == "effect":
        return result.before.effect.value
    if measure == "positive":
        return result.before.positive
    assert result.before.first is not None  # captions are there for all encoders or for none
    return result.before.first


def _text(value: float, measure: Measure) -> str:
    return f"{value:.0%}" if measure == "first" else two_decimals(value)


def _pale(hue: str, share: float) -> str:
    red, green, blue = (int(hue[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share})"
