"""Similarity before and after as bars, a picture a row, with the controls as a band behind and as dots below."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.style import HUES, axis, base_layout, ink, safe, shorten, title_height, two_decimals
from muc_core.audit.alignment import Float64
from muc_core.comparison import Comparison

MOST_BARS = 24
"""Pictures drawn; of more, those that lost most."""

HOW_TO_READ = (
    "How to read this: the pale bar is a picture's similarity before, the solid one after. Blue are the controls, "
    "pictures never trained on: bands of their mean ± one standard deviation (pale before, strong after), and below a "
    "dot for each. A picture that left no memory looks like one of them."
)
HOW_TO_READ_ALONE = (
    "How to read this: the pale bar is a picture's similarity before, the solid one after. Without controls nobody can "
    "say how much of the change concerns these pictures alone."
)


@dataclass(frozen=True)
class Whose:
    """Whose pictures the bars are of: their name in the legend and their hue."""

    name: str
    hue: str


UPLOADS = Whose("your pictures", HUES["uploads"])
FORGET = Whose("forget pictures", HUES["forget"])

_ROW = 52
_STRIP = 120


def how_to_read(comparison: Comparison) -> str:
    """The sentence that goes below the bars."""
    return HOW_TO_READ_ALONE if comparison.controls is None else HOW_TO_READ


def before_after_bars(
    comparison: Comparison,
    thumbnails: Sequence[str],
    *,
    dark: bool,
    whose: Whose = UPLOADS,
    rows: Sequence[int] | None = None,
    limits: tuple[float, float] | None = None,
    wrap: int = 100,
) -> go.Figure:
    """The bars of the items and the strip of the controls.

    Args:
        comparison: of the pictures.
        thumbnails: `[n]` data URLs in the order of the items.
        dark: whether the page's theme is dark.
        whose: what the pictures are called, and their hue.
        rows: positions of the pictures to draw, so that they stay where they are while something is turned; None:
            those that lost most.
        limits: of the similarity, for the same reason; None: those of the numbers on screen.
        wrap: characters a line of the title may have.
    """
    shown = _chosen(comparison) if rows is None else list(rows)
    controls = comparison.controls
    title = _finding(comparison)
    bars, strip = _ROW * len(shown), _STRIP if controls is not None else 0
    top = title_height(title, wrap=wrap) + 56
    # Where the bars end and the strip begins, in shares of the height of the plot.
    border = strip / (bars + strip)
    layout = base_layout(title, dark, height=bars + strip + top + 64, wrap=wrap)
    layout["margin"] = {"t": top, "r": 24, "l": 220, "b": 64}
    names = {"tickfont": {"size": 13, "color": ink(dark).text}, "showgrid": False, "zeroline": False, "ticks": ""}
    partner = "its own caption" if comparison.mode == "image-text" else "its own changed copies"
    similarity = axis(f"similarity of a picture with {partner} (higher = more alike)", dark)
    layout |= {
        "barmode": "group",
        "bargap": 0.34,
        "bargroupgap": 0.12,
        "legend": layout["legend"] | {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom"},
        "xaxis": similarity | {"range": list(limits or _limits(comparison)), "anchor": "y2" if strip else "y"},
        "yaxis": names
        | {
            "domain": [border, 1],
            "range": [len(shown) - 0.5, -0.5],
            "tickvals": list(range(len(shown))),
            "ticktext": [safe(shorten(_name(comparison, place), 19)) for place in shown],
            # Room for the thumbnails between the names and the bars.
            "ticklabelstandoff": 52,
            "fixedrange": True,
        },
        "images": [_image(thumbnails[place], row) for row, place in enumerate(shown)],
    }
    traces = _bars(comparison, shown, whose)
    if controls is not None:
        count = len(controls.ids)
        layout["yaxis2"] = names | {
            "domain": [0, border],
            "range": [1.6, -0.6],
            "tickvals": [0, 1],
            "ticktext": [f"{count} controls, before", f"{count} controls, after"],
            "fixedrange": True,
        }
        layout["shapes"] = [
            *_band_shapes(controls.before.positive, strength=0.12, dash="dot"),
            *_band_shapes(controls.after.positive, strength=0.28, dash="solid"),
        ]
        traces.append(_dots(controls.before.positive, controls.texts, "before", place=0))
        traces.append(_dots(controls.after.positive, controls.texts, "after", place=1))
    return go.Figure(traces, layout)


def _finding(comparison: Comparison) -> str:
    """How the pictures lie beside the controls after, in counts: no verdict."""
    before, after = comparison.before.items.positive, comparison.after.items.positive
    # The loss is that of the printed numbers: one that seems a cent off would look like a mistake.
    lost = before.round(2) - after.round(2)
    most = int(np.argmax(lost))
    change = "No picture lost similarity"
    if lost[most] > 0:
        change = f"“{shorten(_name(comparison, most), 40)}” lost most: {two_decimals(float(lost[most]))}"
    if comparison.controls is None or len(comparison.controls.ids) < 2:
        return f"{change}."
    low, high = _band(comparison.controls.after.positive)
    n, above, below = len(after), int((after > high).sum()), int((after < low).sum())
    return (
        f"{change}. After: {n - above - below} of {n} within the controls' band "
        f"({two_decimals(low)} to {two_decimals(high)}), {above} above, {below} below."
    )


def _chosen(comparison: Comparison) -> list[int]:
    """Positions of the pictures to draw, in the order to draw them."""
    n = len(comparison.ids)
    if n <= MOST_BARS:
        return list(range(n))
    return [int(place) for place in np.argsort(-comparison.gap_per_item, kind="stable")[:MOST_BARS]]


def _bars(comparison: Comparison, shown: list[int], whose: Whose) -> list[dict[str, Any]]:
    hue = whose.hue
    looks = (
        ("before", comparison.before.items.positive, f"{hue}40"),
        ("after", comparison.after.items.positive, hue),
    )
    return [
        {
            "type": "bar",
            "orientation": "h",
            "x": values[shown],
            "y": list(range(len(shown))),
            "name": f"{whose.name}, {name}",
            "marker": {"color": fill, "line": {"color": hue, "width": 1.5}},
            "text": [two_decimals(float(values[place])) for place in shown],
            "textposition": "outside",
            "cliponaxis": False,
            "customdata": [safe(_name(comparison, place)) for place in shown],
            "hovertemplate": f"%{{customdata}}<br>{name} <b>%{{x:.2f}}</b><extra></extra>",
        }
        for name, values, fill in looks
    ]


def _image(thumbnail: str, row: int) -> dict[str, Any]:
    """A thumbnail left of the bars of a row."""
    return {
        "source": thumbnail,
        "xref": "paper",
        "yref": "y",
        "x": -0.008,
        "y": row,
        "xanchor": "right",
        "yanchor": "middle",
        "sizex": 0.2,
        "sizey": 0.8,
    }


def _band_shapes(values: Float64, *, strength: float, dash: str) -> list[dict[str, Any]]:
    """Mean ± SD as a band over the whole height, and the mean as a line."""
    low, high = _band(values)
    mean = float(values.mean())
    whole = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    hue = HUES["controls"]
    return [
        whole | {"type": "rect", "x0": low, "x1": high, "fillcolor": hue, "opacity": strength, "line": {"width": 0}},
        whole | {"type": "line", "x0": mean, "x1": mean, "line": {"color": hue, "width": 1.5, "dash": dash}},
    ]


def _dots(values: Float64, texts: Sequence[str | None], name: str, *, place: int) -> dict[str, Any]:
    """The controls in one encoder; hollow before, solid after."""
    hue = HUES["controls"]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": values,
        # The height within a strip means nothing; it keeps the dots apart.
        "y": place + np.random.default_rng(0).uniform(-0.28, 0.28, size=len(values)),
        "yaxis": "y2",
        "name": f"controls, {name}",
        "showlegend": False,
        "marker": {
            "size": 6,
            "color": hue if name == "after" else "rgba(0,0,0,0)",
            "line": {"color": hue, "width": 1},
            "opacity": 0.8,
        },
        "customdata": [safe(text or "") for text in texts],
        "hovertemplate": f"%{{customdata}} (control)<br>{name} <b>%{{x:.2f}}</b><extra></extra>",
    }


def _name(comparison: Comparison, place: int) -> str:
    return comparison.texts[place] or comparison.ids[place]


def _band(values: Float64) -> tuple[float, float]:
    """Mean - SD and mean + SD."""
    mean, spread = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return mean - spread, mean + spread


def _limits(comparison: Comparison) -> list[float]:
    """From zero, or the smallest number on screen, to a little beyond the largest, where its label stands."""
    parts = [comparison.before.items.positive, comparison.after.items.positive]
    if comparison.controls is not None:
        parts += [comparison.controls.before.positive, comparison.controls.after.positive]
    values = np.concatenate(parts)
    low, high = min(0.0, float(values.min())), max(0.1, float(values.max()))
    reach = high - low
    return [low - (0.06 * reach if low < 0 else 0.0), high + 0.08 * reach]
