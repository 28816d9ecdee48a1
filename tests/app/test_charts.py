"""The charts: colours and limits that mean what they say, cells that can be clicked, titles with the numbers."""

import numpy as np
import pytest

from dashboard.charts.heatmaps import (
    GAP_COLOURS,
    GAP_COLOURS_DARK,
    alignment_heatmaps,
    gap_limit,
    how_to_read,
    similarity_limits,
)
from dashboard.charts.maps import MapData, comparison_sentence, embedding_map, finding, percent
from dashboard.charts.style import HUES, base_layout, ink, safe, shorten, title_height, two_decimals
from muc_core.audit.picture import AlignmentPicture
from muc_core.audit.summary import summarise
from muc_core.comparison import Alignment, Comparison, ComparisonSettings, EncoderReference
from muc_core.projection import JointProjection

K = 4


def alignment(positive: float, ids: tuple[str, ...]) -> Alignment:
    """Pictures and captions whose own similarity is `positive`, all others 0."""
    k = len(ids)
    left = np.eye(2 * k)[:k]
    right = positive * left + np.sqrt(1 - positive**2) * np.eye(2 * k)[k:]
    summary, items = summarise(left, right)
    return Alignment(summary, items, AlignmentPicture(left @ right.T, "full", f"Shows all {k} items.", ids))


def comparison(
    texts: tuple[str | None, ...] = ("bird", "car", "<b>moon", None), before: float = 0.9, after: float = 0.3
) -> Comparison:
    ids = tuple(f"id-{i}" for i in range(len(texts)))
    encoder = EncoderReference("before", "clip", "digest", 8)
    settings = ComparisonSettings("auto", 8, 0, "given", 60, "sampled")
    return Comparison(
        encoder, encoder, "image-text", ids, texts, alignment(before, ids), alignment(after, ids), None, settings, ()
    )


class TestHeatmaps:
    def test_before_and_after_share_one_scale_and_the_gap_is_white_at_zero(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False)
        heatmaps = [trace for trace in figure.data if trace.type == "heatmap"]
        assert [trace.coloraxis for trace in heatmaps] == ["coloraxis", "coloraxis", "coloraxis2"]
        shared, gap = figure.layout.coloraxis, figure.layout.coloraxis2
        assert (shared.cmin, shared.cmax) == (0.0, 0.9)
        assert shared.showscale is not False
        assert gap.cmin == -gap.cmax == pytest.approx(-0.6)
        assert list(gap.colorscale[2]) == [0.5, "#FFFFFF"]

    def test_lost_alignment_is_positive_and_warm_in_both_themes(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False)
        assert np.diag(figure.data[4].z) == pytest.approx(np.full(K, 0.6))
        for colours in (GAP_COLOURS, GAP_COLOURS_DARK):
            gained, lost = colours[0], colours[-1]
            assert int(lost[1:3], 16) > int(lost[5:7], 16)
            assert int(gained[1:3], 16) < int(gained[5:7], 16)

    def test_the_dark_theme_has_its_own_neutral_at_zero(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=True)
        assert figure.layout.coloraxis2.colorscale[2][1] == GAP_COLOURS_DARK[2]
        assert figure.layout.title.font.color == ink(True).text

    def test_every_cell_can_be_clicked_and_says_which_it_is(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False)
        markers = [trace for trace in figure.data if trace.type == "scatter"]
        assert [trace.name for trace in markers] == ["Before", "After", "Gap"]
        for trace in markers:
            assert len(trace.customdata) == K * K
            for x, y, (row, column, i, j) in zip(trace.x, trace.y, trace.customdata, strict=True):
                assert (y, x) == (i, j)
                assert (row, column) == (f"id-{i}", f"id-{j}")
            assert trace.marker.opacity == 0
            assert trace.marker.symbol == "square"

    def test_cells_are_square_and_the_first_row_is_at_the_top(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False)
        for y, x in (("yaxis", "x"), ("yaxis2", "x2"), ("yaxis3", "x3")):
            assert figure.layout[y].scaleanchor == x
            assert tuple(figure.layout[y].range) == (K - 0.5, -0.5)

    def test_the_title_is_the_finding_and_captions_are_no_markup(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False)
        assert "fell from 0.90 to 0.30" in figure.layout.title.text
        assert "&lt;b&gt;moon × bird<br>similarity <b>0.00</b>" in list(figure.data[1].text)
        assert figure.layout.yaxis.ticktext == ("bird", "car", "&lt;b&gt;moon", "id-3")
        titles = [annotation.text for annotation in figure.layout.annotations]
        assert titles == [
            "Before: 0.90 on the diagonal",
            "After: 0.30 on the diagonal",
            "Gap: 0.60 lost on the diagonal",
        ]

    @pytest.mark.parametrize(
        ("before", "after", "title"), [(0.3, 0.3, "Gap: no change"), (0.3, 0.9, "Gap: 0.60 gained")]
    )
    def test_the_gap_is_told_in_words(self, before: float, after: float, title: str) -> None:
        figure = alignment_heatmaps(comparison(before=before, after=after), dark=False)
        assert figure.layout.annotations[2].text == f"{title} on the diagonal"

    def test_the_chosen_cell_is_outlined_in_all_three(self) -> None:
        figure = alignment_heatmaps(comparison(), dark=False, chosen=("id-1", "id-2"))
        assert {shape.xref for shape in figure.layout.shapes} == {"x", "x2", "x3"}
        assert {((shape.y0 + shape.y1) / 2, (shape.x0 + shape.x1) / 2) for shape in figure.layout.shapes} == {(1, 2)}
        assert not alignment_heatmaps(comparison(), dark=False, chosen=("id-1", "gone")).layout.shapes

    def test_many_rows_carry_no_names(self) -> None:
        many = comparison(tuple(f"bird {i}" for i in range(30)))
        assert alignment_heatmaps(many, dark=False).layout.yaxis.ticktext is None

    def test_how_to_read_speaks_of_captions_only_where_there_are_some(self) -> None:
        assert "caption" in how_to_read(comparison())

    def test_limits_are_rounded_outwards_and_have_a_width(self) -> None:
        assert similarity_limits(np.array([[-0.31]]), np.array([[0.81]])) == (-0.4, 0.9)
        assert similarity_limits(np.array([[0.2]]), np.array([[0.2]])) == pytest.approx((0.2, 0.3))
        assert gap_limit(np.array([[-0.42, 0.1]])) == 0.5
        assert gap_limit(np.zeros((2, 2))) == 0.1

    def test_a_single_item_has_a_matrix_too(self) -> None:
        figure = alignment_heatmaps(comparison(("bird",)), dark=False)
        assert len(figure.data[1].customdata) == 1


