"""The user's own pictures: uploading them, what could not be used, and a table to caption them in.

Everything is kept in the session's state, so that a look at another page loses nothing, and nowhere else.
"""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.components.links import linked_state
from dashboard.components.words import plain as plain
from dashboard.services import Files, demo_drawings, forget_uploads, read_files, uploaded_thumbnails, with_captions
from dashboard.services.vectors import forget_vectors
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.ingest import Ingest
from muc_core.reports.document import shown

DEMO_COUNT, DEMO_ALL = 3, 150
DEMO_SETS = {"three": DEMO_COUNT, "all": DEMO_ALL}
"""How many of the demo's drawings are taken, by their word in the address."""
MANY = 6
"""More pictures than this are captioned in a table that is folded up at first."""

KINDS = ["png", "jpg", "jpeg", "webp", "zip"]

_GENERATION = "my_uploader"
_FILES = "my_files"
_VECTORS = "my_vectors"
_DEMO = "my_demo"
_TYPED = "my_captions"
_GUESS = "guess_captions"


@dataclass(frozen=True)
class MyPictures:
    """Pictures with their captions as typed, and small data URLs of them, in order.

    `files` is what was uploaded, None for drawings of the demo.
    """

    dataset: ImageTextDataset
    thumbnails: list[str]
    files: Files | None = None

    @property
    def names(self) -> dict[str, str]:
        """What each picture is called, by id: its caption, else its file's name."""
        return {item.id: item.text or item.id for item in self.dataset.items}


def my_pictures() -> MyPictures | None:
    """Ask for pictures and captions; None as long as there are none that can be used."""
    st.file_uploader(
        "Your pictures",
        type=KINDS,
        accept_multiple_files=True,
        key=_uploader(),
        on_change=_keep_uploads,
        help="PNG, JPEG or WebP, or a zip of them; a captions.csv in the zip (columns file, caption) is read too.",
    )
    note, buttons = st.columns([2, 1], vertical_alignment="center")
    note.caption(
        ":material/lock: Your pictures stay in the memory of the machine that runs this page, for this session only. "
        "They are neither saved nor sent anywhere without asking you, and no link to this page shows them."
    )
    files: Files | None = st.session_state.get(_FILES)
    count = linked_state(_DEMO, DEMO_SETS, first=0, what="the drawings")
    if files is None and not count:
        for demo, what in ((DEMO_ALL, f"all {DEMO_ALL} drawings"), (DEMO_COUNT, "three drawings")):
            buttons.button(f"Try with {what} of the demo", on_click=_take_demo, args=(demo,), width="stretch")
        return None
    buttons.button("Start anew", on_click=_clear, width="stretch", icon=":material/restart_alt:")
    if files is None:
        dataset, key = demo_drawings(count), f"demo/{count}"
        which = "All" if count == DEMO_ALL else "Three of the"
        st.caption(f"{which} drawings that the demo's artist withdrew, with their names as captions.")
    else:
        guess = st.toggle("Guess captions from file names", value=True, key=_GUESS)
        ingest = read_files(files, guess_captions=guess)
        _tell(ingest)
        if ingest.dataset is None:
            return None
        dataset, key = ingest.dataset, f"{files.digest}/{guess}"
    thumbnails = uploaded_thumbnails(key, _dataset=dataset)
    if len(dataset) > MANY:
        with st.expander(f"The {len(dataset):,} pictures and their captions", icon=":material/edit:"):
            captions = _edit_captions(dataset, thumbnails, key)
    else:
        captions = _edit_captions(dataset, thumbnails, key)
    return MyPictures(with_captions(key, captions, _dataset=dataset), thumbnails, files)


def my_vectors() -> tuple[str, bytes] | None:
    """Ask for a file of vectors in place of pictures: its name and content."""
    st.file_uploader(
        "A file of vectors (.safetensors or .npz)",
        type=["safetensors", "npz"],
        key=_uploader("vectors"),
        on_change=_keep_vectors,
        help="As `muc audit --write-embeddings` writes it: vectors of your pictures and of controls from the encoder "
        "after, and if possible from the one before.",
    )
    note, buttons = st.columns([2, 1], vertical_alignment="center")
    note.caption(
        ":material/lock: For owners who show no picture, and for whoever lends no encoder. The file stays in the "
        "memory of the machine that runs this page, for this session only."
    )
    kept: tuple[str, bytes] | None = st.session_state.get(_VECTORS)
    if kept is not None:
        buttons.button("Start anew", on_click=_clear, width="stretch", icon=":material/restart_alt:", key="no vectors")
        st.caption(f"Audited: {plain(shown(kept[0], 80))}")
    return kept


