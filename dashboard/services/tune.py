"""What the page Tune asks: the dial's figures as far as they are measured, searches, run times, and saving a strength.

Figures lie in the workspace, a file for each encoder; they are read again only when a file was added or changed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st
from pydantic import BaseModel

from dashboard.charts.heatmaps import gap_limit
from dashboard.services import has_text, workspace
from muc_core.comparison import Comparison
from muc_core.data.splits import DataSplit
from muc_core.encoders.manifest import DataReference
from muc_core.errors import MucError
from muc_core.evaluation.weakest import Search
from muc_core.jobs import Job, JobTable, cancel, submit
from muc_core.jobs.tasks import time_run
from muc_core.jobs.tasks.strength_sweep import Point, StrengthSweepSettings, Sweep, collect, open_bench, subjects_of
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tasks.weakest_run import WeakestRunSettings
from muc_core.jobs.tasks.weakest_strength import WeakestStrengthSettings
from muc_core.jobs.training import run_of_job
from muc_core.jobs.tuning.bench import Bench, Subject, check_pair, measured_path, reference_of
from muc_core.jobs.tuning.course import Course, read_course
from muc_core.jobs.tuning.keep import keep_checkpoint, save_strength
from muc_core.jobs.tuning.measure import Figures, Material, open_material
from muc_core.jobs.tuning.run_time import Estimate, estimate_run
from muc_core.jobs.tuning.side_by_side import side_by_side
from muc_core.unlearning.settings import TrainingSettings
from muc_core.workspace import EncoderRecord
from muc_core.workspace.files import write_file, writing

Kind = Literal["strength_sweep", "weakest_strength", "weakest_run", "time_run"]


@dataclass(frozen=True)
class Line:
    """An original encoder and one that was unlearned from it, by name: the two ends of a dial."""

    before: str
    after: str

    @property
    def sweep(self) -> StrengthSweepSettings:
        return StrengthSweepSettings(before=self.before, after=self.after)


def lines() -> list[Line]:
    """The pairs that have a dial, in the order of the encoders."""
    manifests = {record.manifest.name: record.manifest for record in workspace().encoders()}
    found = []
    for name, manifest in manifests.items():
        original = manifests.get(manifest.original or "")
        if original is None or manifest.data is None or "strength" in manifest.settings:
            continue
        try:
            check_pair(original, manifest)
        except MucError:
            continue
        found.append(Line(original.name, name))
    return found


def sweep_of(line: Line) -> Sweep:
    """What is measured of a line so far. Raises `MucError` when it cannot be measured at all."""
    bench = bench_of(line)
    state = measured_state(bench, [subject for _, subject in subjects_of(bench, line.sweep)])
    return _sweep(state, _bench=bench, _settings=line.sweep)


def measured_state(bench: Bench, subjects: Sequence[Subject]) -> str:
    """Changes when the figures of one of the subjects are added or written anew."""
    states = []
    for subject in subjects:
        key = bench.key(subject)
        try:
            changed = measured_path(workspace(), key).stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        states.append(f"{subject.encoder.manifest.name} {key} {changed}")
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


@st.cache_resource(show_spinner=False, max_entries=8)
def _sweep(state: str, *, _bench: Bench, _settings: StrengthSweepSettings) -> Sweep:
    return collect(_bench, subjects_of(_bench, _settings))


def bench_of(line: Line) -> Bench:
    """Where the encoders of a line are measured. Raises `MucError` as `sweep_of`."""
    return open_bench(workspace(), line.sweep, material=material_of(line.before, line.after))


def material_of(original: str, unlearned: str) -> Material:
    """The pictures that an original and what was made from it are measured with. Raises `MucError`."""
    reference = reference_of(workspace().encoder(unlearned).manifest)
    key = hashlib.sha256(
        f"{reference.spec}/{reference.digest}/{reference.split.model_dump_json()}".encode()
    ).hexdigest()
    return _material(key, has_text(workspace().encoder(original).manifest), _reference=reference)


@st.cache_resource(show_spinner="Loading the pictures ...", max_entries=4)
def _material(key: str, reads_text: bool, *, _reference: DataReference) -> Material:
    return open_material(_reference, reads_text=reads_text)


def figures_at(found: Sweep, strength: float) -> Figures | None:
    """The figures at a strength; None when it is not measured or could not be."""
    return next((point.measured.figures for point in found.points if point.strength == strength), None)


def comparison_at(line: Line, found: Sweep, strength: float) -> Comparison | None:
    """The original beside the encoder at a strength; None when either has no figures."""
    before, after = figures_at(found, 0.0), figures_at(found, strength)
    if before is None or after is None:
        return None
    original, unlearned = (workspace().encoder(name).manifest for name in (line.before, line.after))
    return side_by_side(original, before, unlearned, after, found.material)


@dataclass(frozen=True)
class DialScales:
    """What stays the same while the dial is turned.

    Attributes:
        rows: positions of the forget pictures that are drawn: those the original knew best.
        similarity: limits that hold every similarity of these pictures and of the controls.
        gap: limit of the gap's scale, either way.
    """

    rows: tuple[int, ...]
    similarity: tuple[float, float]
    gap: float


SHOWN_PICTURES = 12


def dial_scales(found: Sweep) -> DialScales:
    """The scales of a dial over all strengths measured so far."""
    return _scales(found.key, _found=found)


@st.cache_resource(show_spinner=False, max_entries=8)
def _scales(key: str, *, _found: Sweep) -> DialScales:
    every = [point.measured.figures for point in _found.points if point.measured.figures is not None]
    before = figures_at(_found, 0.0) or every[0]
    order = np.argsort(-np.array(before.margin), kind="stable")[:SHOWN_PICTURES]
    values = np.concatenate([np.concatenate([one.positive, one.control_positive]) for one in every])
    reach = float(values.max() - min(values.min(), 0))
    low = min(float(values.min()) - 0.04 * reach, 0.0)
    gaps = np.stack([np.array(before.matrix) - np.array(one.matrix) for one in every])
    return DialScales(tuple(int(row) for row in order), (low, float(values.max()) + 0.08 * reach), gap_limit(gaps))


def save_at(line: Line, strength: float, name: str) -> EncoderRecord:
    """Save the encoder at a strength. Raises `MucError`."""
    return save_strength(bench_of(line), workspace().encoder(line.after), strength, name)


def start(kind: Kind, settings: BaseModel) -> Job:
    """Queue a job; the same one again, as from a double click, starts nothing. Raises `MucError`."""
    return submit(workspace(), kind, settings, unique=True)


def start_sweep(line: Line) -> Job:
    return start("strength_sweep", line.sweep)


def start_weakest_strength(line: Line) -> Job:
    return start("weakest_strength", WeakestStrengthSettings(before=line.before, after=line.after))


def start_weakest_run(settings: WeakestRunSettings) -> Job:
    return start("weakest_run", settings)


def start_timing(job: UnlearnJob) -> Job:
    return start("time_run", time_run.TimeRunSettings(job=job))


def forget_spec(line: Line) -> str:
    """What names the forget set of a line for another run. Raises `MucError` when it cannot be written down."""
    original = workspace().encoder(line.before).manifest.data
    split = reference_of(workspace().encoder(line.after).manifest).split
    if original is not None and set(original.split.forget) == set(split.forget):
        return "forget"
    content = "\n".join(sorted(split.forget)).encode()
    path = workspace().home / "cache" / f"forget-{hashlib.sha256(content).hexdigest()[:16]}.txt"
    if not path.exists():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, content)
    return f"ids:{path}"


def newest_job(kind: Kind, **asked: str) -> Job | None:
    """The newest job of a kind whose settings are these."""
    jobs = JobTable(workspace()).jobs(limit=200)
    return next(
        (job for job in jobs if job.kind == kind and all(job.settings.get(name) == asked[name] for name in asked)),
        None,
    )


def search_of(job: Job) -> Search:
    """What a finished search found."""
    return Search.model_validate(job.result["search"])


def estimate(original: str, method: str, split: DataSplit, settings: TrainingSettings) -> Estimate | None:
    """How long a run will take; None when nothing like it was ever measured here."""
    manifest = workspace().encoder(original).manifest
    return estimate_run(
        workspace(),
        family=manifest.family,
        architecture=manifest.architecture,
        method=method,
        split=split,
        settings=settings,
    )


def course_of(job_id: str) -> Course | None:
    """What was seen along the run of a job; None when nobody looked or it has not begun."""
    run = run_of_job(workspace(), job_id)
    return None if run is None else read_course(run)


def can_keep(job: Job) -> bool:
    """Whether the run of a job has a checkpoint to keep, and its name is still free."""
    run = run_of_job(workspace(), job.id)
    taken = {record.manifest.name for record in workspace().encoders()}
    return run is not None and bool(run.checkpoints()) and job.settings.get("name") not in taken


def kept_from(job: Job) -> str | None:
    """Name of the encoder that a checkpoint of the job's run was kept as; None when none was."""
    name = str(job.settings.get("name"))
    manifest = next((r.manifest for r in workspace().encoders() if r.manifest.name == name), None)
    run = None if manifest is None else run_of_job(workspace(), job.id)
    return name if manifest is not None and run is not None and manifest.run == run.manifest.id else None


def stop_and_keep(job: Job) -> EncoderRecord:
    """Cancel the job if it still runs, and keep the latest checkpoint of its run. Raises `MucError`."""
    if job.active:
        cancel(workspace(), job.id)
    run = run_of_job(workspace(), job.id)
    if run is None:
        raise MucError("the run has not begun, so that there is nothing to keep")
    return keep_checkpoint(workspace(), run, str(job.settings["name"]))


def unfinished(points: Sequence[Point]) -> list[str]:
    """Why some of the points have no figures, a sentence each."""
    return [
        f"{'strength ' + format(point.strength, 'g') if point.strength is not None else point.manifest.name}: "
        f"{point.measured.refused}"
        for point in points
        if point.measured.refused
    ]
