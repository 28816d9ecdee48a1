"""Choosing what the owner's pictures are compared with: pictures like them that no encoder was trained on."""

from dataclasses import dataclass

import streamlit as st

from dashboard.components.links import linked_state
from dashboard.components.uploads import KINDS, MyPictures, plain
from dashboard.services import Files, PairData, controls_for, read_files
from muc_core.data.dataset import ImageTextDataset

CHOICE = "controls choice"
_FILES = "control_files"
_UPLOADER = "control_uploader"
HELD_OUT, OWN = "held-out", "own"


@dataclass(frozen=True)
class Controls:
    """The controls, None when there are none; with the files they came from, None for a part of the data."""

    dataset: ImageTextDataset | None
    files: Files | None = None


def pick_controls(pictures: MyPictures, data: PairData) -> Controls:
    """Ask for the controls: the held-out set, or pictures of the user's choice."""
    held_out = controls_for(pictures.dataset, data)
    count = 0 if held_out is None else len(held_out)
    with st.expander("Compared with", expanded=False, icon=":material/compare_arrows:"):
        labels = {HELD_OUT: f"The {count:,} held-out pictures of the encoders' data", OWN: "Pictures that I upload"}
        linked_state(CHOICE, {kind: kind for kind in labels}, first=HELD_OUT, what="the controls")
        choice = st.radio(
            "Compared with",
            list(labels),
            format_func=labels.__getitem__,
            key=CHOICE,
            label_visibility="collapsed",
            # other pictures of the same kind are compared with the same controls
            persist_state="session",
        )
        st.caption(
            "Controls must be pictures like yours that neither encoder was trained on. What the encoder does with them "
            "is how it treats the unknown, and your pictures are measured by that."
        )
        if choice == HELD_OUT:
            return Controls(held_out)
        st.file_uploader(
            "Controls",
            type=KINDS,
            accept_multiple_files=True,
            key=_UPLOADER,
            on_change=_keep,
            help="At least 20 pictures, better 100: PNG, JPEG or WebP, a folder of them as a zip.",
        )
        files: Files | None = st.session_state.get(_FILES)
        if files is None:
            st.caption("Until there are some, the held-out pictures are used.")
            return Controls(held_out)
        ingest = read_files(files, guess_captions=True)
        for rejection in ingest.rejected:
            st.caption(f":material/error: {plain(rejection.reason)}")
        found = 0 if ingest.dataset is None else len(ingest.dataset)
        st.caption(f"{found:,} pictures of yours serve as controls, with captions from their file names.")
        return Controls(ingest.dataset, files)


def _keep() -> None:
    uploaded = st.session_state[_UPLOADER]
    st.session_state[_FILES] = Files.of((file.name, file.getvalue()) for file in uploaded) if uploaded else None
