"""Similarity before and after as bars, a picture a row, with the controls as a band behind and as dots below."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.style import HUES, axis, base_layout, ink, safe, shorten, title_height, two_decimals
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

_ROW = 52
_STRIP = 120


def how_to_read(comparison: Comparison) -> str:
    """The sentence that goes below the bars."""
    return HOW_TO_READ_ALONE if comparison.controls is None else HOW_TO_READ


def before_after_bars(comparison: Comparison, thumbnails: Sequence[str], *, dark: bool) -> go.Figure:
    """The bars of the items and the strip of the controls.

    Args:
        comparison: of the user's pictures.
        thumbnails: `[n]` data URLs in the order of the items.
        dark: whether the page's theme is dark.
    """
    shown = _chosen(comparison)
    controls = comparison.controls
    title = _finding(comparison)
    rows, strip = _ROW * len(shown), _STRIP if controls is not None else 0
    top = title_height(title) + 56
    figure = make_subplots(
        rows=2 if strip else 1,
        cols=1,
        shared_xaxes=True,
        row_heights=[rows, strip] if strip else [rows],
        vertical_spacing=12 / (rows + strip),
    )
    _add_bars(figure, comparison, shown)
    figure.update_layout(base_layout(title, dark, height=rows + strip + top + 64))
    figure.update_layout(
        margin={"t": top, "l": 220, "b": 64},
        barmode="group",
        bargap=0.34,
        bargroupgap=0.12,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal"},
    )
    low, high = _limits(comparison)
    figure.update_xaxes(axis("", dark) | {"range": [low, high], "zeroline": True})
    partner = "its own caption" if comparison.mode == "image-text" else "its own changed copies"
    figure.update_xaxes(
        title={"text": f"similarity of a picture with {partner} (cosine; 1 = the same direction)"},
        showticklabels=True,
        row=2 if strip else 1,
        col=1,
    )
    colours = ink(dark)
    figure.update_yaxes(
        {"tickfont": {"size": 13, "color": colours.text}, "showgrid": False, "zeroline": False, "fixedrange": True}
    )
    _name_rows(figure, comparison, shown, thumbnails)
    if controls is not None:
        for scores, name, strength in ((controls.before, "before", 0.10), (controls.after, "after", 0.26)):
            _add_band(figure, scores.positive, strength)
            _add_strip(figure, scores.positive, name, controls.texts)
        figure.update_yaxes(range=[1.6, -0.6], tickvals=[0, 1], row=2, col=1)
        count = len(controls.ids)
        figure.update_yaxes(ticktext=[f"{count} controls, before", f"{count} controls, after"], row=2, col=1)
    return figure


def _finding(comparison: Comparison) -> str:
    """How the pictures lie beside the controls after, in counts: no verdict."""
    lost = comparison.gap_per_item
    most = int(np.argmax(lost))
    name = shorten(comparison.texts[most] or comparison.ids[most], 40)
    change = (
        f"“{name}” lost most: {two_decimals(float(lost[most]))}" if lost[most] > 0 else "No picture lost similarity"
    )
    if comparison.controls is None or len(comparison.controls.ids) < 2:
        return f"{change}."
    low, high = _band(comparison.controls.after.positive)
    after = comparison.after.items.positive
    n = len(after)
    within = int(((after >= low) & (after <= high)).sum())
    above = int((after > high).sum())
    return (
        f"{change}. After, {within} of {n} {'picture lies' if n == 1 else 'pictures lie'} within the controls' band "
        f"({two_decimals(low)} to {two_decimals(high)}), {above} above, {n - within - above} below."
    )


def _chosen(comparison: Comparison) -> list[int]:
    """Positions of the pictures to draw, in the order to draw them."""
    n = len(comparison.ids)
    if n <= MOST_BARS:
        return list(range(n))
    return [int(place) for place in np.argsort(-comparison.gap_per_item, kind="stable")[:MOST_BARS]]


def _add_bars(figure: go.Figure, comparison: Comparison, shown: list[int]) -> None:
    hue = HUES["uploads"]
    looks = (
        ("before", comparison.before.items.positive, {"color": f"{hue}40", "line": {"color": hue, "width": 1.5}}),
        ("after", comparison.after.items.positive, {"color": hue, "line": {"color": hue, "width": 1.5}}),
    )
    names = [safe(comparison.texts[i] or comparison.ids[i]) for i in shown]
    for name, values, marker in looks:
        figure.add_trace(
            go.Bar(
                x=values[shown],
                y=list(range(len(shown))),
                orientation="h",
                name=f"your pictures, {name}",
                marker=marker,
                text=[two_decimals(float(values[i])) for i in shown],
                textposition="outside",
                cliponaxis=False,
                customdata=names,
                hovertemplate=f"%{{customdata}}<br>{name} <b>%{{x:.2f}}</b><extra></extra>",
            ),
            row=1,
            col=1,
        )


def _name_rows(figure: go.Figure, comparison: Comparison, shown: list[int], thumbnails: Sequence[str]) -> None:
    names = [shorten(comparison.texts[i] or comparison.ids[i], 19) for i in shown]
    figure.update_yaxes(
        range=[len(shown) - 0.5, -0.5],
        tickvals=list(range(len(shown))),
        ticktext=[safe(name) for name in names],
        # Room for the thumbnails between the names and the bars.
        ticklabelstandoff=52,
        row=1,
        col=1,
    )
    for row, place in enumerate(shown):
        figure.add_layout_image(
            source=thumbnails[place],
            xref="paper",
            yref="y",
            x=-0.008,
            y=row,
            xanchor="right",
            yanchor="middle",
            sizex=0.2,
            sizey=0.8,
        )


def _add_band(figure: go.Figure, values: npt.NDArray[np.float64], strength: float) -> None:
    low, high = _band(values)
    for row in (1, 2):
        figure.add_vrect(
            x0=low, x1=high, fillcolor=HUES["controls"], opacity=strength, line_width=0, layer="below", row=row, col=1
        )
        figure.add_vline(
            x=float(values.mean()),
            line={"color": HUES["controls"], "width": 1.5, "dash": "dot" if strength < 0.2 else "solid"},
            layer="below",
            row=row,
            col=1,
        )


def _add_strip(figure: go.Figure, values: npt.NDArray[np.float64], name: str, texts: Sequence[str | None]) -> None:
    hue = HUES["controls"]
    place = 0 if name == "before" else 1
    # The height within a strip means nothing; it keeps the dots apart.
    heights = place + np.random.default_rng(0).uniform(-0.28, 0.28, size=len(values))
    solid = name == "after"
    figure.add_trace(
        go.Scatter(
            x=values,
            y=heights,
            mode="markers",
            name=f"controls, {name}",
            marker={
                "size": 6,
                "color": hue if solid else "rgba(0,0,0,0)",
                "line": {"color": hue, "width": 1},
                "opacity": 0.8,
            },
            customdata=[safe(text or "") for text in texts],
            hovertemplate=f"%{{customdata}} (control)<br>{name} <b>%{{x:.2f}}</b><extra></extra>",
        ),
        row=2,
        col=1,
    )


def _band(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean - SD and mean + SD."""
    mean, spread = float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return mean - spread, mean + spread


def _limits(comparison: Comparison) -> tuple[float, float]:
    """From zero, or the smallest number on screen, to a little beyond the largest, where its label stands."""
    parts = [comparison.before.items.positive, comparison.after.items.positive]
    if comparison.controls is not None:
        parts += [comparison.controls.before.positive, comparison.controls.after.positive]
    values = np.concatenate(parts)
    low, high = min(0.0, float(values.min())), max(0.1, float(values.max()))
    reach = high - low
    return low - (0.06 * reach if low < 0 else 0.0), high + 0.08 * reach
