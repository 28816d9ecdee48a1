"""The strength dial: choose a pair, measure it, turn the dial, and see what each strength does and costs."""

import streamlit as st

from dashboard.charts import bars, dial, pareto
from dashboard.charts.matrix import Panel, matrix_chart
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.charts.verdict_looks import LOOKS
from dashboard.components.choices import AFTER
from dashboard.components.dial_save import save_form
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.links import linked_select, linked_state, say_unknown
from dashboard.components.page import errors_as_sentences, is_dark
from dashboard.components.uploads import plain
from dashboard.services import thumbnails
from dashboard.services.evidence import evidence_of_measured
from dashboard.services.tune import (
    Line,
    bench_of,
    comparison_at,
    dial_scales,
    figures_at,
    lines,
    newest_job,
    start_sweep,
    sweep_of,
    unfinished,
)
from muc_core.audit.result import VERDICT_MEANING
from muc_core.comparison import Comparison
from muc_core.errors import MucError
from muc_core.jobs.tasks.strength_sweep import Sweep
from muc_core.jobs.tuning.measure import Figures

ENCODER, STRENGTH, UTILITY = "unlearned", "strength", "utility"
FIRST = "demo-clip-ac"

WHAT_IT_IS = (
    "Each strength is an encoder of its own: its weights lie on the straight line from the original (0) through the "
    "unlearned one (1) and go on beyond it (up to 1.5). Batch-norm statistics go along: means straight, variances by "
    "ratio, so that they stay positive. No training is needed, and each strength is measured, never guessed: the dial "
    "stops only at strengths that were."
)


def pick_line() -> Line:
    """The pair of a dial, chosen by its unlearned encoder. Raises `MucError` when there is none."""
    known = {line.after: line for line in lines()}
    if not known:
        raise MucError(
            "There is no pair for a strength dial yet: it needs an encoder and one that was unlearned from it. Start "
            "an unlearning run under *Unlearn* above; without any encoder, run `muc demo build` or `muc train` in a "
            "terminal first, then reload this page."
        )
    names = list(known)
    wish = st.session_state.get(AFTER)
    if wish in known and ENCODER not in st.session_state and ENCODER not in st.query_params:
        st.session_state[ENCODER] = wish
    chosen = linked_select(
        st.container(),
        "Unlearned encoder",
        names,
        key=ENCODER,
        first=FIRST if FIRST in known else names[0],
        what="an encoder",
        help="It stands at strength 1, and the encoder that it was unlearned from at 0.",
    )
    st.caption(f"Strength 0 is {plain(known[chosen].before)}, 1 is {plain(chosen)}.")
    return known[chosen]


def dial_view() -> None:
    """Everything about one dial."""
    line = pick_line()
    found = sweep_of(line)
    job = newest_job("strength_sweep", before=line.before, after=line.after)
    if job is not None and job.active:
        follow_job(job, "Measuring the dial", lambda: sweep_of(line).missing)
    else:
        how_it_ended(job, "Measuring the dial", "What was measured is kept; start it again and it goes on from there.")
        if found.missing:
            _offer(line, found)
    for sentence in unfinished([*found.points, *found.others]):
        st.warning(plain(sentence), icon=":material/warning:")
    if any(point.measured.figures for point in found.points):
        st.fragment(_dial)(line, found)


def _offer(line: Line, found: Sweep) -> None:
    with st.container(border=True, key="offer-sweep"):
        done = len(found.points) + len(found.others)
        some = f"{done} of {done + found.missing} are measured already. " if done else ""
        pictures = sum(len(part) for part in found.material.parts)
        st.markdown(f"**{some}{found.missing} encoders are to be measured**, each on {pictures:,} pictures.")
        st.caption(
            f"{WHAT_IT_IS} The other encoders made from {plain(line.before)} with this forget set are measured, too, "
            "for the trade-off. It runs in the background, also when you close this page, and the dial can be turned "
            "as soon as the first strengths are there."
        )
        start_button("Measure the dial", lambda: start_sweep(line), key="measure the dial")


def _dial(line: Line, found: Sweep) -> None:
    with errors_as_sentences():  # here too, because a fragment runs outside of the page's own
        known = [p.strength for p in found.points if p.measured.figures is not None and p.strength is not None]
        strength = _turn(known)
        here = figures_at(found, strength)
        assert here is not None  # the dial stops only where there are figures
        _verdict(here, strength)
        save_form(line, strength)
        if strength == 1:  # evidence names an encoder by its digest, which a strength has once it is saved
            evidence_offer(evidence_of_measured(bench_of(line), line.after))
        left, right = st.columns(2, gap="large")
        with left:
            st.plotly_chart(
                dial.dial_figure(found.points, strength, dark=is_dark()), key="dial course", theme=None, config=CONFIG
            )
            st.caption(dial.how_to_read(here.audit.mode == "image-text"))
        with right:
            _pareto(found, strength)
        _pictures(line, found, strength)


