"""Static figures of a comparison for papers, slides and the command line: the same bytes for the same comparison.

matplotlib is used through its objects, so that no global state is touched and figures can be drawn in any thread.
"""

import io
import textwrap
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from muc_core.audit.gap import GapInference
from muc_core.audit.picture import AlignmentPicture
from muc_core.comparison import Comparison
from muc_core.errors import MucError

ITEMS_COLOUR = "#D55E00"
CONTROLS_COLOUR = "#0072B2"
INK = "#1F2933"
MUTED = "#52606D"
RULE = "#D5DAE0"

SIMILARITY_COLOURS = matplotlib.colormaps["cividis"]
GAP_STOPS = ("#22315B", "#8795BA", "#FFFFFF", "#F0A35E", "#8A3800")
"""From alignment gained (cold) over white at zero to alignment lost (warm)."""
GAP_COLOURS = LinearSegmentedColormap.from_list("gap", GAP_STOPS, N=255)

NOISE_COLOUR = ListedColormap(["#BDBDBD"])
"""Of cells whose gap is no more than the noise of views."""

MOST_NAMES = 16
"""Up to so many items the rows carry their names."""
MOST_DOTS = 400

# All lengths in inches from the lower left corner.
_WIDTH, _HEIGHT = 13.4, 9.5
_MARGIN = 0.45
_SIDE = 3.5
_COLUMNS = (1.75, 5.55, 9.45)
_MATRIX_BOTTOM = 4.25
_SCALE_BOTTOM = 3.65
_STRIP_BOTTOM = 1.6
_STRIP_HEIGHT = 1.2


