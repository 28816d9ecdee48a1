"""Making a stress test by a job: its cost before the start, its progress, and what was found, now or earlier."""

import streamlit as st

from dashboard.components.choices import Pair
from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.job_view import describe, duration
from dashboard.components.links import linked_state
from dashboard.components.stress_form import stress_form
from dashboard.components.stress_result import show_stress
from dashboard.components.words import plain, sentence
from dashboard.services.stress import (
    StressForecast,
    forecast,
    start_stress,
    stress_jobs,
    stress_of,
    stresses,
)
from muc_core.errors import MucError
from muc_core.evaluation.stress import ResidualStress
from muc_core.jobs.stress_plan import ResidualStressSettings

EARLIER = "earlier stress"


def stress_section(pair: Pair) -> str | None:
    """The form, and what was found with these settings or the offer to look for it. Key of the result shown."""
    settings = stress_form(pair)
    try:
        expected = forecast(settings)
    except MucError as refusal:
        st.info(f"**This cannot be tested.** {plain(sentence(str(refusal)))}", icon=":material/info:")
        return None
    found = stress_of(expected.key)
    if found is not None:
        show_stress(found, key="now")
        return found.key
    _offer(settings, expected)
    return None


def _offer(settings: ResidualStressSettings, expected: StressForecast) -> None:
    """What the test does and costs, and the button that starts it; nothing while it runs."""
    asked = settings.model_dump(mode="json")
    job = next((job for job in stress_jobs() if job.settings == asked), None)
    if job is not None and job.active:
        return  # its progress is shown with that of the others
    how_it_ended(job, "The test", "Nothing was kept of it.")
    with st.container(border=True, key="stress-offer"):
        st.markdown(f"**{plain(_what(expected))}**")
        st.markdown(plain(_cost(settings, expected)))
        if settings.retrained is None:
            st.caption(
                ":material/info: Without Retrain it is not known what pictures would do that the encoder truly never "
                "saw, so the result says less."
            )
        start_button("Start the stress test", lambda: start_stress(settings), key="start stress")


def _what(expected: StressForecast) -> str:
    return (
        f"{expected.n_items:,} pictures that were to be forgotten against {expected.n_controls:,} that were never "
        "trained on."
    )


def _cost(settings: ResidualStressSettings, expected: StressForecast) -> str:
    cost = expected.cost
    copies = " and ".join(name for name in (settings.after, settings.retrained) if name is not None)
    views = f", each in {cost.views} views" if cost.views > 1 else ""
    took = (
        "How long it takes depends on the size of the encoder; a large one may take hours."
        if expected.seconds is None
        else f"About {duration(expected.seconds)} on this machine when nothing else runs."
    )
    return (
        f"It makes {cost.trainings:,} trainings of {cost.steps:,} steps on copies of {copies}, and computes "
        f"{cost.looked:,} vectors{views}. {took} It runs in the background, also when you close this page; no encoder "
        "is changed."
    )


def running_stresses() -> None:
    """Progress of all stress tests that are queued or running, whoever started them."""
    for job in stress_jobs():
        if job.active:
            with st.container(border=True, key=f"stress-{job.id}"):
                follow_job(job, describe(job))


def earlier_stresses(*, but: str | None) -> None:
    """Results that were kept, of the page and of the command line, without the one shown already."""
    known = {found.key: found for found in stresses() if found.key != but}
    if not known:
        if but is None and not stress_jobs():
            st.caption("No stress test has been made yet. What you start goes on when you close this page.")
        return
    st.subheader("Earlier stress tests", anchor=False)
    linked_state(EARLIER, {key: key for key in known}, first=None, what="the stress test")
    chosen = st.selectbox(
        "Earlier stress tests",
        list(known),
        format_func=lambda key: f"{known[key].made:%Y-%m-%d %H:%M:%S} UTC · {label(known[key].result)}",
        label_visibility="collapsed",
        key=EARLIER,
        index=None,
        placeholder="Choose one to see what it found",
        persist_state="session",
    )
    if chosen is not None:
        show_stress(known[chosen], key="earlier")


def label(result: ResidualStress) -> str:
    """A result in a line: the pair, the pictures, the verdict."""
    names = result.encoders
    return f"{names['before']} → {names['after']} · {result.forget} · {result.verdict}"