def _turn(known: list[float]) -> float:
    names = {f"{strength:g}": strength for strength in known}
    say_unknown(STRENGTH, names, "the strength")
    if st.session_state.get(STRENGTH) not in names:
        st.session_state[STRENGTH] = min(names, key=lambda name: abs(names[name] - 1))
    if len(names) == 1:
        return known[0]
    chosen = st.select_slider(
        "Strength",
        list(names),
        key=STRENGTH,
        help="0 is the original, 1 the unlearned encoder, beyond 1 the same way goes on.",
        bind="query-params",
    )
    return names[str(chosen)]


def _verdict(here: Figures, strength: float) -> None:
    look = LOOKS[here.audit.verdict]
    effect = here.audit.findings["trace"].effect
    with st.container(border=True, key="dial-verdict"):
        st.markdown(f"### :{look.colour}[:material/{look.icon}: {look.word}] at strength {strength:g}")
        st.markdown(f"{plain(VERDICT_MEANING[here.audit.verdict])} {plain(here.audit.rule)}")
        with st.container(horizontal=True):
            st.metric(
                "Above never-seen",
                two_decimals(effect.value),
                help=f"95 % interval {two_decimals(effect.low)} to {two_decimals(effect.high)}, in units of the "
                "controls' spread; 0 is what never-seen pictures do.",
            )
            partner = "caption" if here.audit.mode == "image-text" else "views"
            for label, one in (
                ("Forget set found", here.forget),
                ("Retained found", here.retain),
                ("Held-out found", here.held_out),
            ):
                st.metric(
                    label,
                    f"{one.top1:.0%}",
                    help=f"Share of {one.count:,} pictures whose own {partner} is the nearest among as many. Mean "
                    f"similarity {two_decimals(one.positive)}; uniformity {two_decimals(one.uniformity)}, where lower "
                    "means spread more evenly and 0 that all are alike.",
                )
        st.caption(
            f"{here.audit.detectability.meaning} Probes are made before a strength is called forgotten; once saved, "
            "*Check my pictures* and `muc audit` make them for every verdict, and an evidence pack of it."
        )


def _pareto(found: Sweep, strength: float) -> None:
    measures: dict[str, pareto.Utility] = {"retain": "retain", "held_out": "held_out"}
    utility = linked_state(UTILITY, measures, first="retain", what="the use")
    st.plotly_chart(
        pareto.pareto_figure(found.points, found.others, strength, utility, dark=is_dark()),
        key="pareto",
        theme=None,
        config=CONFIG,
    )
    st.segmented_control(
        "Useful for",
        list(measures),
        format_func={"retain": "Retained pictures", "held_out": "Held-out pictures"}.__getitem__,
        key=UTILITY,
        required=True,
        persist_state="session",
    )
    st.caption(pareto.HOW_TO_READ)


def _pictures(line: Line, found: Sweep, strength: float) -> None:
    comparison = comparison_at(line, found, strength)
    if comparison is None:
        st.info("Pictures are compared with the original once strength 0 is measured.", icon=":material/info:")
        return
    scales = dial_scales(found)
    st.plotly_chart(
        bars.before_after_bars(
            comparison,
            thumbnails(found.material.forget),
            dark=is_dark(),
            whose=bars.FORGET,
            rows=scales.rows,
            limits=scales.similarity,
            wrap=dial.WRAP,
        ),
        key="dial bars",
        theme=None,
        config=CONFIG,
    )
    st.caption(f"Shown are the {len(scales.rows)} pictures that the original knew best. {bars.HOW_TO_READ}")
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(
            matrix_chart(_gap(comparison, scales.gap), dark=is_dark()), key="dial gap", theme=None, config=CONFIG
        )
    with right:
        partner = "caption" if comparison.mode == "image-text" else "other picture"
        st.markdown("**What the matrix shows**")
        st.markdown(
            f"What each picture (row) lost with each {partner} (column) from strength 0 to here; the diagonal is each "
            f"with its own. One scale for all strengths. {comparison.after.picture.note}"
        )
        st.markdown("**What a strength is**")
        st.markdown(WHAT_IT_IS)


def _gap(comparison: Comparison, limit: float) -> Panel:
    texts = dict(zip(comparison.ids, comparison.texts, strict=True))
    names = [texts[item] or item for item in comparison.gap.ids]
    before, after = (round(one.summary.positive_mean, 2) for one in (comparison.before, comparison.after))
    return Panel(
        values=comparison.gap.matrix,
        title=f"Gap: {two_decimals(before - after)} lost on the diagonal",
        row_names=names,
        column_names=names,
        row_axis="pictures",
        column_axis="captions" if comparison.mode == "image-text" else "pictures, other copies",
        limits=(-limit, limit),
        is_gap=True,
    )
