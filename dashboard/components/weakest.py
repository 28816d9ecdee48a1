"""The weakest strength at which no trace is found: over the dial, or over real runs."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st
from pydantic import JsonValue

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from dashboard.charts.style import two_decimals
from dashboard.components.dial import STRENGTH, pick_line
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.links import linked_number, linked_state, say_unknown
from dashboard.components.settings_form import label
from dashboard.components.uploads import plain
from dashboard.services import workspace
from dashboard.services.evidence import evidence_of_measured
from dashboard.services.tune import (
    Line,
    bench_of,
    forget_spec,
    newest_job,
    search_of,
    start_weakest_run,
    start_weakest_strength,
)
from muc_core.encoders.manifest import EncoderManifest
from muc_core.evaluation.weakest import Search, Trial
from muc_core.jobs import Job
from muc_core.jobs.presets import suited_settings
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.weakest_run import WeakestRunSettings, strengths_of
from muc_core.unlearning.method import METHODS

DIAL, RUNS = "Over the dial", "Over real runs"
WAY = "search"

HOW = {
    DIAL: "Mixes the weights of the two encoders and audits each mixture: minutes and no training, but a mixture is "
    "an encoder that no training run ever produced.",
    RUNS: "Unlearns anew with each value that it tries and audits the result: as long as that many runs, but every "
    "trial is a real unlearned encoder, and the answer is a setting you can use again.",
}
_LOWEST = 1e-6
_ICONS = {
    "trace left": ":material/visibility: trace left",
    "no trace found": ":material/check_circle: no trace found",
    "pushed below": ":material/arrow_cool_down: pushed below never-seen",
    "cannot tell": ":material/help: cannot tell",
}


def weakest_view() -> None:
    """Both ways, what each found, and what can be done with it."""
    line = pick_line()
    say_unknown(WAY, (DIAL, RUNS), "the search")
    way = st.segmented_control(
        "Search",
        [DIAL, RUNS],
        default=DIAL,
        key=WAY,
        required=True,
        bind="query-params",
    )
    st.caption(HOW[str(way)])
    if way == RUNS:
        _over_runs(line)
    else:
        _over_the_dial(line)
    st.caption(
        "Only *no trace found* passes. Where the audit cannot tell, it has not found that nothing is left. Encoders "
        "that would pass are probed, too: do their answers to changed copies and in other company fit?"
    )


def _over_the_dial(line: Line) -> None:
    job = newest_job("weakest_strength", before=line.before, after=line.after)
    if job is not None and job.active:
        follow_job(job, "Searching the dial")
        return
    how_it_ended(job, "The search", "Strengths that were measured are kept; start it again and it goes on from there.")
    if job is not None and job.state == "done":
        found = _result(job, "strength")
        if found.found is not None:
            st.button(
                "Show it on the dial",
                icon=":material/tune:",
                key="show on the dial",
                on_click=_show_on_the_dial,
                args=(found.found.value,),
                help="The dial stops at measured strengths; the nearest of them is shown.",
            )
    start_button(
        "Search the dial" if job is None else "Search again",
        lambda: start_weakest_strength(line),
        key="search the dial",
    )


def _over_runs(line: Line) -> None:
    manifest = workspace().encoder(line.after).manifest
    job = _newest_run_search(line)
    if job is not None and job.active:
        follow_job(job, "Unlearning again and again")
        return
    how_it_ended(job, "The search", "Finished trials are kept as encoders; start it again and none is made twice.")
    if job is not None and job.state == "done":
        found, encoders = _result(job, label(str(job.settings["setting"]))), job.result.get("trials")
        if found.found is not None and isinstance(encoders, dict):
            _evidence(line, str(encoders[f"{found.found.value:g}"]))
    settings = _run_settings(line, manifest)
    if settings is not None:
        start_button("Search over runs", lambda: start_weakest_run(settings), key="search over runs")


def _evidence(line: Line, encoder: str) -> None:
    """Evidence of the audit of the encoder that was found, unless it was deleted since."""
    if any(record.manifest.name == encoder for record in workspace().encoders()):
        evidence_offer(evidence_of_measured(bench_of(Line(line.before, encoder)), encoder))


def _run_settings(line: Line, manifest: EncoderManifest) -> WeakestRunSettings | None:
    method = METHODS.get(manifest.method) if manifest.method in METHODS.names() else None
    known = strengths_of(method) if method is not None else ()
    if method is None or not known:
        st.info(
            f"{plain(method.title if method else manifest.name)} has no strength of its own to search over, such as "
            "alpha or beta; search the dial, or choose an encoder made by another method.",
            icon=":material/info:",
        )
        return None
    for_setting, for_low, for_high, for_count = st.columns(4)
    first = "beta" if "beta" in known else known[0]
    with for_setting:
        linked_state("search setting", {name: name for name in known}, first=first, what="the setting")
        setting = str(
            st.selectbox(
                "Setting to turn",
                known,
                format_func=label,
                key="search setting",
                help="All other settings stay as those of the unlearned encoder.",
                persist_state="session",
            )
        )
    value = manifest.settings.get(setting)
    middle = float(value) if isinstance(value, int | float) and value > 0 else 1.0
    with for_low:
        low = _end("Weakest", f"low {setting}", middle / 4)
    with for_high:
        high = _end("Strongest", f"high {setting}", middle * 4)
    with for_count:
        linked_number("search halvings", "Halvings", first=3, low=1, high=8)
        halvings = int(
            st.number_input(
                "Halvings",
                1,
                8,
                key="search halvings",
                help="Each is a run, besides those at both ends: 3 halvings are up to 5 runs.",
                persist_state="session",
            )
        )
    if low >= high:
        st.markdown(f":red[:material/error: Weakest must lie below Strongest, not at {low:g} with {high:g} above it.]")
        return None
    took = manifest.run_time_s
    st.caption(
        f"Up to {halvings + 2} runs, each kept as an encoder {plain(line.after)}-{setting.replace('_', '-')}-VALUE. "
        + (
            f"The run of {plain(line.after)} trained for {took:,.0f} s where it was made."
            if took
            else "How long one takes is not known."
        )
    )
    asked = {name: given for name, given in manifest.settings.items() if name in method.settings.model_fields}
    suited = suited_settings(method, workspace().encoder(line.before).manifest)
    job = UnlearnJob(
        method=method.name,
        original=line.before,
        forget=forget_spec(line),
        name=line.after,
        settings={**suited().model_dump(mode="json"), **asked},
        seed=manifest.seeds.get("run", 0),
    )
    return WeakestRunSettings(job=job, setting=setting, low=low, high=high, halvings=halvings)


def _end(title: str, key: str, first: float) -> float:
    linked_number(key, title, first=first, low=_LOWEST)
    return float(st.number_input(title, min_value=_LOWEST, format="%.4g", key=key, persist_state="session"))


def _newest_run_search(line: Line) -> Job | None:
    job = newest_job("weakest_run")
    asked = job.settings.get("job") if job is not None else None
    return job if isinstance(asked, dict) and asked.get("name") == line.after else None


def _result(job: Job, name: str) -> Search:
    found, encoders = search_of(job), job.result.get("trials")
    icons = {"found": ":material/check_circle:", "cannot tell": ":material/help:"}
    show = st.success if found.outcome == "found" else st.info if found.outcome == "cannot tell" else st.warning
    show(plain(found.explain(name.lower())), icon=icons.get(found.outcome, ":material/block:"))
    names: Mapping[str, JsonValue] = encoders if isinstance(encoders, dict) else {}
    rows = [_row(trial, name, names.get(f"{trial.value:g}")) for trial in found.trials]
    with st.expander(f"The {len(rows)} audits that it rests on"):
        st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    if found.found is not None and not job.result.get("probed"):
        st.warning("What passed in this search was not probed. Search again, and it is.", icon=":material/warning:")
    return found


def _row(trial: Trial, name: str, encoder: JsonValue) -> dict[str, str]:
    row = {
        name.capitalize(): f"{trial.value:.3g}",
        "Above never-seen": two_decimals(trial.effect),
        "Answer": _ICONS[trial.answer],
    }
    return row if encoder is None else {**row, "Encoder": plain(str(encoder))}


def _show_on_the_dial(value: float) -> None:
    st.session_state["view"] = "Strength dial"
    nearest = round(value * 8) / 8
    st.session_state[STRENGTH] = f"{nearest:g}"
