"""Static figures: what they say, that they share a scale, and that equal comparisons give equal files."""

import io
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from muc_core.audit import draw, image_text_factors, lay_out, summarise_factors
from muc_core.audit.gap import GapInference
from muc_core.comparison import Alignment, Comparison, ComparisonSettings, Controls, EncoderReference, Mode
from muc_core.errors import MucError
from muc_core.figures import GAP_COLOURS, draw_matrices, figure_bytes, matrices_figure


def made_up(n: int = 5, *, controls: int = 4, mode: Mode = "image-text", loss: float = 0.5) -> Comparison:
    """A comparison in which the items lose about `loss` and the controls nothing."""
    rng = np.random.default_rng(0)
    texts = rng.standard_normal((n + controls, 32))
    noise = rng.standard_normal((n + controls, 32))
    alignments, scored = [], []
    for part in (0.0, loss):
        share = np.r_[np.full(n, part), np.zeros(controls)][:, np.newaxis]
        images = (1 - share) * texts + (share + 0.1) * noise
        own = image_text_factors(images[:n], texts[:n])
        _, pooled = summarise_factors(image_text_factors(images, texts))
        picture = draw(own, lay_out(np.arange(n), max_cells=20), [f"id-{i}" for i in range(n)])
        alignments.append(Alignment(summarise_factors(own)[0], pooled[:n], picture))
        scored.append(pooled[n:])
    return Comparison(
        before_encoder=EncoderReference("demo-clip", "clip", "a", 32),
        after_encoder=EncoderReference("demo-clip-ac", "clip", "b", 32),
        mode=mode,
        ids=tuple(f"id-{i}" for i in range(n)),
        texts=tuple(f"worth $5 and ${i}" for i in range(n)),
        before=alignments[0],
        after=alignments[1],
        controls=Controls(("c",) * controls, (None,) * controls, scored[0], scored[1]) if controls else None,
        settings=ComparisonSettings("auto", 8, 0, "given", 20, "sampled"),
        warnings=(),
    )


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text)).replace("\n", " ")


def matrices(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images]


def test_says_the_finding_and_names_what_is_shown() -> None:
    comparison = made_up()
    text = words(draw_matrices(comparison))
    assert comparison.finding in text
    assert comparison.before.picture.note in text
    assert "before: demo-clip " in text
    assert "after: demo-clip-ac " in text
    assert "5 items, 4 controls" in text
    assert "How to read this: each cell compares one picture (row) with one caption (column)" in text
    start, end = (round(a.summary.positive_mean, 2) for a in (comparison.before, comparison.after))
    titles = [axes.get_title(loc="left") for axes in matrices(draw_matrices(comparison))]
    assert titles == [
        f"Before: {start:.2f} with own captions",
        f"After: {end:.2f} with own captions",
        f"Gap: {start - end:.2f} lost with own captions",
    ]


def test_no_change_and_a_gain_are_called_so() -> None:
    assert "Gap: no change with own captions" in words(draw_matrices(made_up(loss=0.0)))
    comparison = made_up()
    backwards = replace(comparison, before=comparison.after, after=comparison.before)
    assert "gained with own captions" in words(draw_matrices(backwards))


def test_two_views_have_their_own_words() -> None:
    text = words(draw_matrices(made_up(mode="two-view")))
    assert "between own views" in text
    assert "pictures, other views" in text
    assert "caption" not in text


def test_missing_controls_are_said() -> None:
    text = words(draw_matrices(replace(made_up(controls=0), warnings=("There are no controls.", "And one more."))))
    assert "5 items, no controls" in text
    assert "Note: There are no controls. And one more." in text
    assert "controls before" not in text
    assert "Note:" not in words(draw_matrices(made_up()))


def test_before_and_after_share_one_scale_and_the_gap_is_symmetric_and_white_at_zero() -> None:
    comparison = made_up()
    before, after, gap = (axes.images[0] for axes in matrices(draw_matrices(comparison)))
    assert before.norm is after.norm
    assert before.get_cmap().name == after.get_cmap().name == "cividis"
    low, high = before.get_clim()
    shown = [comparison.before.picture.matrix, comparison.after.picture.matrix]
    assert low <= min(matrix.min() for matrix in shown)
    assert high >= max(matrix.max() for matrix in shown)
    bottom, top = gap.get_clim()
    assert bottom == -top
    assert top >= np.abs(comparison.gap.matrix).max()
    assert gap.to_rgba(np.zeros(1)).tolist() == [[1.0, 1.0, 1.0, 1.0]]
    np.testing.assert_array_equal(gap.get_array(), comparison.gap.matrix)


