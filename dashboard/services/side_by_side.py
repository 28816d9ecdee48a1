"""What the page Compare asks: encoders of one original side by side, as far as they are measured.

Figures lie in the workspace, a file for each encoder; they are read again only when a file was added or changed.
"""

import pandas as pd
import streamlit as st

from dashboard.services import workspace
from dashboard.services.tune import material_of, measured_state
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.tasks.compare import (
    KIND,
    Compared,
    CompareSettings,
    SideBySide,
    candidates,
    collect,
    gap,
    open_bench,
    subjects_of,
)
from muc_core.jobs.tuning.bench import Bench
from muc_core.jobs.tuning.measure import Figures


def comparable(before: str, after: str) -> tuple[str, ...]:
    """Names of what can stand beside `after`. Raises `MucError` as `candidates`."""
    return candidates(workspace(), before, after)


def side_by_side(original: str, encoders: tuple[str, ...]) -> SideBySide:
    """What is known of these encoders. Raises `MucError` as `read_comparison`."""
    settings = CompareSettings(original=original, encoders=encoders)
    bench = bench_of(original, encoders)
    return _side_by_side(measured_state(bench, subjects_of(bench, settings)), _bench=bench, _settings=settings)


def bench_of(original: str, encoders: tuple[str, ...]) -> Bench:
    """Where these encoders are measured. Raises `MucError` as `open_bench`."""
    settings = CompareSettings(original=original, encoders=encoders)
    return open_bench(workspace(), settings, material=material_of(original, encoders[0]))


@st.cache_resource(show_spinner="Reading what was measured ...", max_entries=16)
def _side_by_side(state: str, *, _bench: Bench, _settings: CompareSettings) -> SideBySide:
    return collect(_bench, subjects_of(_bench, _settings))


def compare_job(original: str, encoders: tuple[str, ...]) -> Job | None:
    """The job at work on encoders of this original, be it these or others; otherwise the newest that measured these."""
    wanted = CompareSettings(original=original, encoders=encoders).model_dump(mode="json")
    jobs = [job for job in JobTable(workspace()).jobs() if job.kind == KIND and job.settings["original"] == original]
    return next((job for job in jobs if job.active), next((job for job in jobs if job.settings == wanted), None))


def start_compare(original: str, encoders: tuple[str, ...]) -> Job:
    """Measure in the background; asked twice, it runs once. Raises `MucError`."""
    return submit(workspace(), KIND, CompareSettings(original=original, encoders=encoders), unique=True)


def comparison_table(side: SideBySide) -> pd.DataFrame:
    """A row for each encoder, the original first, exact numbers; empty where there is none."""
    retrained = side.retrained
    reference = None if retrained is None else retrained.figures
    rows = [_row(compared, side.original.figures, reference) for compared in (side.original, *side.encoders)]
    return pd.DataFrame(rows)


def _row(compared: Compared, original: Figures | None, retrained: Figures | None) -> dict[str, object]:
    manifest, found = compared.manifest, compared.figures
    row: dict[str, object] = {
        "encoder": manifest.name,
        "method": manifest.method or "original",
        "run_time_s": manifest.run_time_s,
    }
    if found is None:
        row["verdict"] = "not measured yet" if compared.measured is None else f"no verdict: {compared.measured.refused}"
        return row
    trace = found.audit.findings["trace"]
    return row | {
        "verdict": found.audit.verdict,
        "effect": trace.effect.value,
        "effect_low": trace.effect.low,
        "effect_high": trace.effect.high,
        "gap_to_retrain": None if retrained is None else gap(found, retrained),
        "forget_top1": found.forget.top1,
        "retain_top1": found.retain.top1,
        "held_out_top1": found.held_out.top1,
        "collateral": None if original is None else original.retain.positive - found.retain.positive,
    }
