"""An audit's verdict in figures: the detectability meter and its curve, the tests with their intervals, and the ROC."""

from typing import Any

import plotly.graph_objects as go

from dashboard.charts.style import HUES, axis, base_layout, ink, title_height, two_decimals
from muc_core.audit.result import AuditResult, Interval

METER_WRAP, HALF_WRAP = 36, 40

HOW_TO_READ_CURVE = (
    "How to read this: the line is the faintest memory that would still be seen with a chance of 80 %, for each number "
    "of your pictures and as many controls as here. Lower is better."
)
HOW_TO_READ_TESTS = (
    "How to read this: 0 is what never-seen pictures do, each dot is your pictures' distance from that with its 95 % "
    "interval, and the blue band is how close counts as alike."
)
HOW_TO_READ_ROC = (
    "How to read this: somebody guesses from the encoder's answers which pictures are yours; the further a line rises "
    "above the dotted diagonal, the better the guesses. On the diagonal the encoder gives nothing away."
)


def memory_name(result: AuditResult) -> str:
    """The memory that the meter measures against."""
    if result.detectability.source == "planted":
        return "a full memory"
    return "the memory before"


def how_to_read_meter(result: AuditResult) -> str:
    """The sentence below the meter."""
    whole = (
        "100 % is what the encoder before knew of these pictures"
        if result.detectability.source == "the encoder before"
        else "100 % are pictures that the encoder knows better than every control"
    )
    return (
        f"How to read this: {whole}. A remainder in the hatched part is too faint for this audit to notice; the "
        "diamond is what the encoder after still shows, with its 95 % interval."
    )


def meter_finding(result: AuditResult) -> str:
    """What this audit would have seen, with its counts."""
    found = result.detectability
    size = f"With {result.n_items:,} pictures and {result.n_controls:,} controls"
    if found.smallest_share > 1:
        return f"{size} this audit could have missed even all of {memory_name(result)}"
    return f"{size} this audit would have seen {_percent(found.smallest_share)} of {memory_name(result)}"


def meter_figure(result: AuditResult, *, dark: bool) -> go.Figure:
    """The detectability meter: which remainders of memory would have been seen, and what the encoder after shows."""
    found = result.detectability
    colours = ink(dark)
    missed = min(found.smallest_share, 1.0)
    after = _share_after(result)
    low, high = (-0.1, 1.1) if after is None else (min(-0.1, max(after.low - 0.08, -1.0)), 1.1)
    if after is not None and after.high > 1.02:
        high = min(after.high + 0.1, 1.6)
    title = meter_finding(result)
    layout = base_layout(title, dark, height=178 + title_height(title, wrap=METER_WRAP), wrap=METER_WRAP)
    layout["margin"] = {"t": title_height(title, wrap=METER_WRAP) + 40, "r": 12, "b": 60, "l": 12}
    layout |= {
        "xaxis": axis(f"share of {memory_name(result)}", dark)
        | {"range": [low, high], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1], "zeroline": False},
        "yaxis": {"visible": False, "range": [-0.75, 0.75], "fixedrange": True},
        "barmode": "overlay",
        "showlegend": False,
        "annotations": [
            note
            for note in (
                _note("could be missed", missed / 2, colours.muted) if missed >= 0.2 else None,
                _note("would be seen", (1 + missed) / 2, colours.text) if missed <= 0.8 else None,
            )
            if note is not None
        ],
    }
    bars = [
        _span(0, missed, colours.muted, "a remainder so faint could be missed", hatched=True),
        _span(missed, 1, colours.accent, "a remainder like this would be seen", hatched=False),
    ]
    return go.Figure([*bars, *([] if after is None else [_diamond(after)])], layout)


def _share_after(result: AuditResult) -> Interval | None:
    """What the encoder after shows, as a share of the memory; None when there is no memory to measure by."""
    effect, whole = result.findings["trace"].effect, result.detectability.effect
    if whole <= 0 or result.detectability.smallest_share > 1:
        return None
    return Interval(value=effect.value / whole, low=effect.low / whole, high=effect.high / whole)


