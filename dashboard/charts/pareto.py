"""What forgetting costs: the audit's effect against utility, a point for every strength and every run."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go
from pydantic import JsonValue

from dashboard.charts.dial import SIGNS
from dashboard.charts.style import HUES, axis, base_layout, ink, safe, title_height, two_decimals
from dashboard.charts.verdict_looks import LOOKS
from muc_core.jobs.tasks.strength_sweep import Point
from muc_core.jobs.tuning.measure import Figures
from muc_core.unlearning.method import METHODS

Utility = Literal["retain", "held_out"]

HOW_TO_READ = (
    "How to read this: to the left, what is left of the memory; the nearer to the blue band around 0, the more like "
    "never-seen pictures. Upwards, what the encoder is still good for. Best is inside the band and high up, where the "
    "star of Retrain is if there is one. Left of the band is too far, itself a trace."
)
WRAP = 42
_SHOWN = ("alpha", "beta", "gamma", "penalty", "epochs", "learning_rate")
_NAMES = {"retain": "retained", "held_out": "held-out"}


def pareto_figure(
    points: Sequence[Point], others: Sequence[Point], strength: float, utility: Utility, *, dark: bool
) -> go.Figure:
    """Forgetting against utility.

    Args:
        points: of the dial.
        others: encoders made from the same original with the same forget set.
        strength: where the dial stands; its point is ringed.
        utility: which set upwards counts.
        dark: whether the page's theme is dark.
    """
    dial = [(point, figures) for point in points if (figures := point.measured.figures) is not None]
    runs = [(point, figures) for point in others if (figures := point.measured.figures) is not None]
    title = pareto_finding(dial, runs, utility)
    layout = base_layout(title, dark, height=460 + title_height(title, wrap=WRAP), wrap=WRAP)
    layout["margin"] = {"t": title_height(title, wrap=WRAP) + 20, "r": 12, "b": 96, "l": 60}
    layout |= {
        "xaxis": axis("forget pictures above never-seen ones", dark),
        "yaxis": axis(f"{_NAMES[utility]} pictures found", dark)
        | {"tickformat": ".0%", "range": _reach([getattr(figures, utility).top1 for _, figures in (*dial, *runs)])},
        "showlegend": True,
        "legend": layout["legend"] | {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    }
    every = [*dial, *runs]
    if every:
        delta = every[0][1].audit.delta
        layout["shapes"] = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": -delta,
                "x1": delta,
                "y0": 0,
                "y1": 1,
                "fillcolor": HUES["controls"],
                "opacity": 0.14,
                "line": {"width": 0},
                "layer": "below",
            }
        ]
    colours = ink(dark)
    retrained = [(point, figures) for point, figures in runs if point.manifest.method == "retrain"]
    unlearned = [(point, figures) for point, figures in runs if point.manifest.method != "retrain"]
    traces = [
        _trace(dial, utility, "strengths of the dial", colours.accent, line=True),
        _trace(unlearned, utility, "other runs", colours.muted, symbol="diamond"),
        _trace(retrained, utility, "Retrain", colours.text, symbol="star", size=18),
        _ring([one for one in dial if one[0].strength == strength], utility, colours.text),
    ]
    return go.Figure([trace for trace in traces if trace["x"]], layout)


def pareto_finding(
    dial: Sequence[tuple[Point, Figures]], runs: Sequence[tuple[Point, Figures]], utility: Utility
) -> str:
    """The best that is there: no trace found, at the highest utility."""
    passed = [
        (point, figures)
        for point, figures in (*dial, *runs)
        if figures.audit.verdict == "forgotten" and point.manifest.method != "retrain"
    ]
    if not passed:
        return "No strength and no run so far passes the audit"
    point, figures = max(passed, key=lambda one: getattr(one[1], utility).top1)
    share = f"{getattr(figures, utility).top1:.0%} of the {_NAMES[utility]} pictures are found"
    fr = next((one for other, one in runs if other.manifest.method == "retrain"), None)
    beside = "" if fr is None else f"; Retrain finds {getattr(fr, utility).top1:.0%}"
    return f"No trace found at the least cost: {_name(point)}, where {share}{beside}"


def _reach(shares: Sequence[float]) -> list[float]:
    """A range of at least 20 %, so that a difference of one picture does not look like a loss."""
    low, high = min(shares, default=0.0), max(shares, default=1.0)
    low = max(min(low - 0.03, high - 0.17), -0.03)
    return [low, max(min(high + 0.03, 1.03), low + 0.2)]


def _name(point: Point) -> str:
    return point.manifest.name if point.strength is None else f"strength {point.strength:g}"


def _trace(
    found: Sequence[tuple[Point, Figures]],
    utility: Utility,
    name: str,
    colour: str,
    *,
    line: bool = False,
    symbol: str | None = None,
    size: int = 11,
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if line else "markers",
        "name": name,
        "x": [_effect(figures) for _, figures in found],
        "y": [getattr(figures, utility).top1 for _, figures in found],
        "line": {"color": colour, "width": 1},
        "marker": {
            "symbol": symbol or [SIGNS[figures.audit.verdict] for _, figures in found],
            "size": size,
            "color": colour,
            "line": {"color": colour, "width": 1.5},
        },
        "text": [_hover(point, figures, utility) for point, figures in found],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _ring(found: Sequence[tuple[Point, Figures]], utility: Utility, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "where the dial stands",
        "x": [_effect(figures) for _, figures in found],
        "y": [getattr(figures, utility).top1 for _, figures in found],
        "marker": {"symbol": "circle-open", "size": 20, "color": colour, "line": {"width": 2}},
        "hoverinfo": "skip",
    }


def _effect(figures: Figures) -> float:
    return figures.audit.findings["trace"].effect.value


def _hover(point: Point, figures: Figures, utility: Utility) -> str:
    lines = [
        f"<b>{safe(_name(point))}</b>",
        LOOKS[figures.audit.verdict].word,
        f"{two_decimals(_effect(figures))} above never-seen",
        f"{getattr(figures, utility).top1:.0%} of the {_NAMES[utility]} found",
    ]
    if point.strength is None:
        method = point.manifest.method or ""
        lines.append(METHODS.get(method).title if method in METHODS.names() else safe(method))
        lines.append(_settings(point.manifest.settings))
    return "<br>".join(filter(None, lines))


def _settings(settings: Mapping[str, JsonValue]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {settings[name]:g}" for name in _SHOWN if _is_number(settings.get(name))
    )


def _is_number(value: JsonValue) -> bool:
    return isinstance(value, int | float)
