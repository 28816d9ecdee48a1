"""The joint map of two encoders: where each picture was before, where it is after, and the way between, in one picture.

Drawn with Altair, because its tooltips can show a picture (a field named `image` with a data URL) and Plotly's cannot.
"""

import textwrap
from dataclasses import dataclass
from typing import Any, Protocol

import altair as alt
import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboard.charts.map_colours import NUMBERS, SETS, Colouring, by_set
from dashboard.charts.style import FONT, HUES, ink
from muc_core.projection import JointProjection

HOW_TO_READ = (
    "How to read this: each picture is a hollow point where the encoder before put it, a solid one where the encoder "
    "after did; points close together are alike to it. Point at one to see its picture, click a name in the legend to "
    "see it alone. Captions are not on the map: what pictures lost with theirs is on the page Matrices."
)

_AXES = {
    "pca": ("first principal axis", "second principal axis"),
    "umap": ("UMAP, first axis (no unit)", "UMAP, second axis (no unit)"),
}


class StarsOnMap(Protocol):
    """The user's own pictures: names, data URLs, and places `[m, 2]` or `[m, 3]`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def images(self) -> tuple[str, ...]: ...

    @property
    def before(self) -> npt.NDArray[np.float64]: ...

    @property
    def after(self) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True, eq=False)
class MapData:
    """n pictures on a joint map.

    Attributes:
        projection: their places before and after.
        groups: the set each counts to: "forget", "retain", "held-out".
        texts: captions.
        images: small pictures as data URLs; empty where no chart shows them.
        stars: the user's own pictures, None where there are none.
    """

    projection: JointProjection
    groups: tuple[str, ...]
    texts: tuple[str, ...]
    images: tuple[str, ...]
    stars: "StarsOnMap | None" = None

    @property
    def far(self) -> npt.NDArray[np.bool_]:
        """Items that moved further than 95 % of the held-out ones; all of them where there are no such."""
        displacement = self.projection.displacement
        controls = displacement[np.array(self.groups) == "held-out"]
        if not len(controls):
            return np.ones(len(displacement), dtype=bool)
        return np.asarray(displacement > np.quantile(controls, 0.95))

    def moved(self) -> dict[str, float]:
        """Mean displacement of each set as a share of the map's diagonal, in [0, 1]."""
        groups = np.array(self.groups)
        displacement = self.projection.displacement
        return {group: float(displacement[groups == group].mean()) for group in dict.fromkeys(self.groups)}


def finding(data: MapData) -> str:
    """One sentence: how far each set moved on the map."""
    ways = [f"of the {SETS[group]} {percent(share)}" for group, share in data.moved().items()]
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