def _span(start: float, end: float, colour: str, meaning: str, *, hatched: bool) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "base": [start],
        "x": [max(end - start, 0)],
        "y": [0],
        "width": 0.7,
        "marker": {
            "color": _pale(colour, 0.06 if hatched else 0.32),
            "line": {"color": colour, "width": 1},
            "pattern": {"shape": "/" if hatched else "", "fgcolor": colour, "size": 7, "solidity": 0.18},
        },
        "hovertemplate": f"{_percent(start)} to {_percent(end)}: {meaning}<extra></extra>",
    }


def _diamond(after: Interval) -> dict[str, Any]:
    hue = HUES["uploads"]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [after.value],
        "y": [0],
        "marker": {"symbol": "diamond", "size": 15, "color": hue, "line": {"color": "#ffffff", "width": 1.5}},
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [after.high - after.value],
            "arrayminus": [after.value - after.low],
            "color": hue,
            "thickness": 3,
            "width": 8,
        },
        "cliponaxis": False,
        "hovertemplate": f"after: <b>{_percent(after.value)}</b> ({_percent(after.low)} to {_percent(after.high)})"
        "<extra></extra>",
    }


def _note(text: str, x: float, colour: str) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "y": 0.36,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13, "color": colour},
    }


def curve_finding(result: AuditResult) -> str:
    """What would be seen with 20 pictures, and with as many as here."""
    shares = dict(result.detectability.by_count)
    few = shares[20]
    seen = f"a memory of {_percent(few)} or more of {memory_name(result)}" if few <= 1 else "not even all of it"
    return f"With 20 pictures and {result.n_controls:,} controls an audit would see {seen}"


def curve_figure(result: AuditResult, *, dark: bool) -> go.Figure:
    """The faintest memory that would be seen, over the number of the owner's pictures; 100 % where none would."""
    found = result.detectability
    title = curve_finding(result)
    points = [(count, share) for count, share in found.by_count if share <= 1]
    layout = base_layout(title, dark, height=330)
    layout |= {
        "xaxis": axis("number of your pictures", dark)
        | {"type": "log", "tickvals": [count for count, _ in found.by_count], "range": [0.6, 2.8]},
        "yaxis": axis("faintest memory that is seen", dark) | {"range": [0, 1.08], "tickformat": ".0%"},
        "showlegend": False,
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [count for count, _ in points],
        "y": [share for _, share in points],
        "line": {"color": ink(dark).accent, "width": 2.5},
        "marker": {"size": 7, "color": ink(dark).accent},
        "hovertemplate": "%{x} pictures: <b>%{y:.0%}</b> or more would be seen<extra></extra>",
    }
    here = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [result.n_items],
        "y": [min(found.smallest_share, 1.0)],
        "text": [f"here: {_percent(found.smallest_share) if found.smallest_share <= 1 else 'not even all'}"],
        "textposition": "top center",
        "textfont": {"size": 14, "color": ink(dark).text},
        "marker": {"symbol": "diamond", "size": 13, "color": HUES["uploads"]},
        "hovertemplate": f"{result.n_items:,} pictures, as here<extra></extra>",
    }
    return go.Figure([line, here], layout)


_ROWS = {"memory before": "before", "trace": "after", "change": "change", "retrained": "retrained without them"}


def tests_finding(result: AuditResult) -> str:
    """Where the pictures stand after, beside the bound of likeness."""
    effect = result.findings["trace"].effect
    return (
        f"After, your pictures stand {two_decimals(effect.value)} ({two_decimals(effect.low)} to "
        f"{two_decimals(effect.high)}) from never-seen ones; within ±{two_decimals(result.delta)} counts as alike"
    )


