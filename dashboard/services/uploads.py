"""What a user uploaded: read and kept for the session only, and written for jobs."""

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from dashboard.services.encoders import workspace
from dashboard.services.pictures import draw_thumbnails
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.ingest import Ingest, ingest_files
from muc_core.workspace.files import TEMPORARY, sweep, write_file, writing


def keep_upload(name: str, content: bytes) -> Path:
    """A copy of an uploaded weight file, as jobs read files; it is removed after a day. Raises `MucError`."""
    folder = workspace().uploads_folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        path = folder / f"{TEMPORARY}{hashlib.sha256(content).hexdigest()[:32]}{Path(name).suffix.lower()}"
        if not path.exists():
            write_file(path, content)
    files_for_jobs().add(path)
    return path


@st.cache_resource(show_spinner=False, scope="session")
def files_for_jobs() -> set[Path]:
    """Files that this session's uploads were written to, for jobs."""
    return set()


@dataclass(frozen=True)
class Files:
    """Files that a user uploaded: names and contents, and a digest of both to key caches by."""

    content: tuple[tuple[str, bytes], ...]
    digest: str

    @staticmethod
    def of(content: Iterable[tuple[str, bytes]]) -> "Files":
        files = tuple(content)
        parts = [f"{name!r} {hashlib.sha256(data).hexdigest()}" for name, data in files]
        return Files(files, hashlib.sha256("\n".join(parts).encode()).hexdigest())


def read_files(files: Files, *, guess_captions: bool) -> Ingest:
    """What can be used of uploaded files. Kept for the session only, as all that comes from uploaded pictures."""
    return _read_files(files.digest, guess_captions, _files=files)


@st.cache_resource(show_spinner="Reading your pictures ...", scope="session", max_entries=4)
def _read_files(digest: str, guess_captions: bool, *, _files: Files) -> Ingest:
    return ingest_files(_files.content, name="your pictures", guess_captions=guess_captions)


@st.cache_resource(show_spinner=False, scope="session", max_entries=4)
def with_captions(key: str, captions: tuple[str | None, ...], *, _dataset: ImageTextDataset) -> ImageTextDataset:
    """The same pictures with other captions; `key` stands for the pictures."""
    items = [replace(item, text=text) for item, text in zip(_dataset.items, captions, strict=True)]
    return ImageTextDataset(_dataset.name, items, _dataset.source)


@st.cache_data(show_spinner=False, scope="session", max_entries=4)
def uploaded_thumbnails(key: str, size: int = 64, *, _dataset: ImageTextDataset) -> list[str]:
    """Small data URLs of uploaded pictures, in order; `key` stands for the pictures."""
    return draw_thumbnails(_dataset, size)


def demo_drawings(count: int) -> ImageTextDataset:
    """Some of the drawings that the demo's artist withdrew, the same ones each time."""
    forget = demo_split().forget
    ids = forget if count >= len(forget) else random.Random(0).sample(forget, count)
    return load_demo().subset(ids, name="drawings of the demo")


def let_go() -> None:
    """Forget what this session uploaded."""
    for held in (files_for_jobs, _read_files, with_captions, uploaded_thumbnails):
        held.clear()