def delete_uploads() -> None:
    """Delete all that this session holds of uploaded files, and what was written of them for jobs."""
    _clear()
    count = forget_uploads()
    forget_vectors()
    files = {0: "no file", 1: "one file"}.get(count, f"{count} files")
    st.toast(f"Your uploads are deleted: what this session held, and {files} on the disk.", icon=":material/delete:")


def kept_uploads() -> tuple[ImageTextDataset, str] | None:
    """The user's own pictures as they were uploaded on another page, and a key for them; None when there are none."""
    files: Files | None = st.session_state.get(_FILES)
    if files is None:
        return None
    guess = bool(st.session_state.get(_GUESS, True))
    dataset = read_files(files, guess_captions=guess).dataset
    return None if dataset is None else (dataset, f"{files.digest}/{guess}")


def kept_pictures() -> ImageTextDataset | None:
    """The same, or the demo's drawings that were taken there, with captions as typed; None when there are none."""
    count = int(st.session_state.get(_DEMO, 0))
    kept = kept_uploads() or ((demo_drawings(count), f"demo/{count}") if count else None)
    if kept is None:
        return None
    dataset, key = kept
    typed: dict[str, str | None] = st.session_state.get(_TYPED, {})
    captions = tuple(typed.get(name, text) for name, text in zip(dataset.ids, dataset.texts, strict=True))
    return with_captions(key, captions, _dataset=dataset)


def _uploader(what: str = "pictures") -> str:
    return f"your_{what}/{st.session_state.get(_GENERATION, 0)}"


def _keep_vectors() -> None:
    file = st.session_state[_uploader("vectors")]
    st.session_state[_VECTORS] = None if file is None else (file.name, file.getvalue())


def _keep_uploads() -> None:
    uploaded = st.session_state[_uploader()]
    _forget_captions()
    st.session_state[_FILES] = Files.of((file.name, file.getvalue()) for file in uploaded) if uploaded else None
    st.session_state[_DEMO] = 0


def _take_demo(count: int) -> None:
    _forget_captions()
    st.session_state[_DEMO] = count


def _clear() -> None:
    _forget_captions()
    st.session_state[_FILES] = None
    st.session_state[_VECTORS] = None
    st.session_state[_DEMO] = 0
    # Only an uploader under another key is empty again: the browser remembers the files of this one.
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1


def _forget_captions() -> None:
    st.session_state[_TYPED] = {}


def _tell(ingest: Ingest) -> None:
    """What was not used, each with its reason, and what was done to what is used."""
    if ingest.rejected:
        count = len(ingest.rejected)
        others = "" if ingest.dataset is None else "; the others go on"
        reasons = "\n".join(f"- {plain(rejection.reason)}" for rejection in ingest.rejected)
        st.warning(f"{count} {'file was' if count == 1 else 'files were'} not used{others}.\n\n{reasons}")
    if ingest.notes:
        st.caption("\n".join(f"- {plain(note)}" for note in ingest.notes))


def _edit_captions(dataset: ImageTextDataset, thumbnails: list[str], key: str) -> tuple[str | None, ...]:
    """The captions after the user's changes. A table whose input changed would lose them: it stays as first drawn."""
    typed: dict[str, str | None] = st.session_state.setdefault(_TYPED, {})
    editor, first = f"captions/{key}", f"captions as drawn/{key}"
    if editor not in st.session_state:
        st.session_state[first] = [typed.get(name, text) for name, text in zip(dataset.ids, dataset.texts, strict=True)]
    drawn: list[str | None] = st.session_state[first]
    edited = st.data_editor(
        pd.DataFrame({"Picture": thumbnails, "File": dataset.ids, "Caption": pd.Series(drawn, dtype="object")}),
        key=editor,
        hide_index=True,
        disabled=["Picture", "File"],
        width="stretch",
        height="auto" if len(dataset) <= MANY else 400,
        row_height=52,
        column_config={
            "Picture": st.column_config.ImageColumn("Picture", width=72),
            "File": st.column_config.TextColumn("File", width="medium"),
            "Caption": st.column_config.TextColumn("Caption", help="Click to type. Empty: no caption.", width="large"),
        },
    )
    captions = tuple(_cleaned(text) for text in edited["Caption"])
    typed.update({name: new for name, old, new in zip(dataset.ids, drawn, captions, strict=True) if new != old})
    return captions


def _cleaned(text: object) -> str | None:
    return text.strip() or None if isinstance(text, str) else None
