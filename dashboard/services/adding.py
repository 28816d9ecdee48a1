"""Encoders from elsewhere: what a file is recognised as, adding and checking it, and what that sends."""

from pathlib import Path

import open_clip
import streamlit as st

from dashboard.services.encoders import VIEWS, workspace
from muc_core.data.demo import load_demo
from muc_core.encoders.probes import PICTURE_BATCHES, TEXT_BATCHES
from muc_core.encoders.remote.connect import RemoteInfo
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings, read_settings
from muc_core.jobs.tasks.check_encoder import check
from muc_core.jobs.tasks.import_encoder import ImportEncoderSettings, add, look
from muc_core.progress import SILENT
from muc_core.workspace import EncoderRecord
from muc_core.workspace.importing import RecognitionReport


def recognised(source: ImportEncoderSettings) -> RecognitionReport:
    """What a file of moderate size is recognised as. Raises `MucError`."""
    status = Path(source.source).stat()
    return _recognised(source.model_dump_json(), status.st_mtime_ns, status.st_size, _source=source)


@st.cache_data(show_spinner="Looking at the file ...", max_entries=16)
def _recognised(asked: str, changed: int, size: int, *, _source: ImportEncoderSettings) -> RecognitionReport:
    return look(_source)


def add_file(settings: ImportEncoderSettings) -> None:
    """Add an encoder from a file of moderate size. Raises `MucError`; nothing of it stays then."""
    add(settings, workspace(), SILENT)


@st.cache_data(show_spinner=False)
def open_clip_names() -> list[str]:
    """Models of open_clip with the weights that it knows for them, as `ARCHITECTURE:WEIGHTS`."""
    return [f"{architecture}:{weights}" for architecture, weights in open_clip.list_pretrained()]


def check_now(name: str) -> None:
    """Check a small encoder at once; what is found is kept, see `read_check`. Raises `MucError`."""
    check(workspace(), name)


def cost_of_check(record: EncoderRecord) -> str:
    """What checking an encoder behind a URL sends, a sentence. Raises `MucError`."""
    settings = read_settings(record.folder / SETTINGS_FILE)
    batches = [*PICTURE_BATCHES, *(TEXT_BATCHES if settings.has_text else ())]
    requests = sum(-(-batch // settings.items_a_request) for batch in batches)
    texts = f" and {sum(TEXT_BATCHES)} texts" if settings.has_text else ""
    return (
        f"A check sends {sum(PICTURE_BATCHES)} pictures{texts} to {settings.endpoint} in {requests} requests, also "
        "those that were sent before."
    )


def cost_of_asking(settings: RemoteSettings, info: RemoteInfo) -> str:
    """What the demo's audit would send to an encoder behind a URL, a sentence: before anything is."""
    count = len(load_demo())
    batches = -(-count // settings.items_a_request)
    if info.has_text:
        what, requests = f"all {count:,} pictures of the demo and their captions", 2 * batches
    else:
        what, requests = (
            f"{VIEWS} views of all {count:,} pictures of the demo",
            -(-VIEWS * count // settings.items_a_request),
        )
    return (
        f"What it costs: up to {settings.items_a_request} pictures go into one request, so {what} would take "
        f"{requests:,}. Every page says what it would send, and asks first."
    )
