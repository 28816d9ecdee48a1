"""The strength dial as a course: the audit's effect and what the encoder is still good for, at every strength."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import HUES, axis, base_layout, ink, title_height, two_decimals
from dashboard.charts.verdict_looks import LOOKS
from muc_core.audit.result import Verdict
from muc_core.jobs.tasks.strength_sweep import Point
from muc_core.jobs.tuning.measure import Figures

HOW_TO_READ = (
    "How to read this: above, how far the forget pictures stand above never-seen ones at each strength, with 95 % "
    "intervals; the blue band is how close counts as alike, and the sign of each dot is the verdict. Below, how many "
    "pictures of each set are still found by their own {partner} among as many others. The dial stands at the line."
)

SIGNS: dict[Verdict, str] = {
    "under-forgotten": "triangle-up",
    "forgotten": "circle",
    "over-forgotten": "triangle-down",
    "cannot tell": "x-thin-open",
}
"""Shapes for verdicts, so that they differ without colour."""

_SETS = (("forget", "forget set"), ("retain", "retained"), ("held_out", "held-out"))
WRAP = 42


def how_to_read(image_text: bool) -> str:
    """The sentence below the figure."""
    return HOW_TO_READ.format(partner="caption" if image_text else "views")


def dial_figure(points: Sequence[Point], strength: float, *, dark: bool) -> go.Figure:
    """Effect and utility over the strength.

    Args:
        points: of the dial, by strength; those without figures leave a gap.
        strength: where the dial stands.
        dark: whether the page's theme is dark.
    """
    known = [(point.strength, point.measured.figures) for point in points]
    found = [(at, figures) for at, figures in known if at is not None and figures is not None]
    title = dial_finding(found, strength)
    layout = base_layout(title, dark, height=460 + title_height(title, wrap=WRAP), wrap=WRAP)
    layout["margin"] = {"t": title_height(title, wrap=WRAP) + 20, "r": 12, "b": 96, "l": 60}
    line = {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "x0": strength,
        "x1": strength,
        "y0": 0,
        "y1": 1,
        "line": {"color": ink(dark).accent, "width": 2},
    }
    span = [-0.05, 1.55]
    layout |= {
        "xaxis": axis("strength: 0 the original, 1 the unlearned encoder", dark)
        | {"range": span, "anchor": "y2", "dtick": 0.25, "zeroline": False},
        "yaxis": axis("above never-seen", dark) | {"domain": [0.5, 1]},
        "yaxis2": axis("found", dark) | {"domain": [0, 0.42], "range": [-0.03, 1.05], "tickformat": ".0%"},
        "shapes": [line],
        "showlegend": True,
        "legend": layout["legend"] | {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
    }
    if found:
        delta = found[0][1].audit.delta
        layout["shapes"].append(
            {
                "type": "rect",
                "xref": "paper",
                "yref": "y",
                "x0": 0,
                "x1": 1,
                "y0": -delta,
                "y1": delta,
                "fillcolor": HUES["controls"],
                "opacity": 0.14,
                "line": {"width": 0},
                "layer": "below",
            }
        )
    return go.Figure([_effects(found, dark), *(_found(found, name, title) for name, title in _SETS)], layout)


def dial_finding(found: Sequence[tuple[float, Figures]], strength: float) -> str:
    """What the audit says where the dial stands."""
    here = next((figures for at, figures in found if at == strength), None)
    if here is None:
        return f"At strength {strength:g} nothing could be measured"
    effect = here.audit.findings["trace"].effect
    look = LOOKS[here.audit.verdict]
    return (
        f"At strength {strength:g}: {look.word.lower()}, {two_decimals(effect.value)} above never-seen pictures; "
        f"{here.retain.top1:.0%} of the retained are found"
    )


def _effects(found: Sequence[tuple[float, Figures]], dark: bool) -> dict[str, Any]:
    effects = [figures.audit.findings["trace"].effect for _, figures in found]
    verdicts = [figures.audit.verdict for _, figures in found]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "effect of the audit",
        "showlegend": False,
        "x": [at for at, _ in found],
        "y": [effect.value for effect in effects],
        "line": {"color": HUES["forget"], "width": 1.5},
        "marker": {
            "symbol": [SIGNS[verdict] for verdict in verdicts],
            "size": 11,
            "color": HUES["forget"],
            "line": {"color": ink(dark).text, "width": 1},
        },
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [effect.high - effect.value for effect in effects],
            "arrayminus": [effect.value - effect.low for effect in effects],
            "color": HUES["forget"],
            "thickness": 1.2,
            "width": 3,
        },
        "customdata": [LOOKS[verdict].word for verdict in verdicts],
        "hovertemplate": "strength %{x}: <b>%{y:.2f}</b> above never-seen<br>%{customdata}<extra></extra>",
    }


def _found(found: Sequence[tuple[float, Figures]], name: str, title: str) -> dict[str, Any]:
    hue = HUES["held-out" if name == "held_out" else name]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": title,
        "x": [at for at, _ in found],
        "y": [getattr(figures, name).top1 for _, figures in found],
        "yaxis": "y2",
        "line": {"color": hue, "width": 2, "dash": {"forget": "solid", "retain": "dash", "held_out": "dot"}[name]},
        "marker": {"size": 6, "color": hue},
        "hovertemplate": f"strength %{{x}}: <b>%{{y:.0%}}</b> of the {title} found<extra></extra>",
    }
