"""The figure of relearning: curves with intervals, the encoder before beside them, a title that says the finding."""

from typing import Any

import pytest

from dashboard.charts.relearning import how_to_read, relearning_figure, relearning_finding
from dashboard.charts.style import HUES, ink
from muc_core.evaluation.standing import Shift, Standing
from muc_core.evaluation.stress import CurvePoint, RelearningStress, Role
from muc_core.stats.rates import Rate


def around(value: float) -> Rate:
    return Rate(value, value - 0.1, value + 0.1)


def curve(end: float, *, captions: bool) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            step=step,
            effect=around(end * step / 40),
            positive=around(0.2 + end * step / 400),
            control_positive=around(0.15),
            first=around(0.1 + end * step / 100) if captions else None,
        )
        for step in (0, 20, 40)
    )


def result(*, retrained: bool = True, captions: bool = True, **changes: Any) -> RelearningStress:
    curves: dict[Role, tuple[CurvePoint, ...]] = {"after": curve(1.2, captions=captions)}
    if retrained:
        curves["retrained"] = curve(0.1, captions=captions)
    shift = Shift(effect=around(1.0), p=0.001, most=1.1)
    values: dict[str, Any] = {
        "steps": 40,
        "halves": 4,
        "curves": curves,
        "before": Standing(
            effect=around(3.0), p=0.001, positive=0.9, control_positive=0.3, first=0.95 if captions else None
        ),
        "rise": shift,
        "level": shift,
        "delta": 0.5,
        "verdict": "hidden, not forgotten",
        "meaning": "They came back.",
    }
    return RelearningStress(**values | changes)


def lines(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data if trace.fill is None}


def test_each_encoder_has_a_line_and_a_band_and_the_one_before_is_pale() -> None:
    figure = relearning_figure(result(), dark=False)
    found = lines(figure)
    assert list(found) == ["after unlearning", "Retrain", "before unlearning"]
    assert list(found["after unlearning"].x) == [0, 20, 40]
    assert list(found["after unlearning"].y) == pytest.approx([0, 0.6, 1.2])
    assert found["after unlearning"].line.color == HUES["forget"]
    assert found["Retrain"].line.color == ink(False).muted
    assert list(found["before unlearning"].y) == [3.0, 3.0]
    assert found["before unlearning"].line.color.startswith("rgba(213,94,0")
    (band, _) = [trace for trace in figure.data if trace.fill == "toself"]
    assert list(band.y) == pytest.approx([0.1, 0.7, 1.3, 1.1, 0.5, -0.1])


def test_without_retrain_there_is_no_line_for_it() -> None:
    assert list(lines(relearning_figure(result(retrained=False), dark=True))) == [
        "after unlearning",
        "before unlearning",
    ]
    assert "Retrain" in how_to_read(result())
    assert "Retrain" not in how_to_read(result(retrained=False))


def test_by_similarity_the_controls_are_drawn_in_their_hue() -> None:
    found = lines(relearning_figure(result(), dark=False, measure="positive"))
    assert found["controls, after unlearning"].line.color == HUES["controls"]
    assert list(found["before unlearning"].y) == [0.9, 0.9]


def test_shares_are_percentages_and_need_captions() -> None:
    figure = relearning_figure(result(), dark=False, measure="first")
    assert figure.layout.yaxis.tickformat == ".0%"
    title = relearning_finding(result(), "first")
    assert "from 10% to 58%, in Retrain from 10% to 14%" in title
    with pytest.raises(ValueError, match="without captions"):
        relearning_figure(result(captions=False), dark=False, measure="first")


@pytest.mark.parametrize(
    ("verdict", "start"),
    [
        ("still there", "The pictures were never gone"),
        ("hidden, not forgotten", "Hidden, not forgotten"),
        ("no trace came back", "No trace came back"),
        ("cannot tell", "Cannot tell"),
    ],
)
def test_the_title_is_the_finding(verdict: str, start: str) -> None:
    title = relearning_finding(result(verdict=verdict))
    assert title.startswith(start)
    assert "after unlearning from 0.00 to 1.20, in Retrain from 0.00 to 0.10" in title


def test_the_axes_are_named_in_words() -> None:
    figure = relearning_figure(result(), dark=True)
    assert figure.layout.xaxis.title.text == "steps of training on the other half"
    assert tuple(figure.layout.xaxis.range) == (0, 40)
    assert figure.layout.yaxis.title.text == "above never-seen, in their spread"
