"""Overview: what this is, what the pair of encoders did to the demo's drawings, and where to go next."""

import random

import streamlit as st

from dashboard.charts.style import HUES, two_decimals
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.pictures import Shown, picture_strip
from dashboard.services import Changes, PairData, SetChange, changes, pair_data, picture_url

DRAWN = 8


def show_pair(pair: Pair) -> None:
    """The demo in one picture: some of each set, and what happened to all of them."""
    found, data = changes(pair.before, pair.after), pair_data(pair.before, pair.after)
    st.subheader(_finding(found), anchor=False)
    rows = (
        ("forget", "To be forgotten", "the encoder trained on them; their owner withdrew them", found.forget),
        ("retain", "Retained", "the encoder trained on them and should keep them", found.retain),
        ("held-out", "Never trained on", "what an encoder makes of pictures it has never seen", found.held_out),
    )
    for name, title, meaning, change in rows:
        if change is None:
            st.caption(f"**{title}**: the data of these encoders name no such pictures.")
            continue
        count = f"{len(change.ids):,} pictures"
        st.markdown(f"**{title}** — {count}, {meaning}: {_course(change)}")
        picture_strip(_sample(change, data), HUES[name])
    partner = "name" if found.mode == "image-text" else "own changed copies"
    st.caption(
        f"How to read this: a bar is as long as the picture is similar to its {partner} (1 = the same direction, 0 = "
        "nothing in common); the hollow bar is the encoder before, the solid one the encoder after. The pictures are "
        "drawn at random, the sentence and the means cover all of them."
    )


def _finding(found: Changes) -> str:
    parts = [f"the retained ones {_course(found.retain)}"]
    if found.held_out is not None:
        parts.append(f"those never trained on {_course(found.held_out)}")
    if found.forget is None:
        return f"Mean similarity: {' and '.join(parts)}."
    return f"Pictures to be forgotten {_course(found.forget)} in mean similarity; {', '.join(parts)}."


def _course(change: SetChange) -> str:
    start, end = two_decimals(change.mean_before), two_decimals(change.mean_after)
    if start == end:
        return f"stayed at {start}"
    return f"{'fell' if change.mean_after < change.mean_before else 'rose'} from {start} to {end}"


def _sample(change: SetChange, data: PairData) -> list[Shown]:
    places = random.Random(data.split.seed).sample(range(len(change.ids)), min(DRAWN, len(change.ids)))
    shown = []
    for place in places:
        index = data.dataset.index_of(change.ids[place])
        text = data.dataset.texts[index] or change.ids[place]
        url = picture_url(data.dataset, index)
        shown.append(Shown(url, text, float(change.before[place]), float(change.after[place])))
    return shown


heading(
    "Did the encoder forget?",
    "An encoder is the part of an AI that turns pictures into numbers. Somebody's pictures helped to train one and "
    "then were to be forgotten; this tool compares the encoder before and after, and shows what changed for whom.",
)
with errors_as_sentences():
    show_pair(pick_pair())