def test_lost_alignment_is_warm_and_gained_cold() -> None:
    lost, gained = GAP_COLOURS(0.95), GAP_COLOURS(0.05)
    assert lost[0] > lost[2]
    assert gained[2] > gained[0]


@pytest.mark.parametrize("value", [1.0, 0.0, -1.0])
def test_a_matrix_of_one_value_has_a_scale(value: float) -> None:
    comparison = made_up(2)
    for alignment in (comparison.before, comparison.after):
        alignment.picture.matrix[:] = value
    before, _, gap = (axes.images[0] for axes in matrices(draw_matrices(comparison)))
    assert before.get_clim()[0] < before.get_clim()[1]
    assert gap.get_clim() == (-0.1, 0.1)


@pytest.mark.parametrize(("n", "named"), [(1, True), (16, True), (17, False), (30, False)])
def test_few_rows_carry_their_captions(n: int, named: bool) -> None:
    labels = [label.get_text() for label in matrices(draw_matrices(made_up(n)))[0].get_yticklabels()]
    assert (labels == [rf"worth \$5 and \${i}" for i in range(n)]) is named
    assert (labels == []) is not named


def test_many_dots_are_thinned_to_those_at_even_ranks() -> None:
    def dots(comparison: Comparison) -> list[npt.NDArray[np.float64]]:
        strip = draw_matrices(comparison).axes[-1]
        return [np.asarray(collection.get_offsets())[:, 0] for collection in strip.collections]

    few, many = made_up(30, controls=0), made_up(1000, controls=0)
    np.testing.assert_array_equal(dots(few)[0], few.before.items.positive)
    shown = dots(many)[1]
    assert len(shown) == 400
    assert shown.mean() == pytest.approx(many.after.items.positive.mean(), abs=0.01)
    assert (shown.min(), shown.max()) == (many.after.items.positive.min(), many.after.items.positive.max())


@pytest.mark.parametrize("ending", [".png", ".svg", ".PNG"])
def test_equal_comparisons_give_equal_files(ending: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{ending}", tmp_path / f"second{ending}"
    matrices_figure(made_up(), first)
    with matplotlib.rc_context({"svg.hashsalt": None}):
        matrices_figure(made_up(), str(second))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 10_000


def test_files_are_what_their_names_say() -> None:
    figure = draw_matrices(made_up())
    with Image.open(io.BytesIO(figure_bytes(figure, "png"))) as image:
        assert image.format == "PNG"
        assert image.width > 2000
    svg = figure_bytes(figure, "svg")
    assert b"<svg" in svg
    assert b"<dc:date>" not in svg


def test_refuses_other_endings_and_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MucError, match=r"'figure\.pdf' must end with \.png or \.svg"):
        matrices_figure(made_up(), tmp_path / "figure.pdf")
    with pytest.raises(MucError, match=r"cannot be written to .*No such file or directory"):
        matrices_figure(made_up(), tmp_path / "missing" / "figure.png")
    assert list(tmp_path.iterdir()) == []


def test_cells_of_the_gap_that_are_noise_are_grey_and_the_sentence_says_so() -> None:
    comparison = made_up(4)
    significant = np.eye(4, dtype=bool)
    gap = np.arange(16.0).reshape(4, 4) / 16
    inference = GapInference(gap, gap - 1, gap + 1, significant, 0.3, 0.001, 999)
    figure = draw_matrices(comparison, inference)
    _, _, third = matrices(figure)
    shown, noise = (image.get_array() for image in third.images)
    order = [comparison.ids.index(name) for name in comparison.gap.ids]
    np.testing.assert_array_equal(shown, gap[np.ix_(order, order)])
    assert noise is not None
    np.testing.assert_array_equal(np.ma.getmaskarray(noise), significant[np.ix_(order, order)])
    assert "4 of 4 cells of the diagonal and 0% of the others" in words(figure).replace("\n", " ")
    assert all(len(axes.images) == 1 for axes in matrices(draw_matrices(comparison)))
