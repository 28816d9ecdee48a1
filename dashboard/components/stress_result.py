"""What a stress test found: the verdict in words, the curve of relearning, and the three other tests."""

import plotly.graph_objects as go
import streamlit as st

from dashboard.charts import stress as charts
from dashboard.charts.relearning import Measure, how_to_read, relearning_figure, relearning_finding
from dashboard.charts.style import CONFIG
from dashboard.charts.verdict_looks import CAME_BACK_LOOKS, STRESS_LOOKS
from dashboard.components.links import linked_state
from dashboard.components.page import is_dark
from dashboard.components.words import capital, plain
from muc_core.evaluation.stress import VERDICT_MEANING, RelearningStress, ResidualStress, Verdict
from muc_core.jobs.tasks.residual_stress import SavedStress

MEASURES: dict[Measure, str] = {
    "effect": "Against never-seen pictures",
    "positive": "Similarity",
    "first": "Found by caption",
}
NEXT: dict[Verdict, str] = {
    "still there": "What now: the pictures have not been unlearned. Unlearn with a stronger setting or another method, "
    "then audit and stress the new encoder.",
    "hidden, not forgotten": "What now: an audit of answers does not show this. Unlearn with another method or "
    "setting, then audit and stress the new encoder; training it again without the pictures is the safest.",
    "no trace came back": "What now: keep this result beside the audit of the same pair. Other ways to bring a trace "
    "back may exist, so this is no proof of deletion.",
    "cannot tell": "What now: more pictures, more splits, or a Retrain to compare with make the test sharper.",
}


def show_stress(found: SavedStress, *, key: str) -> None:
    """A result as a whole. `key` tells the widgets of several results apart."""
    result = found.result
    look = STRESS_LOOKS[result.verdict]
    with st.container(border=True, key=f"stress-verdict-{key}"):
        st.markdown(f"## :{look.colour}[:material/{look.icon}: {look.word}]")
        meaning = VERDICT_MEANING[result.verdict].partition(": ")[2]
        st.markdown(f"**{plain(capital(meaning))}**")
        st.markdown(plain(NEXT[result.verdict]))
        st.caption(plain(_counts(result)))
        relearning_curve(result.relearning, key=key)
    _other_tests(result, key)
    for warning in result.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    with st.expander("The result in sentences, with its numbers", icon=":material/notes:"):
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in result.explain()))
    st.download_button(
        "Result (JSON)",
        result.model_dump_json(indent=1),
        "stress.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        key=f"stress json {key}",
        help="Every number, exact.",
    )


def _counts(result: ResidualStress) -> str:
    names = result.encoders
    how = "with their captions" if result.mode == "image-text" else "with changed copies of themselves"
    against = f", beside Retrain {names['retrained']}" if "retrained" in names else ", without a Retrain beside it"
    return (
        f"{names['before']} → {names['after']}{against}; {result.n_items:,} pictures of {result.forget} and "
        f"{result.n_controls:,} controls ({result.controls}), compared {how}; seed {result.seed}."
    )


def relearning_curve(result: RelearningStress, *, key: str) -> None:
    """The figure of relearning with its sentence, and a choice of what is drawn."""
    measures = [measure for measure in MEASURES if measure != "first" or result.before.first is not None]
    chosen = f"stress measure {key}"
    linked_state(chosen, {measure: measure for measure in measures}, first="effect", what="the measure")
    measure = st.segmented_control(
        "Measured by",
        measures,
        format_func=MEASURES.__getitem__,
        key=chosen,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    draw_relearning(result, measure or "effect", key=key)


def draw_relearning(result: RelearningStress, measure: Measure, *, key: str) -> None:
    """The figure of relearning between its title and its sentence."""
    st.markdown(f"**{plain(relearning_finding(result, measure))}**")
    _chart(relearning_figure(result, is_dark(), measure=measure), f"relearning {key}")
    reading = how_to_read(result)
    st.caption(f"How to read this: {reading[:1].lower()}{reading[1:]}")


def _other_tests(result: ResidualStress, key: str) -> None:
    dark = is_dark()
    int8, line, separation = result.int8, result.line, result.separation
    tests: list[tuple[str, bool | None, str, go.Figure, str]] = [
        (
            "Weights in 8 bits",
            int8.came_back,
            charts.int8_finding(int8),
            charts.int8_figure(int8, dark=dark),
            charts.HOW_TO_READ_INT8,
        ),
        (
            "Back along the line",
            line.came_back,
            charts.line_finding(line),
            charts.line_figure(line, dark=dark),
            charts.HOW_TO_READ_LINE,
        ),
        (
            "Told apart by features",
            separation.came_back,
            charts.separation_finding(separation),
            charts.separation_figure(separation, dark=dark),
            charts.HOW_TO_READ_SEPARATION,
        ),
    ]
    st.subheader("Three other ways to push", anchor=False)
    for column, (title, came_back, finding, figure, reading) in zip(st.columns(3, gap="medium"), tests, strict=True):
        look = CAME_BACK_LOOKS[came_back]
        with column, st.container(border=True):
            st.markdown(f"**{title}**  \n:{look.colour}[:material/{look.icon}: {look.word}]  \n{plain(finding)}")
            _chart(figure, f"{title} {key}")
            st.caption(reading)


def _chart(figure: go.Figure, key: str) -> None:
    st.plotly_chart(figure, key=key, theme=None, width="stretch", config=CONFIG)
