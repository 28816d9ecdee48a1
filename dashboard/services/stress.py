"""Residual stress for the pages: what it will cost, what was found, and the jobs that do it."""

import time
from dataclasses import dataclass

import streamlit as st
import torch

from dashboard.services import LARGE_BYTES, encoder, size_of, workspace
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.stress_plan import ResidualStressSettings, StressCost, plan_stress
from muc_core.jobs.tasks.residual_stress import KIND, SavedStress, saved_stresses

_TIMED_PICTURES = 32


@dataclass(frozen=True)
class StressForecast:
    """What a stress will look at and cost.

    Attributes:
        key: of its result.
        seconds: roughly, on this machine; None for encoders that are too large to be tried out for it.
    """

    key: str
    n_items: int
    n_controls: int
    cost: StressCost
    seconds: float | None


def forecast(settings: ResidualStressSettings) -> StressForecast:
    """What a stress with these settings will cost. Raises `MucError` when it cannot be made."""
    names = [name for name in (settings.before, settings.after, settings.retrained) if name is not None]
    digests = [workspace().encoder(name).manifest.content_digest for name in names]
    return _forecast("/".join([settings.model_dump_json(), *digests]), _settings=settings)


@st.cache_data(show_spinner="Looking at what there is to do ...", max_entries=32, ttl=60)
def _forecast(key: str, *, _settings: ResidualStressSettings) -> StressForecast:
    plan = plan_stress(workspace(), _settings)
    record = workspace().encoder(_settings.after)
    seconds = None
    if size_of(record) <= LARGE_BYTES:
        seconds = plan.cost.seconds(_seconds_a_picture(record.manifest.content_digest, _settings.after))
    return StressForecast(plan.key, len(plan.material.owner), len(plan.material.controls), plan.cost, seconds)


@st.cache_data(show_spinner=False, max_entries=64)
def _seconds_a_picture(weights_digest: str, name: str) -> float:
    """How long an encoder takes for one picture here; the first batch, which warms up, does not count."""
    asked = encoder(name)
    pixels = torch.zeros(_TIMED_PICTURES, 3, asked.image_size, asked.image_size, dtype=torch.uint8)
    asked.encode_images(pixels)
    start = time.perf_counter()
    asked.encode_images(pixels)
    return (time.perf_counter() - start) / _TIMED_PICTURES


def stresses() -> list[SavedStress]:
    """All results that were kept, newest first, also those of the command line."""
    return saved_stresses(workspace())


def stress_of(key: str) -> SavedStress | None:
    """The result with a key, when it is there."""
    return next((found for found in stresses() if found.key == key), None)


def what_came_back(before: str, after: str) -> SavedStress | None:
    """The newest stress of two encoders, as they are now, that brought pictures back. Raises `UnknownName`."""
    before_digest, after_digest = (workspace().encoder(name).manifest.content_digest for name in (before, after))
    for found in stresses():
        digests = found.result.digests
        if (digests["before"], digests["after"]) == (before_digest, after_digest) and found.result.verdict in (
            "hidden, not forgotten",
            "still there",
        ):
            return found
    return None


def start_stress(settings: ResidualStressSettings) -> Job:
    """Queue the stress; pressing twice does not make two. Raises `MucError`."""
    return submit(workspace(), KIND, settings, unique=True)


def stress_jobs() -> list[Job]:
    """Jobs that stress, newest first."""
    return [job for job in JobTable(workspace()).jobs(limit=50) if job.kind == KIND]
