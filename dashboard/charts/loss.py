"""The course of the loss and its terms during a run."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.charts.style import HUES, LEGEND_AT_FOOT, axis, base_layout, ink, two_decimals

TOTAL = "loss"

_SETS = {"retain": "retain", "contrastive": "retain"}
_FORGET = ("forget", "negative", "performance", "positive")
"""Terms over the forget set, each with a dash of its own."""

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def loss_figure(history: Sequence[tuple[int, Mapping[str, float]]], total_steps: int, dark: bool) -> go.Figure:
    """One line for each term by name, in the hue of the set it is about, and a neutral one for their sum.

    Args:
        history: (step, values by name) in the order of steps; the sum is named "loss". At least one point.
        total_steps: of the whole run, so that the axis does not move while it goes on.
    """
    names = list(dict.fromkeys(name for _, values in history for name in values))
    terms = [name for name in names if name != TOTAL]
    shown = [*terms, TOTAL] if TOTAL in names and len(terms) != 1 else terms
    figure = go.Figure()
    for name in shown:
        points = [(step, values[name]) for step, values in history if name in values]
        figure.add_scatter(
            x=[step for step, _ in points],
            y=[value for _, value in points],
            name="sum of all terms" if name == TOTAL else name,
            mode="lines" if len(points) > 1 else "markers",
            line=_line(name, terms, dark),
            hovertemplate="step %{x}: %{y:.2f}",
        )
    foot = 52 + 20 * len(shown)  # on a phone each line has a row of the legend
    figure.update_layout(
        base_layout(loss_finding(history, total_steps), dark, height=230 + foot, wrap=56),
        showlegend=True,
        hovermode="x unified",
    )
    figure.update_layout(
        legend=LEGEND_AT_FOOT,
        margin={"b": foot, "l": 56, "r": 12},
    )
    figure.update_xaxes(axis("step", dark), range=[0, max(total_steps, history[-1][0], 1)])
    figure.update_yaxes(axis("loss", dark))
    return figure


def loss_finding(history: Sequence[tuple[int, Mapping[str, float]]], total_steps: int) -> str:
    """Where the sum of all terms began and where it is."""
    sums = [(step, values.get(TOTAL, sum(values.values()))) for step, values in history]
    (_, first), (step, last) = sums[0], sums[-1]
    if len(sums) == 1:
        return f"Loss {two_decimals(last)} after {step} of {total_steps} steps"
    first, last = round(first, 2), round(last, 2)
    course = "fell" if last < first else "rose" if last > first else "stayed"
    change = f"at {two_decimals(last)}" if course == "stayed" else f"from {two_decimals(first)} to {two_decimals(last)}"
    return f"The loss {course} {change} in {step} of {total_steps} steps"


def _line(name: str, terms: Sequence[str], dark: bool) -> dict[str, object]:
    if name == TOTAL:
        return {"color": ink(dark).text, "width": 2.5}
    if name in _SETS:
        return {"color": HUES[_SETS[name]], "width": 2}
    alike = [term for term in terms if (term in _FORGET) == (name in _FORGET) and term not in _SETS]
    dash = _DASHES[alike.index(name) % len(_DASHES)]
    return {"color": HUES["forget"] if name in _FORGET else ink(dark).muted, "width": 2, "dash": dash}
