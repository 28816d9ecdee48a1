"""Maps that move and maps side by side: frames that end where the map does, one selection, colours with a meaning."""

import json

import numpy as np
import pytest

from dashboard.charts.map_colours import (
    CLASSES,
    NOT_AUDITED,
    OTHERS,
    by_class,
    by_number,
    by_set,
    by_verdict,
)
from dashboard.charts.map_moves import moving_map, one_side
from dashboard.charts.maps import MapData, retention_sentence
from dashboard.charts.style import HUES
from muc_core.projection import JointProjection

N = 40
GROUPS = ("forget",) * 10 + ("retain",) * 10 + ("held-out",) * 20


def data(n: int = N, dimensions: int = 2) -> MapData:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, n, dimensions))
    groups = GROUPS if n == N else ("held-out",) * n
    return MapData(JointProjection(before, after, "pca", 0, {}), groups, ("<b>x",) * n, ("",) * n)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_frames_go_straight_from_before_to_after(dimensions: int) -> None:
    shown = data(dimensions=dimensions)
    figure = moving_map(shown, by_set(GROUPS), dark=False, lines=False)
    before, after = shown.projection.before[:10], shown.projection.after[:10]
    for frame in figure.frames:
        share = float(frame.name)
        places = frame.data[0].x.astype(float)
        np.testing.assert_allclose(places, before[:, 0] + share * (after[:, 0] - before[:, 0]), atol=1e-4)
        places = frame.data[0].y.astype(float)
        np.testing.assert_allclose(places, before[:, 1] + share * (after[:, 1] - before[:, 1]), atol=1e-4)
    # The browser unpacks no typed arrays in frames.
    assert "bdata" not in json.dumps(json.loads(figure.to_json())["frames"])
    assert [frame.name for frame in (figure.frames[0], figure.frames[-1])] == ["0.00", "1.00"]


def test_the_way_is_drawn_of_those_that_moved_further_than_controls() -> None:
    shown = data()
    displacement = shown.projection.displacement
    limit = np.quantile(displacement[20:], 0.95)
    np.testing.assert_array_equal(shown.far, displacement > limit)
    ways = moving_map(shown, by_set(GROUPS), dark=False, lines=True).data[-1]
    assert np.isnan(ways.x).sum() == shown.far.sum()
    alone = MapData(shown.projection, ("retain",) * N, shown.texts, shown.images)
    assert alone.far.all()


def test_both_sides_have_the_same_axes_and_the_same_selection() -> None:
    shown = data()
    sides = [one_side(shown, by_set(GROUPS), moment, dark=False, chosen=[3, 25]) for moment in ("before", "after")]
    assert sides[0].layout.xaxis.range == sides[1].layout.xaxis.range
    for side in sides:
        chosen = [row for trace in side.data for row in np.asarray(trace.customdata)[trace.selectedpoints]]
        assert sorted(chosen) == [3, 25]
        assert side.layout.dragmode == "lasso"
        assert next(iter(side.data[0].text)).startswith("&lt;b&gt;x")
    assert [side.data[0].marker.symbol for side in sides] == ["circle-open", "circle"]


def test_many_points_go_through_webgl_with_fewer_frames() -> None:
    many = data(6_000)
    assert one_side(many, by_set(many.groups), "after", dark=False).data[0].type == "scattergl"
    figure = moving_map(many, by_set(many.groups), dark=False, lines=False)
    assert figure.data[0].type == "scattergl"
    assert len(figure.frames) == 9


def test_sets_have_their_hues_and_other_classes_have_others() -> None:
    assert by_set(GROUPS).palette == {
        "forget set": HUES["forget"],
        "retain set": HUES["retain"],
        "held-out set": HUES["held-out"],
    }
    assert not set(CLASSES) & set(HUES.values())
    values = [f"class {min(i // 4, 8)}" for i in range(40)] + [None]
    colouring = by_class("label", values, False)
    assert colouring.classes is not None
    assert list(colouring.palette)[-1] == OTHERS
    assert len(colouring.palette) == len(CLASSES) + 1
    assert colouring.classes[-1] == OTHERS


def test_verdicts_have_their_words_and_what_was_not_audited_says_so() -> None:
    colouring = by_verdict(["a", "b"], {"a": "trace found"}, False)
    assert colouring.classes == ("Trace found", NOT_AUDITED)
    assert list(colouring.palette) == ["Trace found", NOT_AUDITED]


def test_a_scale_does_not_follow_one_stray_point() -> None:
    numbers = np.r_[np.full(999, 0.1), 50.0]
    assert by_number("drift", numbers, numbers).limits == pytest.approx((0.0, 0.1))
    nothing = np.full(3, np.nan)
    assert by_number("kept", nothing, nothing).limits == (0.0, 1.0)


def test_what_was_measured_on_a_sample_says_so() -> None:
    whole = retention_sentence(np.array([0.2, 0.4]), np.array([0.4, 0.6]))
    assert "40% are among" in whole
    assert "30% before, 50% after)" in whole
    part = retention_sentence(np.array([0.2, np.nan]), np.array([0.4, np.nan]))
    assert "measured on 2 points drawn at random" in part


def test_the_scale_of_numbers_takes_the_place_of_the_legend() -> None:
    shown = data()
    numbers = by_number("drift", shown.projection.displacement, shown.projection.displacement)
    for figure in (moving_map(shown, numbers, dark=False, lines=True), one_side(shown, numbers, "after", dark=True)):
        assert figure.layout.showlegend is False
        assert figure.layout.coloraxis.colorbar.title.text == "drift"
    assert moving_map(shown, by_set(GROUPS), dark=False, lines=True).layout.showlegend is True