def tests_figure(result: AuditResult, *, dark: bool) -> go.Figure:
    """The effects with their intervals, in units of the controls' spread, beside the bound of likeness."""
    colours = ink(dark)
    rows = [(name, label) for name, label in _ROWS.items() if name in result.findings]
    title = tests_finding(result)
    height = title_height(title, wrap=HALF_WRAP)
    effects = [result.findings[name].effect for name, _ in rows]
    layout = base_layout(title, dark, height=height + 44 * len(rows) + 110, wrap=HALF_WRAP)
    layout["margin"] = {"t": height + 24, "r": 16, "b": 64, "l": 150 if "retrained" in result.findings else 76}
    layout |= {
        "xaxis": axis("distance from never-seen pictures (their spread = 1)", dark) | {"zeroline": True},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [label for _, label in rows],
            "tickfont": {"size": 14, "color": colours.text},
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        },
        "showlegend": False,
        "shapes": [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": -result.delta,
                "x1": result.delta,
                "y0": 0,
                "y1": 1,
                "layer": "below",
                "fillcolor": HUES["controls"],
                "opacity": 0.16,
                "line": {"width": 0},
            }
        ],
    }
    hue = HUES["uploads"]
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [effect.value for effect in effects],
        "y": list(range(len(rows))),
        "marker": {
            "size": 12,
            "color": ["rgba(0,0,0,0)" if name == "memory before" else hue for name, _ in rows],
            "line": {"color": hue, "width": 2.5},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [effect.high - effect.value for effect in effects],
            "arrayminus": [effect.value - effect.low for effect in effects],
            "color": hue,
            "thickness": 2.5,
            "width": 7,
        },
        "customdata": [[effect.low, effect.high] for effect in effects],
        "hovertemplate": "<b>%{x:.2f}</b> (%{customdata[0]:.2f} to %{customdata[1]:.2f})<extra></extra>",
    }
    return go.Figure([dots], layout)


def roc_finding(result: AuditResult) -> str:
    """How often a guess from the encoder's answers is right, before and after."""
    after = _percent(result.membership["after"].auc.value)
    if "before" not in result.membership:
        return f"Of one picture of yours and one control, a guess picks yours {after} of the time (chance: 50 %)"
    before = _percent(result.membership["before"].auc.value)
    return (
        f"Of one picture of yours and one control, a guess picks yours {before} of the time before and {after} after "
        "(chance: 50 %)"
    )


def roc_figure(result: AuditResult, *, dark: bool) -> go.Figure:
    """How well the owner's pictures are told from the controls by their scores, at every rate of false alarms."""
    colours = ink(dark)
    title = roc_finding(result)
    layout = base_layout(title, dark, height=title_height(title, wrap=HALF_WRAP) + 340, wrap=HALF_WRAP)
    layout["margin"]["t"] = title_height(title, wrap=HALF_WRAP) + 40
    layout |= {
        "xaxis": axis("controls taken for yours (false alarms)", dark) | {"range": [0, 1], "tickformat": ".0%"},
        "yaxis": axis("your pictures found", dark) | {"range": [0, 1.02], "tickformat": ".0%"},
        "legend": layout["legend"] | {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        "shapes": [
            {
                "type": "line",
                "x0": 0,
                "y0": 0,
                "x1": 1,
                "y1": 1,
                "line": {"color": colours.muted, "width": 1.5, "dash": "dot"},
            }
        ],
    }
    looks = {
        "before": ("before", {"color": HUES["uploads"], "width": 1.5, "dash": "dash"}),
        "after": ("after", {"color": HUES["uploads"], "width": 3}),
        "retrained": ("retrained", {"color": colours.muted, "width": 2}),
    }
    lines = []
    for name, (label, line) in looks.items():
        if (found := result.membership.get(name)) is None:
            continue
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [point[0] for point in found.roc],
                "y": [point[1] for point in found.roc],
                "line": line,
                "name": f"{label}, AUC {two_decimals(found.auc.value)}",
                "hovertemplate": f"{label}: %{{y:.0%}} found at %{{x:.0%}} false alarms<extra></extra>",
            }
        )
    return go.Figure(lines, layout)


def _percent(share: float) -> str:
    return f"{share:z.0%}".replace("%", " %")


def _pale(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