class TestMap:
    def data(self, *, groups: tuple[str, ...] = ("forget", "forget", "retain", "held-out")) -> MapData:
        before = np.zeros((4, 2))
        after = np.array([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0], [1.5, 2.0]])
        projection = JointProjection(before, after, "pca", 0, {})
        return MapData(projection, groups, ("bird", "car", "moon", "sun"), tuple(f"data:{i}" for i in range(4)))

    def test_the_finding_has_the_mean_way_of_each_set(self) -> None:
        assert self.data().moved() == {"forget": 1.0, "retain": 0.0, "held-out": 0.5}
        assert "of the forget set 100%, of the retain set 0.0%, of the held-out set 50%" in finding(self.data())

    def test_the_forget_set_is_held_against_the_controls(self) -> None:
        sentence = comparison_sentence(self.data())
        assert sentence is not None
        assert "2.00 times as far as the held-out ones" in sentence

    @pytest.mark.parametrize(
        "groups", [("retain",) * 4, ("forget",) * 4, ("held-out", "held-out", "held-out", "forget")]
    )
    def test_without_one_of_them_nothing_is_compared(self, groups: tuple[str, ...]) -> None:
        sentence = comparison_sentence(self.data(groups=groups))
        assert (sentence is None) == ({"forget", "held-out"} - set(groups) != set())

    def test_before_is_hollow_after_solid_and_the_picture_is_in_the_tooltip(self) -> None:
        chart = embedding_map(self.data(), dark=False, lines=True).to_dict()
        ways, before, after = chart["layer"]
        assert ways["mark"]["type"] == "rule"
        assert (before["mark"]["filled"], after["mark"]["filled"]) == (False, True)
        # Vega shows the picture only when the tooltip's field has exactly this name.
        assert before["encoding"]["tooltip"][0] == {"field": "image", "type": "nominal"}
        assert after["encoding"]["x"]["field"] == "x_after"
        (rows,) = chart["datasets"].values()
        assert rows[0] == {
            "x_before": 0.0,
            "y_before": 0.0,
            "x_after": 3.0,
            "y_after": 4.0,
            "set": "forget set",
            "caption": "bird",
            "moved": "100% of the diagonal",
            "far": True,
            "image": "data:0",
            "colour": "forget set",
            "colour_said": "forget set",
        }

    def test_the_hues_are_those_of_the_sets(self) -> None:
        chart = embedding_map(self.data(), dark=True, lines=False).to_dict()
        assert len(chart["layer"]) == 2
        scale = chart["layer"][0]["encoding"]["color"]["scale"]
        assert scale["domain"] == ["forget set", "retain set", "held-out set"]
        assert scale["range"] == [HUES["forget"], HUES["retain"], HUES["held-out"]]
        assert chart["title"]["color"] == ink(True).text

    def test_small_shares_keep_a_decimal(self) -> None:
        assert [percent(share) for share in (0.004, 0.0964, 0.468)] == ["0.4%", "9.6%", "47%"]


class TestStyle:
    def test_hues_are_okabe_and_ito(self) -> None:
        assert HUES == {
            "forget": "#D55E00",
            "retain": "#009E73",
            "held-out": "#0072B2",
            "controls": "#0072B2",
            "uploads": "#CC79A7",
        }

    def test_a_long_title_is_wrapped_and_makes_room_for_itself(self) -> None:
        layout = base_layout("word " * 40, False, wrap=50)
        assert layout["title"]["text"].count("<br>") == 3
        assert title_height("word " * 40, wrap=50) > title_height("word", wrap=50)
        assert layout["margin"]["t"] > base_layout("word", False)["margin"]["t"]

    def test_markup_in_a_title_is_shown_as_it_is(self) -> None:
        assert base_layout("<b>bird</b> & co", False)["title"]["text"] == "&lt;b&gt;bird&lt;/b&gt; &amp; co"

    @pytest.mark.parametrize(("value", "text"), [(0.125, "0.12"), (-0.001, "0.00"), (-0.5, "-0.50"), (None, "–")])
    def test_numbers_have_two_decimals(self, value: float | None, text: str) -> None:
        assert two_decimals(value) == text

    def test_texts_are_cut_and_escaped(self) -> None:
        assert shorten("a long caption", 6) == "a lon…"
        assert shorten("short", 6) == "short"
        assert safe("a < b") == "a &lt; b"
