"""The joint map of two encoders: where each picture was before, where it is after, and the way between.

Drawn with Altair, because its tooltips can show a picture (a field named `image` with a data URL) and Plotly's cannot.
"""

import textwrap
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.style import FONT, HUES, ink
from muc_core.projection import JointProjection

HOW_TO_READ = (
    "How to read this: each picture is a hollow point where the encoder before put it, a solid one where the encoder "
    "after did; points close together are alike to it. Point at one to see its picture, click a set in the legend to "
    "see it alone. Captions are not on the map: what pictures lost with theirs is on the page Matrices."
)

NAMES = {"forget": "forget set", "retain": "retain set", "held-out": "held-out set"}
"""In the order of the legend; the held-out set is the controls."""

_AXES = {
    "pca": ("first principal axis", "second principal axis"),
    "umap": ("UMAP, first axis (no unit)", "UMAP, second axis (no unit)"),
}


@dataclass(frozen=True, eq=False)
class MapData:
    """n pictures on a joint map.

    Attributes:
        projection: their places before and after.
        groups: the set each counts to: "forget", "retain", "held-out".
        texts: captions.
        images: small pictures as data URLs.
    """

    projection: JointProjection
    groups: tuple[str, ...]
    texts: tuple[str, ...]
    images: tuple[str, ...]

    def moved(self) -> dict[str, float]:
        """Mean displacement of each set as a share of the map's diagonal, in [0, 1]."""
        groups = np.array(self.groups)
        displacement = self.projection.displacement
        return {group: float(displacement[groups == group].mean()) for group in dict.fromkeys(self.groups)}


def finding(data: MapData) -> str:
    """One sentence: how far each set moved on the map."""
    ways = [f"of the {NAMES[group]} {percent(share)}" for group, share in data.moved().items()]
    return f"Mean way on this map, in parts of its diagonal: {', '.join(ways)}"


def comparison_sentence(data: MapData) -> str | None:
    """How far the forget set moved beside the controls, and what that means; None when one of the two is missing."""
    moved = data.moved()
    forget, held_out = moved.get("forget"), moved.get("held-out")
    if forget is None or not held_out:
        return None
    return (
        f"The pictures to be forgotten moved {forget / held_out:.2f} times as far as the held-out ones, which nobody "
        "asked to forget. Near 1, the encoder has moved as a whole; only well above 1 has it moved the forget set in "
        "particular."
    )


def percent(share: float) -> str:
    """A share as a per cent; small ones with a decimal."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def embedding_map(data: MapData, *, dark: bool, lines: bool) -> alt.LayerChart:
    """The map.

    Args:
        data: what to show.
        dark: whether the page's theme is dark.
        lines: whether to draw the way of each picture.
    """
    table = _table(data)
    colours = ink(dark)
    shown = [group for group in NAMES if group in data.groups]
    colour = alt.Color(
        "set:N",
        scale=alt.Scale(domain=[NAMES[group] for group in shown], range=[HUES[group] for group in shown]),
        legend=alt.Legend(
            title=None, orient="top", symbolType="circle", symbolSize=90, symbolOpacity=1, labelLimit=240
        ),
    )
    first, second = (alt.Axis(title=name) for name in _AXES[data.projection.method])
    chosen = alt.selection_point(fields=["set"], bind="legend")
    tooltip = [
        alt.Tooltip("image:N"),
        alt.Tooltip("caption:N"),
        alt.Tooltip("set:N"),
        alt.Tooltip("moved:N", title="moved"),
    ]
    base = alt.Chart(table).encode(color=colour, tooltip=tooltip)
    span = alt.Scale(zero=False, nice=False, padding=12)
    before = base.mark_point(filled=False, size=34, strokeWidth=1.1).encode(
        x=alt.X("x_before:Q", axis=first, scale=span),
        y=alt.Y("y_before:Q", axis=second, scale=span),
        opacity=alt.condition(chosen, alt.value(0.65), alt.value(0.04)),
    )
    after = base.mark_point(filled=True, size=38).encode(
        x=alt.X("x_after:Q", axis=first, scale=span),
        y=alt.Y("y_after:Q", axis=second, scale=span),
        opacity=alt.condition(chosen, alt.value(0.85), alt.value(0.04)),
    )
    layers: list[alt.Chart] = [before, after.add_params(chosen)]
    if lines:
        ways = base.mark_rule(strokeWidth=0.8).encode(
            x=alt.X("x_before:Q", axis=first, scale=span),
            y=alt.Y("y_before:Q", axis=second, scale=span),
            x2="x_after:Q",
            y2="y_after:Q",
            opacity=alt.condition(chosen, alt.value(0.25), alt.value(0.02)),
            tooltip=alt.value(None),
        )
        layers.insert(0, ways)
    title = alt.TitleParams(
        text=textwrap.wrap(finding(data), 84),
        subtitle="○ before\u2003● after" + ("\u2003— the way between" if lines else ""),
        anchor="start",
        fontSize=17,
        fontWeight=600,
        subtitleFontSize=14,
        color=colours.text,
        subtitleColor=colours.muted,
        offset=8,
    )
    chart: alt.LayerChart = (
        alt.layer(*layers)
        .properties(
            title=title,
            height=560,
            width="container",
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .configure(font=FONT, background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labels=False,
            ticks=False,
            domain=False,
            grid=False,
            titleColor=colours.muted,
            titleFontSize=14,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=colours.text, labelFontSize=14)
    )
    return chart


def _table(data: MapData) -> pd.DataFrame:
    projection = data.projection
    return pd.DataFrame(
        {
            "x_before": projection.before[:, 0].round(4),
            "y_before": projection.before[:, 1].round(4),
            "x_after": projection.after[:, 0].round(4),
            "y_after": projection.after[:, 1].round(4),
            "set": [NAMES[group] for group in data.groups],
            "caption": data.texts,
            "moved": [f"{percent(share)} of the diagonal" for share in projection.displacement],
            "image": data.images,
        }
    )
