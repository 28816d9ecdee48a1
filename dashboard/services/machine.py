"""What the program runs on and where it keeps things, for the page Settings."""

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import streamlit as st
import torch

from dashboard.services import origin_of_key, workspace
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.encoders.remote.key import read_key
from muc_core.encoders.remote.settings import SETTINGS_FILE, read_settings
from muc_core.errors import MucError
from muc_core.jobs.launcher import worker_threads
from muc_core.workspace.evidence import packs_folder

PACKAGES = ("muc-audit", "torch", "torchvision", "open_clip_torch", "scikit-learn", "umap-learn", "streamlit")


@dataclass(frozen=True)
class Place:
    """A part of the workspace: what it holds, where, and bytes on the disk."""

    what: str
    path: Path
    size: int


@dataclass(frozen=True)
class Storage:
    """The workspace on the disk, and where its index is; sizes in bytes."""

    home: Path
    index: str
    places: tuple[Place, ...]
    free: int


@st.cache_data(show_spinner="Measuring the workspace ...", ttl=30, max_entries=4)
def _storage(home: str) -> Storage:
    here = workspace()
    named = (
        ("Encoders", here.encoders_folder),
        ("Runs with their checkpoints", here.runs_folder),
        ("Audits", here.audits_folder),
        ("Evidence packs", packs_folder(here)),
        ("Embedding maps", here.maps_folder),
        ("Logs of jobs", here.jobs_folder),
    )
    return Storage(
        here.home,
        f"the database {here.database.name}" if here.database.shared else here.database.name,
        tuple(Place(what, path, _size(path)) for what, path in named),
        shutil.disk_usage(here.home).free,
    )


def storage() -> Storage:
    """Where things are kept and how much they take, at most half a minute old."""
    return _storage(str(workspace().home))


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return total


def computing() -> dict[str, str]:
    """What the numbers are computed with, in words."""
    if torch.cuda.is_available():
        device = f"{torch.cuda.get_device_name()} (CUDA)"
    elif torch.backends.mps.is_available():
        device = "Apple GPU"
    else:
        device = "CPU; no GPU was found"
    return {
        "Device": device,
        "Processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "Threads of a job": f"{worker_threads()}; the pages keep the rest",
        "Threads of a page": str(torch.get_num_threads()),
        "Python": platform.python_version(),
    }


@st.cache_data(show_spinner=False)
def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    return {name: version(name) for name in PACKAGES}


@dataclass(frozen=True)
class KeyOrigin:
    """An encoder behind a URL and where its key comes from; `fault` says why it cannot be read."""

    encoder: str
    origin: str
    fault: str | None


def key_origins() -> list[KeyOrigin]:
    """Of all encoders behind URLs. The keys themselves are not returned."""
    found = []
    for record in workspace().encoders():
        if record.manifest.family != REMOTE:
            continue
        settings = read_settings(record.folder / SETTINGS_FILE)
        fault = None
        try:
            read_key(settings)
        except MucError as error:
            fault = str(error)
        found.append(KeyOrigin(record.manifest.name, origin_of_key(settings) or "no key", fault))
    return found
