"""A single matrix as a figure: its colours, its grey cells, what can be clicked, what is marked."""

import numpy as np
import pytest

from dashboard.charts.matrix import Panel, common_limits, matrix_chart, symmetric_limits
from dashboard.charts.style import safe

VALUES = np.array([[0.9, -0.2, 0.1], [0.0, 0.8, -0.004]])


def panel(
    values: np.ndarray = VALUES,
    *,
    is_gap: bool = False,
    faded: np.ndarray | None = None,
    chosen: tuple[int, int] | None = None,
    marked: tuple[int, ...] = (),
) -> Panel:
    rows, columns = values.shape
    names = [f"<b>picture {i}" for i in range(max(rows, columns))]
    limits = symmetric_limits(values) if is_gap else common_limits(values, None)
    return Panel(
        values, "Before", names[:rows], names[:columns], "pictures", "captions", limits, is_gap, faded, chosen, marked
    )


def test_every_cell_lies_where_its_marker_is_and_has_its_number() -> None:
    heatmap, markers = matrix_chart(panel(), dark=False).data
    for x, y, number in zip(markers.x, markers.y, markers.customdata, strict=True):
        assert float(number) == pytest.approx(round(VALUES[y, x], 2), abs=1e-6)
        assert heatmap.z[y][x] == pytest.approx(VALUES[y, x])
    assert not np.signbit(markers.customdata[-1])  # -0.00 reads 0.00
    assert markers.marker.opacity == 0


def test_names_at_the_pointer_are_no_markup() -> None:
    figure = matrix_chart(panel(), dark=False)
    assert figure.layout.xaxis.ticktext[2] == figure.layout.xaxis.ticktext[2] == safe("<b>picture 2")
    assert not figure.layout.xaxis.showticklabels
    assert figure.layout.yaxis.showticklabels  # few rows carry their names


def test_faded_cells_have_no_colour_and_the_ground_is_grey() -> None:
    faded = np.zeros(VALUES.shape, dtype=bool)
    faded[0, 1] = True
    for dark in (False, True):
        figure = matrix_chart(panel(is_gap=True, faded=faded), dark=dark)
        np.testing.assert_array_equal(np.isnan(figure.data[0].z), faded)
        assert figure.layout.plot_bgcolor.startswith("#")
    assert matrix_chart(panel(is_gap=True), dark=False).layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_a_gap_is_symmetric_about_zero_and_similarities_are_not() -> None:
    scale = matrix_chart(panel(is_gap=True), dark=False).layout.coloraxis
    assert scale.cmin == -scale.cmax
    assert common_limits(VALUES, None, 0.5 * VALUES) == (-0.2, 0.9)


def test_the_chosen_cell_is_outlined_and_marked_rows_have_a_bar_each_run() -> None:
    many = np.zeros((9, 9))
    shapes = matrix_chart(panel(many, chosen=(2, 4), marked=(1, 2, 3, 7)), dark=False).layout.shapes
    outlines, bars = [s for s in shapes if s.type == "rect"], [s for s in shapes if s.type == "line"]
    assert {((s.y0 + s.y1) / 2, (s.x0 + s.x1) / 2) for s in outlines} == {(2, 4)}
    assert [(bar.y0, bar.y1) for bar in bars] == [(0.5, 3.5), (6.5, 7.5)]


def test_many_cells_go_through_webgl_and_dragging_must_be_asked_for() -> None:
    assert matrix_chart(panel(), dark=False).data[1].type == "scatter"
    large = matrix_chart(panel(np.zeros((70, 70))), dark=False, drag=True)
    assert large.data[1].type == "scattergl"
    assert large.layout.dragmode == "select"
    assert matrix_chart(panel(), dark=False).layout.dragmode is False


def test_cells_are_square_unless_that_would_make_a_strip() -> None:
    assert matrix_chart(panel(), dark=False).layout.yaxis.scaleanchor == "x"
    assert matrix_chart(panel(np.zeros((2, 30))), dark=False).layout.yaxis.scaleanchor is None
