"""How long a run will take, before it is started: from measured runs, or that it is not known."""

import streamlit as st

from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.job_view import duration
from dashboard.services.tune import estimate, newest_job, start_timing
from muc_core.data.splits import DataSplit
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tuning.run_time import Estimate
from muc_core.unlearning.settings import TrainingSettings


def run_estimate(job: UnlearnJob, split: DataSplit, settings: TrainingSettings) -> None:
    """A sentence, and where nothing is known a button that times a few steps."""
    found = estimate(job.original, job.method, split, settings)
    if found is not None:
        st.caption(f":material/timer: {say_estimate(found)}")
        return
    timing = newest_job("time_run")
    if timing is not None and timing.active:
        follow_job(timing, "Timing a few steps")
        return
    how_it_ended(timing, "The timing", "Try again, or start the run without it.")
    with st.container(horizontal=True, vertical_alignment="center", key="estimate"):
        st.caption(
            ":material/timer: How long it takes is not known: nothing of this architecture has been unlearned here yet."
        )
        start_button("Time a few steps", lambda: start_timing(job), key="time a few steps", main=False)


def say_estimate(found: Estimate) -> str:
    """An estimate in a sentence, with what it rests on."""
    latest = "the latest run" if found.runs == 1 else f"the latest {found.runs} runs"
    source = {
        "the same method": f"{latest} of this method and architecture here",
        "a timing": "a few steps that were timed here",
        "other methods": f"{latest} of other methods with this architecture here",
    }[found.source]
    low, high = duration(found.low), duration(found.high)
    spread = "" if low == high else f" ({low} to {high})"
    return f"About {duration(found.seconds)}{spread}, measured on {source}."