def retention_sentence(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> str:
    """How far the map can be believed: the mean share of nearest neighbours it keeps, before and after."""
    kept = np.concatenate([before, after])
    measured = kept[~np.isnan(kept)]
    of = "" if len(measured) == len(kept) else f", measured on {len(measured):,} points drawn at random"
    return (
        f"Of the 15 nearest neighbours of a point in the original space, {measured.mean():.0%} are among its 15 "
        f"nearest on the map, too ({np.nanmean(before):.0%} before, {np.nanmean(after):.0%} after{of}). What is near "
        "on the map is to be believed that far; colour by “neighbours kept” to see where."
    )


def percent(share: float) -> str:
    """A share as a per cent; small ones with a decimal."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def embedding_map(data: MapData, *, dark: bool, lines: bool, colouring: Colouring | None = None) -> alt.LayerChart:
    """The map.

    Args:
        data: what to show, in the plane.
        dark: whether the page's theme is dark.
        lines: whether to draw the way of the pictures that moved, see `MapData.far`.
        colouring: by set when None.
    """
    colouring = colouring or by_set(data.groups)
    table = _table(data, colouring)
    colours = ink(dark)
    first, second = (alt.Axis(title=name) for name in _AXES[data.projection.method])
    chosen = alt.selection_point(fields=["colour"], bind="legend") if colouring.numbers is None else None

    def faint(opacity: float, other: float) -> Any:
        """Opacity of what is chosen in the legend and of the rest; a scale has nothing to choose."""
        return alt.value(opacity) if chosen is None else alt.condition(chosen, alt.value(opacity), alt.value(other))

    tooltip = [
        alt.Tooltip("image:N"),
        alt.Tooltip("caption:N"),
        alt.Tooltip("set:N"),
        alt.Tooltip("moved:N", title="moved"),
        alt.Tooltip("colour_said:N", title=colouring.title),
    ]
    if colouring.title == "set":
        tooltip.pop()
    base = alt.Chart(table).encode(tooltip=tooltip)
    span = alt.Scale(zero=False, nice=False, padding=12)
    before = base.mark_point(filled=False, size=34, strokeWidth=1.1).encode(
        x=alt.X("x_before:Q", axis=first, scale=span),
        y=alt.Y("y_before:Q", axis=second, scale=span),
        color=_colour(colouring, "before"),
        opacity=faint(0.65, 0.04),
    )
    after = base.mark_point(filled=True, size=38).encode(
        x=alt.X("x_after:Q", axis=first, scale=span),
        y=alt.Y("y_after:Q", axis=second, scale=span),
        color=_colour(colouring, "after"),
        opacity=faint(0.85, 0.04),
    )
    layers: list[alt.Chart] = [before, after if chosen is None else after.add_params(chosen)]
    if lines:
        ways = (
            base.transform_filter("datum.far")
            .mark_rule(strokeWidth=0.8)
            .encode(
                color=_colour(colouring, "after"),
                x=alt.X("x_before:Q", axis=first, scale=span),
                y=alt.Y("y_before:Q", axis=second, scale=span),
                x2="x_after:Q",
                y2="y_after:Q",
                opacity=faint(0.25, 0.02),
                tooltip=alt.value(None),
            )
        )
        layers.insert(0, ways)
    if data.stars is not None and len(data.stars.names):
        layers += _stars(data.stars, first, second, span)
    title = alt.TitleParams(
        text=textwrap.wrap(finding(data), 84),
        subtitle="○ before\u2003● after"
        + ("\u2003— the way of those that moved" if lines else "")
        + ("\u2003★ your pictures" if data.stars is not None else ""),
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


def _colour(colouring: Colouring, moment: str) -> alt.Color:
    """Colour of the points before or after; only those after carry the legend."""
    shared: dict[str, Any] = {"orient": "top", "labelLimit": 240}
    if colouring.numbers is not None:
        scale = alt.Scale(scheme=NUMBERS, domain=list(colouring.limits), clamp=True)
        legend = alt.Legend(title=colouring.title, gradientLength=240, titleLimit=400, **shared)
        return alt.Color(f"number_{moment}:Q", scale=scale, legend=legend if moment == "after" else None)
    return alt.Color(
        "colour:N",
        scale=alt.Scale(domain=list(colouring.palette), range=list(colouring.palette.values())),
        legend=alt.Legend(title=None, symbolType="circle", symbolSize=90, symbolOpacity=1, columns=4, **shared),
    )


def _stars(stars: StarsOnMap, first: alt.Axis, second: alt.Axis, span: alt.Scale) -> list[alt.Chart]:
    table = pd.DataFrame(
        {
            "x_before": stars.before[:, 0].round(4),
            "y_before": stars.before[:, 1].round(4),
            "x_after": stars.after[:, 0].round(4),
            "y_after": stars.after[:, 1].round(4),
            "caption": stars.names,
            "set": "your pictures",
            "image": stars.images,
        }
    )
    tooltip = [alt.Tooltip("image:N"), alt.Tooltip("caption:N"), alt.Tooltip("set:N")]
    layers = []
    for moment, filled in (("before", False), ("after", True)):
        layers.append(
            alt.Chart(table)
            .mark_point(shape=_STAR, filled=filled, strokeWidth=1.6, color=HUES["uploads"], opacity=1)
            .encode(
                x=alt.X(f"x_{moment}:Q", axis=first, scale=span),
                y=alt.Y(f"y_{moment}:Q", axis=second, scale=span),
                size=alt.value(220),
                tooltip=tooltip,
            )
        )
    return layers


_STAR = "M0,-1L0.24,-0.33L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.33Z"


def _table(data: MapData, colouring: Colouring) -> pd.DataFrame:
    projection = data.projection
    table = pd.DataFrame(
        {
            "x_before": projection.before[:, 0].round(4),
            "y_before": projection.before[:, 1].round(4),
            "x_after": projection.after[:, 0].round(4),
            "y_after": projection.after[:, 1].round(4),
            "set": [SETS[group] for group in data.groups],
            "caption": data.texts,
            "moved": [f"{percent(share)} of the diagonal" for share in projection.displacement],
            "far": data.far,
            "image": data.images,
        }
    )
    if colouring.numbers is None:
        table["colour"] = table["colour_said"] = colouring.classes
        return table
    before, after = colouring.numbers
    table["colour"] = ""
    table["number_before"], table["number_after"] = before.round(4), after.round(4)
    table["colour_said"] = [f"{a:.2f} before, {b:.2f} after" for a, b in zip(before, after, strict=True)]
    return table