def matrices_figure(comparison: Comparison, path: Path | str, inference: GapInference | None = None) -> None:
    """Write `draw_matrices(comparison, inference)` to a file.

    Args:
        comparison, inference: what to show.
        path: ends with .png or .svg; an existing file is replaced.

    Raises:
        MucError: another ending, or a place that cannot be written.
    """
    target = Path(path)
    kind = target.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise MucError(f"the figure {target.name!r} must end with .png or .svg")
    content = figure_bytes(draw_matrices(comparison, inference), kind)
    try:
        target.write_bytes(content)
    except OSError as error:
        raise MucError(f"the figure cannot be written to {str(target)!r}: {error.strerror}") from error


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a "png" or "svg" file, without dates or random names, so that equal figures are equal files."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "muc"}):
        figure.savefig(buffer, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return buffer.getvalue()


def draw_matrices(comparison: Comparison, inference: GapInference | None = None) -> Figure:
    """AM before and AM after on one scale, AGM white at zero, and below them each item beside the controls.

    Args:
        inference: of the gap matrix of the comparison's items, in their order: its mean over views is drawn, and cells
            that are no more than the noise of views are grey. Not for pooled pictures.
    """
    sheet = _Sheet()
    before, after, gap = comparison.before.picture, comparison.after.picture, comparison.gap
    rows = np.array([comparison.ids.index(name) for name in gap.ids]) if inference is not None else np.array([])
    if inference is not None:
        gap = replace(gap, matrix=inference.gap[np.ix_(rows, rows)])
    similarity = Normalize(*_similarity_limits(before.matrix, after.matrix))
    limit = _gap_limit(gap.matrix)
    change = Normalize(-limit, limit)
    sheet.heading(comparison)
    first, second, third = (sheet.axes(left, _MATRIX_BOTTOM, _SIDE, _SIDE) for left in _COLUMNS)
    titles = _titles(comparison)
    _matrix(first, comparison, before, SIMILARITY_COLOURS, similarity, titles[0])
    _matrix(second, comparison, after, SIMILARITY_COLOURS, similarity, titles[1])
    _matrix(third, comparison, gap, GAP_COLOURS, change, titles[2])
    if inference is not None:
        noise = ~inference.significant[np.ix_(rows, rows)]
        third.imshow(np.ma.masked_where(~noise, noise), cmap=NOISE_COLOUR, interpolation="nearest", aspect="equal")
    _name_rows(first, comparison, before)

    both = _COLUMNS[1] + _SIDE - _COLUMNS[0]
    sheet.scale(_COLUMNS[0], both, SIMILARITY_COLOURS, similarity, "similarity, one scale for before and after")
    sheet.scale(_COLUMNS[2], _SIDE, GAP_COLOURS, change, "before minus after: above 0 lost, below 0 gained")
    _strip(sheet.axes(_COLUMNS[0], _STRIP_BOTTOM, _COLUMNS[2] + _SIDE - _COLUMNS[0], _STRIP_HEIGHT), comparison)
    sheet.footer(comparison, inference)
    return sheet.figure


class _Sheet:
    """A page measured in inches."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(_WIDTH, _HEIGHT), facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        return self.figure.add_axes((left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT))

    def text(self, top: float, lines: list[str], *, size: float, colour: str, weight: str = "normal") -> None:
        place = (_MARGIN / _WIDTH, top / _HEIGHT)
        self.figure.text(*place, _literal("\n".join(lines)), size=size, color=colour, weight=weight, va="top")

    def heading(self, comparison: Comparison) -> None:
        finding = (
            comparison.finding.replace("; ", ";\n").split("\n")
            if len(comparison.finding) > 98
            else [comparison.finding]
        )
        items = f"{len(comparison.ids):,} item{'s' if len(comparison.ids) > 1 else ''}"
        controls = f"{len(comparison.controls.ids):,} controls" if comparison.controls else "no controls"
        facts = (
            f"before: {_short(comparison.before_encoder.name, 40)}",
            f"after: {_short(comparison.after_encoder.name, 40)}",
            f"{items}, {controls}",
        )
        self.text(_HEIGHT - 0.35, finding, size=16, colour=INK, weight="bold")
        below = _HEIGHT - 0.45 - 0.28 * len(finding)
        self.text(below, ["   ·   ".join(facts), comparison.before.picture.note], size=10.5, colour=MUTED)

    def scale(self, left: float, width: float, colours: Colormap, norm: Normalize, name: str) -> None:
        axes = self.axes(left, _SCALE_BOTTOM, width, 0.13)
        ticks = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])
        bar = self.figure.colorbar(ScalarMappable(norm, colours), cax=axes, orientation="horizontal", ticks=ticks)
        bar.outline.set_edgecolor(RULE)
        bar.set_label(name, size=9.5, color=MUTED)
        axes.tick_params(colors=MUTED, labelsize=9, length=3)

    def footer(self, comparison: Comparison, inference: GapInference | None) -> None:
        pair = (
            "one picture (row) with one caption (column)"
            if comparison.mode == "image-text"
            else "changed copies of one picture (row) with those of another (column)"
        )
        how = (
            f"How to read this: each cell compares {pair}; the diagonal is each picture with its own. Forgetting dims "
            "the diagonal of the second matrix and warms that of the third."
        )
        if comparison.controls:
            how += " If the controls, which were never trained on, moved as far, the whole encoder changed."
        if inference is not None:
            how += f" Grey: no more than the noise of views. {inference.meaning}"
        lines = textwrap.wrap(how, 165)
        if comparison.warnings:
            lines += textwrap.wrap("Note: " + " ".join(comparison.warnings), 165, max_lines=2, placeholder=" …")
        self.text(0.88, lines, size=9.5, colour=MUTED)


def _matrix(
    axes: Axes, comparison: Comparison, picture: AlignmentPicture, colours: Colormap, norm: Normalize, title: str
) -> None:
    axes.imshow(picture.matrix, cmap=colours, norm=norm, interpolation="nearest", aspect="equal")
    axes.set_title(title, size=11.5, color=INK, loc="left", pad=7)
    columns = "captions" if comparison.mode == "image-text" else "pictures, other views"
    axes.set_xlabel(f"{columns}, in the order of the rows", size=9.5, color=MUTED)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(RULE)


def _name_rows(axes: Axes, comparison: Comparison, picture: AlignmentPicture) -> None:
    axes.set_ylabel("pictures", size=9.5, color=MUTED)
    if len(picture.ids) > MOST_NAMES or picture.kind == "pooled":
        return
    captions = dict(zip(comparison.ids, comparison.texts, strict=True))
    names = [_literal(_short(captions[name] or name, 18)) for name in picture.ids]
    axes.set_yticks(range(len(names)), names, size=8.5, color=INK)
    axes.tick_params(axis="y", length=0)


def _strip(axes: Axes, comparison: Comparison) -> None:
    """Own similarity of every item and control, before (hollow) above after (solid), with the means as numbers."""
    groups = [("items", ITEMS_COLOUR, comparison.before.items, comparison.after.items)]
    if comparison.controls:
        groups.append(("controls", CONTROLS_COLOUR, comparison.controls.before, comparison.controls.after))
    own = "own caption" if comparison.mode == "image-text" else "own other views"
    labels: dict[float, str] = {}
    for number, (name, colour, *scores) in enumerate(groups):
        for part, (when, fill) in enumerate((("before", "white"), ("after", colour))):
            height = -(2.3 * number + part)
            positive = scores[part].positive
            shown = _at_even_ranks(positive)
            # Steps of the golden ratio spread dots evenly, and the same way each time.
            lift = 0.5 * ((np.arange(len(shown)) * 0.618034) % 1 - 0.5)
            size = 45 if len(shown) <= MOST_NAMES else 14
            axes.scatter(shown, height + lift, s=size, c=fill, edgecolors=colour, linewidths=0.8, alpha=0.8)
            axes.plot([positive.mean()] * 2, [height - 0.42, height + 0.42], color=INK, linewidth=2.2)
            labels[height] = f"{name} {when}  {positive.mean():z.2f}"
    axes.set_yticks(list(labels), list(labels.values()))
    low, high = _similarity_limits(*(scores.positive for group in groups for scores in group[2:]))
    axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.set_ylim(min(labels) - 0.65, 0.65)
    axes.set_xlabel(
        f"similarity of each picture with its {own} (hollow before, solid after); the line is the mean",
        size=9.5,
        color=MUTED,
    )
    axes.grid(axis="x", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", colors=INK, labelsize=9.5, length=0)
    axes.tick_params(axis="x", colors=MUTED, labelsize=9, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _titles(comparison: Comparison) -> tuple[str, str, str]:
    own = "with own captions" if comparison.mode == "image-text" else "between own views"
    # The gap is that of the printed numbers: one that seems a cent off would look like a mistake.
    start, end = (round(a.summary.positive_mean, 2) for a in (comparison.before, comparison.after))
    change = "no change" if start == end else f"{abs(start - end):.2f} {'lost' if start > end else 'gained'}"
    return f"Before: {start:z.2f} {own}", f"After: {end:z.2f} {own}", f"Gap: {change} {own}"


def _similarity_limits(*matrices: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Common limits of the matrices, rounded outwards to a tenth, never of no width."""
    low = np.floor(min(matrix.min() for matrix in matrices) * 10 + 1e-9) / 10
    high = np.ceil(max(matrix.max() for matrix in matrices) * 10 - 1e-9) / 10
    return float(low), float(max(high, low + 0.1))


def _gap_limit(matrix: npt.NDArray[np.float64]) -> float:
    """The largest change either way, rounded up to a tenth, and at least 0.1 so that noise stays pale."""
    return float(max(np.ceil(np.abs(matrix).max() * 10 - 1e-9) / 10, 0.1))


def _short(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _literal(text: str) -> str:
    """A dollar sign of a caption is a dollar sign, not the start of a formula."""
    return text.replace("$", r"\$")


def _at_even_ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """All values or, of many, those at evenly spaced ranks, which keep the shape of the distribution."""
    if len(values) <= MOST_DOTS:
        return values
    return np.sort(values)[np.linspace(0, len(values) - 1, MOST_DOTS).round().astype(np.intp)]
