"""The list of encoders, and what is known of one or of two side by side."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.components.links import linked_select
from dashboard.components.uploads import plain
from dashboard.services import LARGE_BYTES, Facts, facts, size_of, workspace
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.encoder import FAMILY as REMOTE
from muc_core.errors import MucError
from muc_core.jobs.tasks.check_encoder import read_check
from muc_core.workspace import EncoderRecord

CARD, BESIDE = "encoder card", "encoder beside"
"""Keys of the choice; who adds or renames an encoder puts its name under CARD."""

ALONE = "none"
UNKNOWN = "–"


def encoder_list(records: Sequence[EncoderRecord]) -> None:
    """One row an encoder; below, what could not be read."""
    for problem in workspace().problems():
        st.warning(plain(problem), icon=":material/warning:")
    if not records:
        st.info(
            "There is no encoder yet. Add one below, or run `muc demo build` in a terminal to train the demo's.",
            icon=":material/info:",
        )
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame([_row(record) for record in records]),
        hide_index=True,
        width="stretch",
        height=min(35 * len(records) + 38, 388),
        column_config={
            "Name": st.column_config.TextColumn("Name", pinned=True, width=165),
            "Model": st.column_config.TextColumn("Model", width=145, help="Family and architecture."),
            "Made by": st.column_config.TextColumn("Made by", width=100, help="The unlearning method."),
            "Made from": st.column_config.TextColumn("Made from", width=85),
            "Numbers": number("Vector", width=55, format="localized", help="How many numbers a vector has."),
            "Captions": st.column_config.TextColumn("Captions", width=65, help="Whether it reads captions."),
            "Pixels": number("Pixels", width=50, format="%d", help="Side of the pictures it looks at."),
            "From": st.column_config.TextColumn("From", width=50),
            "On disk": number("MB", width=45, format="%.1f", help="Size of its files."),
            "Check": st.column_config.TextColumn("Check", width=60, help="What the latest check found."),
        },
    )


def choose_cards(records: Sequence[EncoderRecord]) -> tuple[EncoderRecord, ...]:
    """The encoder to look at, and perhaps another beside it."""
    known = {record.manifest.name: record for record in records}
    left, right = st.columns(2)
    first = linked_select(left, "Encoder", list(known), key=CARD, first=next(iter(known)), what="an encoder")
    second = linked_select(right, "Compare with", [ALONE, *known], key=BESIDE, first=ALONE, what="an encoder")
    return (known[first],) if second in (ALONE, first) else (known[first], known[second])


def show_cards(records: Sequence[EncoderRecord]) -> None:
    """What is known of each, one column an encoder; of two, lines that differ are bold."""
    cards = [_card(record) for record in records]
    lines = {}
    for name in dict.fromkeys(line for card in cards for line in card):
        values = [card.get(name, UNKNOWN) for card in cards]
        differ = len(set(values)) > 1
        lines[name] = [f"**{plain(value)}**" if differ else plain(value) for value in values]
    names = [plain(record.manifest.name) for record in records]
    st.table(pd.DataFrame.from_dict(lines, orient="index", columns=names), border="horizontal")
    if len(records) == 2:
        st.caption("How to read this: what differs between the two is bold.")


def _row(record: EncoderRecord) -> dict[str, str | int | float | None]:
    manifest = record.manifest
    known = _facts_if_quick(record)
    return {
        "Name": manifest.name,
        "Model": f"{manifest.family} · {manifest.architecture}",
        "Made by": manifest.method or UNKNOWN,
        "Made from": manifest.original or UNKNOWN,
        "Numbers": known.dimension if known else None,
        "Captions": UNKNOWN if known is None else "yes" if known.has_text else "no",
        "Pixels": known.image_size if known else None,
        "From": _origin(record),
        "On disk": size_of(record) / 2**20,
        "Check": _checked(manifest),
    }


def _facts_if_quick(record: EncoderRecord) -> Facts | None:
    if size_of(record) > LARGE_BYTES:
        return None
    try:
        return facts(record)
    except MucError:  # its card says why
        return None


def _origin(record: EncoderRecord) -> str:
    if record.shipped:
        return "demo"
    if record.manifest.family == REMOTE:
        return "URL"
    return "file" if record.manifest.source else "here"


def _checked(manifest: EncoderManifest) -> str:
    found = read_check(workspace(), manifest.content_digest)
    if found is None:
        return "not yet"
    return f"{len(found.failed)} failed" if found.failed else "passed"


def _card(record: EncoderRecord) -> dict[str, str]:
    """Lines of a card: what, and its value as text."""
    manifest = record.manifest
    lines = {
        "Title": manifest.title,
        "Family": manifest.family,
        "Architecture": manifest.architecture,
        "Made by": manifest.method or "no unlearning that is known of",
        "Made from": manifest.original or UNKNOWN,
    }
    try:
        known = facts(record)
    except MucError as error:
        lines["Cannot be loaded"] = str(error)
    else:
        output = f", {manifest.output}" if manifest.output else ""
        lines["Vectors"] = f"{known.dimension:,} numbers{output}"
        lines["Captions"] = "reads them" if known.has_text else "none: pictures only"
        lines["Preprocessing"] = known.preparation
        if known.service:
            lines["Service"] = known.service
    lines["Trained on"] = _data(manifest)
    if manifest.preset:
        lines["Preset"] = manifest.preset
    lines["Source"] = manifest.source or ("comes with the program" if record.shipped else "trained here")
    lines["On disk"] = f"{size_of(record) / 2**20:,.1f} MB" if size_of(record) >= 2**16 else "less than 0.1 MB"
    lines["Added"] = f"{manifest.created[:10]} {manifest.created[11:16]} UTC"
    return lines


def _data(manifest: EncoderManifest) -> str:
    if manifest.data is None:
        return "not known"
    split = manifest.data.split
    return (
        f"{manifest.data.spec}: {len(split.train):,} pictures, {len(split.forget):,} of them to forget, "
        f"{len(split.held_out):,} held out"
    )
