"""What the start page lists: ways in, encoders in hand, the last audits, running jobs."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.components.job_view import describe, say
from dashboard.components.uploads import plain
from dashboard.components.words import moment
from dashboard.services import encoder_records, saved_audits
from dashboard.services.jobs import active_jobs
from dashboard.services.people import current_user
from muc_core.workspace import EncoderRecord

LAST_AUDITS = 5


@dataclass(frozen=True)
class WayIn:
    """A thing that somebody wants to do, and the page where it begins."""

    page: str
    title: str
    what: str
    icon: str
    button: str


WAYS_IN = (
    WayIn(
        "check_my_pictures",
        "Were my pictures forgotten?",
        "You own pictures that an encoder was to forget. Upload them and get a verdict, picture by picture.",
        "add_photo_alternate",
        "Check my pictures",
    ),
    WayIn(
        "tune",
        "Make an encoder forget",
        "You run the encoder. Choose what it must forget and how strongly, and see at once what that costs.",
        "tune",
        "Tune",
    ),
    WayIn(
        "present",
        "Show what happened",
        "You explain the result to others. Tell it as a story in five steps, without any mathematics.",
        "slideshow",
        "Present",
    ),
)


def ways_in() -> None:
    """A card for each that is for the user, side by side."""
    ways = [way for way in WAYS_IN if current_user().sees(way.page)]
    for column, way in zip(st.columns(len(ways)), ways, strict=True):
        with column.container(border=True, height="stretch", key=f"way-{way.page}"):
            st.markdown(f"#### :material/{way.icon}: {way.title}")
            st.markdown(way.what)
            st.page_link(f"app_pages/{way.page}.py", label=way.button, icon=":material/arrow_forward:")


def encoders_in_hand() -> None:
    """How many there are, by original."""
    records = encoder_records()
    st.subheader("Encoders in hand", anchor=False)
    if not records:
        st.info(
            "There is no encoder yet. Run `muc demo build` in a terminal to train the demo's, `muc train` to train one "
            "on your own pictures, or add one on the page Encoders.",
            icon=":material/info:",
        )
    else:
        families = _families(records)
        rows = [
            {"Original": plain(original), "Made from it": plain(", ".join(made)) or "nothing yet"}
            for original, made in families.items()
        ]
        st.table(pd.DataFrame(rows), border="horizontal", hide_index=True)
    if current_user().sees("encoders"):
        st.page_link("app_pages/encoders.py", label="Add and check encoders", icon=":material/deployed_code:")


def _families(records: Sequence[EncoderRecord]) -> dict[str, list[str]]:
    """Names of what was made from each original; an encoder whose original is not here stands for itself."""
    names = {record.manifest.name for record in records}
    found: dict[str, list[str]] = {
        record.manifest.name: [] for record in records if record.manifest.original not in names
    }
    for record in records:
        root = _root(record.manifest.name, records)
        if root != record.manifest.name:
            found[root].append(record.manifest.name)
    return found


def _root(name: str, records: Sequence[EncoderRecord]) -> str:
    original = {record.manifest.name: record.manifest.original for record in records}
    seen = {name}
    while (parent := original[name]) in original and parent not in seen:
        seen.add(name := str(parent))
    return name


def last_audits() -> None:
    """The newest kept audits; the page that shows them opens the chosen one."""
    if not current_user().sees("check_my_pictures"):
        return
    records = saved_audits()[:LAST_AUDITS]
    st.subheader("Last audits", anchor=False)
    if not records:
        st.caption("None has been kept yet. Long audits are kept; short ones stay on the page that made them.")
        return
    for record in records:
        manifest = record.manifest
        st.markdown(plain(f"{moment(manifest.created)} · {manifest.title}"))
    st.page_link("app_pages/check_my_pictures.py", label="Open them on Check my pictures", icon=":material/history:")


def any_running() -> bool:
    """Whether a job runs or waits."""
    return bool(active_jobs())


def running_jobs() -> None:
    """What runs or waits."""
    if not current_user().sees("jobs"):
        return
    jobs = active_jobs()
    st.subheader("Running jobs", anchor=False)
    if not jobs:
        st.caption("Nothing is running.")
    for job in jobs:
        st.progress(job.share, text=plain(f"{describe(job)}. {say(job)}"))
    st.page_link("app_pages/jobs.py", label="All jobs", icon=":material/list_alt:")
