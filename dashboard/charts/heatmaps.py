"""The alignment matrices before and after on one scale, and the gap between them, as figures that can be clicked.

Plotly reports no click on a heatmap, so a square marker that nobody sees lies over each cell. Its `customdata` is
`[row id, column id, row index, column index]`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.charts.style import base_layout, ink, safe, shorten, title_height, two_decimals
from muc_core.audit.picture import AlignmentPicture
from muc_core.comparison import Comparison

SIMILARITY_COLOURS = "Cividis"
GAP_COLOURS = ("#22315B", "#8795BA", "#FFFFFF", "#F0A35E", "#8A3800")
"""From alignment gained (cold) over white at zero to alignment lost (warm)."""
GAP_COLOURS_DARK = ("#A9BBF2", "#566394", "#20242E", "#A65A1C", "#FFB066")
"""The same for the dark theme: zero is the neutral of the page, and what changed is bright."""

HOW_TO_READ = (
    "How to read this: each cell compares one picture (row) with one caption (column), and the diagonal is each "
    "picture with its own. Forgetting dims the diagonal of the second matrix and warms that of the third."
)
HOW_TO_READ_VIEWS = (
    "How to read this: each cell compares changed copies of one picture (row) with those of another (column), and the "
    "diagonal is each picture with itself. Forgetting dims the diagonal of the second matrix and warms that of the "
    "third."
)

_MOST_NAMES = 16
_PANELS = ("Before", "After", "Gap")


def how_to_read(comparison: Comparison) -> str:
    """The sentence that goes below the matrices."""
    return HOW_TO_READ if comparison.mode == "image-text" else HOW_TO_READ_VIEWS


def alignment_heatmaps(comparison: Comparison, *, dark: bool, chosen: tuple[str, str] | None = None) -> go.Figure:
    """AM before, AM after and AGM side by side.

    Args:
        comparison: what to show; its pictures hold `[k, k]` cells each.
        dark: whether the page's theme is dark.
        chosen: ids of a row and a column, whose cell is outlined in all three.
    """
    figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.045, subplot_titles=_titles(comparison))
    pictures = (comparison.before.picture, comparison.after.picture, comparison.gap)
    for column, (name, picture) in enumerate(zip(_PANELS, pictures, strict=True), start=1):
        axis = "coloraxis2" if name == "Gap" else "coloraxis"
        _add_matrix(figure, comparison, picture, name, axis, column=column)
    if chosen is not None:
        _outline(figure, comparison.before.picture, chosen, dark, columns=(1, 2, 3))
    _lay_out(figure, comparison, dark, columns=(1, 2, 3), wrap=105, height=440)
    figure.update_layout(
        coloraxis=_similarity_axis(comparison, dark, x=0.325, length=0.6),
        coloraxis2=_gap_axis(comparison, dark, x=0.848, length=0.28),
    )
    return figure


def gap_heatmap(comparison: Comparison, *, dark: bool, chosen: tuple[str, str] | None = None) -> go.Figure:
    """The AGM alone; arguments as `alignment_heatmaps`."""
    figure = make_subplots(rows=1, cols=1, subplot_titles=_titles(comparison)[2:])
    _add_matrix(figure, comparison, comparison.gap, "Gap", "coloraxis2", column=1)
    if chosen is not None:
        _outline(figure, comparison.gap, chosen, dark, columns=(1,))
    _lay_out(figure, comparison, dark, columns=(1,), wrap=52, height=540)
    figure.update_layout(coloraxis2=_gap_axis(comparison, dark, x=0.5, length=0.9))
    return figure


@dataclass(frozen=True)
class Cell:
    """A pair of items and its similarity before, after, and the gap between the two (positive = lost)."""

    row: str
    column: str
    before: float
    after: float
    gap: float


def cell_of(comparison: Comparison, row: str, column: str) -> Cell:
    """The numbers of one cell on screen. Raises `ValueError` for ids that are not shown."""
    ids = comparison.before.picture.ids
    place = ids.index(row), ids.index(column)
    before, after = (float(a.picture.matrix[place]) for a in (comparison.before, comparison.after))
    return Cell(row, column, before, after, before - after)


def _add_matrix(
    figure: go.Figure, comparison: Comparison, picture: AlignmentPicture, name: str, axis: str, *, column: int
) -> None:
    k = len(picture.ids)
    figure.add_trace(
        go.Heatmap(z=np.round(picture.matrix, 4), coloraxis=axis, name=name, hoverinfo="skip", xgap=0, ygap=0),
        row=1,
        col=column,
    )
    names = [safe(shorten(caption, 28)) for caption in _captions(comparison, picture)]
    what = "similarity" if name != "Gap" else "before minus after"
    rows, columns = (places.ravel() for places in np.indices((k, k)))
    cells = list(zip(rows.tolist(), columns.tolist(), picture.matrix.ravel().tolist(), strict=True))
    # Plotly checks the entries of lists one by one, which takes most of a second here; arrays it takes as they are.
    customdata = np.empty((k * k, 4), dtype=object)
    customdata[:] = [[picture.ids[i], picture.ids[j], i, j] for i, j, _ in cells]
    labels = np.array(
        [f"{names[i]} × {names[j]}<br>{what} <b>{two_decimals(value)}</b>" for i, j, value in cells], dtype=object
    )
    figure.add_trace(
        go.Scatter(
            x=columns,
            y=rows,
            mode="markers",
            marker={"symbol": "square", "size": max(4, 270 / k), "opacity": 0, "color": "#888888"},
            selected={"marker": {"opacity": 0}},
            unselected={"marker": {"opacity": 0}},
            customdata=customdata,
            text=labels,
            hovertemplate="%{text}<extra></extra>",
            name=name,
            showlegend=False,
        ),
        row=1,
        col=column,
    )


def _outline(
    figure: go.Figure, picture: AlignmentPicture, chosen: tuple[str, str], dark: bool, *, columns: tuple[int, ...]
) -> None:
    if not set(chosen) <= set(picture.ids):
        return
    row, column = (picture.ids.index(item_id) for item_id in chosen)
    # Two lines, dark around light, stand out on every colour.
    reach = 0.5 + 0.006 * len(picture.ids)
    for width, colour in ((5, "#000000"), (2, "#ffffff")):
        for panel in columns:
            figure.add_shape(
                type="rect",
                x0=column - reach,
                x1=column + reach,
                y0=row - reach,
                y1=row + reach,
                line={"width": width, "color": colour},
                row=1,
                col=panel,
            )


def _lay_out(
    figure: go.Figure, comparison: Comparison, dark: bool, *, columns: tuple[int, ...], wrap: int, height: int
) -> None:
    colours = ink(dark)
    layout = base_layout(comparison.finding, dark, height=height, wrap=wrap)
    named = len(comparison.before.picture.ids) <= _MOST_NAMES and comparison.before.picture.kind != "pooled"
    layout["margin"] = {
        "t": title_height(comparison.finding, wrap=wrap) + 44,
        "r": 12,
        "b": 88,
        "l": 110 if named else 34,
    }
    # Subplot titles are annotations of the figure, which exist by now.
    figure.update_annotations(font={"size": 15, "color": colours.text})
    figure.update_layout(layout)
    k = len(comparison.before.picture.ids)
    partner = "captions" if comparison.mode == "image-text" else "pictures, other copies"
    for panel in columns:
        figure.update_xaxes(
            title={
                "text": f"{partner}, in the order of the rows",
                "font": {"size": 13, "color": colours.muted},
                "standoff": 6,
            },
            range=[-0.5, k - 0.5],
            showticklabels=False,
            ticks="",
            showgrid=False,
            zeroline=False,
            fixedrange=True,
            constrain="domain",
            row=1,
            col=panel,
        )
        figure.update_yaxes(
            range=[k - 0.5, -0.5],
            showticklabels=False,
            ticks="",
            showgrid=False,
            zeroline=False,
            fixedrange=True,
            constrain="domain",
            scaleanchor="x" if panel == 1 else f"x{panel}",
            row=1,
            col=panel,
        )
    figure.update_yaxes(
        title={"text": "pictures", "font": {"size": 13, "color": colours.muted}, "standoff": 4}, row=1, col=1
    )
    if named:
        names = [safe(shorten(caption, 14)) for caption in _captions(comparison, comparison.before.picture)]
        figure.update_yaxes(
            showticklabels=True,
            tickvals=list(range(k)),
            ticktext=names,
            tickfont={"size": 12, "color": colours.text},
            row=1,
            col=1,
        )


def _similarity_axis(comparison: Comparison, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    low, high = similarity_limits(comparison.before.picture.matrix, comparison.after.picture.matrix)
    scale = _scale("similarity (cosine), one scale for before and after", dark, x=x, length=length)
    return {"colorscale": SIMILARITY_COLOURS, "cmin": low, "cmax": high, "colorbar": scale}


def _gap_axis(comparison: Comparison, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    limit = gap_limit(comparison.gap.matrix)
    stops = GAP_COLOURS_DARK if dark else GAP_COLOURS
    scale = _scale("before minus after: above 0 lost", dark, x=x, length=length)
    colours = [[place / 4, colour] for place, colour in enumerate(stops)]
    return {"colorscale": colours, "cmin": -limit, "cmax": limit, "cmid": 0, "colorbar": scale}


def _scale(name: str, dark: bool, *, x: float, length: float) -> dict[str, Any]:
    colours = ink(dark)
    return {
        "orientation": "h",
        "x": x,
        "xanchor": "center",
        "y": -0.11,
        "yanchor": "top",
        "len": length,
        "lenmode": "fraction",
        "thickness": 10,
        "outlinecolor": colours.rule,
        "nticks": 7,
        "tickfont": {"size": 12, "color": colours.muted},
        "title": {"text": name, "side": "bottom", "font": {"size": 13, "color": colours.muted}},
    }


def similarity_limits(*matrices: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Limits common to all matrices, rounded outwards to a tenth, never of no width."""
    low = np.floor(min(matrix.min() for matrix in matrices) * 10 + 1e-9) / 10
    high = np.ceil(max(matrix.max() for matrix in matrices) * 10 - 1e-9) / 10
    return float(low), float(max(high, low + 0.1))


def gap_limit(matrix: npt.NDArray[np.float64]) -> float:
    """The largest change either way, rounded up to a tenth, and at least 0.1 so that noise stays pale."""
    return float(max(np.ceil(np.abs(matrix).max() * 10 - 1e-9) / 10, 0.1))


def _titles(comparison: Comparison) -> tuple[str, str, str]:
    own = "on the diagonal"
    # The gap is that of the printed numbers: one that seems a cent off would look like a mistake.
    start, end = (round(a.summary.positive_mean, 2) for a in (comparison.before, comparison.after))
    change = "no change" if start == end else f"{abs(start - end):.2f} {'lost' if start > end else 'gained'}"
    return f"Before: {start:z.2f} {own}", f"After: {end:z.2f} {own}", f"Gap: {change} {own}"


def _captions(comparison: Comparison, picture: AlignmentPicture) -> list[str]:
    """Captions of the rows; the id of an item that has none, or of a block of items."""
    captions = dict(zip(comparison.ids, comparison.texts, strict=True))
    return [captions.get(name) or name for name in picture.ids]
