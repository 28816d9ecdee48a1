"""Overview: what this is, what the pair of encoders did to the demo's drawings, and where to go next."""

import random

import streamlit as st

from dashboard.charts.style import HUES, two_decimals
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.pictures import Shown, picture_strip
from dashboard.services import Changes, PairData, SetChange, changes, means_of_all, pair_data, picture_url

DRAWN = 8


def show_pair(pair: Pair) -> None:
    """The demo in one picture: some of each set, and what happened to all of them."""
    found, data = changes(pair.before, pair.after), pair_data(pair.before, pair.after)
    st.markdown(f"#### {_finding(found)}")
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


def show_methods(pair: Pair) -> None:
    """All that was made from the original with the same forget set: what each forgot and what it cost."""
    means = means_of_all(pair.before, pair.after)
    retrained = next((row for row in means if row.method == "retrain"), None)
    others = [row for row in means[1:] if row is not retrained]
    nearest = min(others, key=retrained.distance) if retrained and others else None
    notes = {means[0].name: "the original"}
    if retrained:
        notes[retrained.name] = "the yardstick"
    if nearest:
        notes[nearest.name] = "nearest to Retrain"
    st.subheader("What each method forgot, and what it cost", anchor=False)
    st.dataframe(
        {
            "Encoder": [row.name for row in means],
            "To be forgotten": [row.forget for row in means],
            "Retained": [row.retain for row in means],
            "Never trained on": [row.held_out for row in means],
            "Note": [notes.get(row.name, "") for row in means],
        },
        hide_index=True,
        width="stretch",
        column_config={
            name: st.column_config.NumberColumn(name, format="%.2f")
            for name in ("To be forgotten", "Retained", "Never trained on")
        },
    )
    st.caption(
        "How to read this: mean similarity over whole sets. Good unlearning brings the first number down to the third "
        "and leaves the second where it was. The yardstick is Retrain, trained anew without the forget set; nearest to "
        "it is the encoder whose three means differ least from its on average."
    )


def next_steps() -> None:
    """Where to go from here."""
    st.subheader("Go on", anchor=False)
    steps = (
        ("check_my_pictures", "Check my pictures: your own pictures through both encoders"),
        ("matrices", "Matrices: every picture against every caption"),
        ("embedding_map", "Embedding map: where the pictures moved"),
        ("tune", "Tune: make another encoder forget, as strongly as needed"),
        ("encoders", "Encoders: add your own as a file or an address, and check them"),
    )
    for name, label in steps:
        st.page_link(f"app_pages/{name}.py", label=label, icon=":material/arrow_forward:")


def _finding(found: Changes) -> str:
    partner = "their names" if found.mode == "image-text" else "changed copies of themselves"
    retained = f"the retained pictures {_course(found.retain)}"
    unseen = f" and those never trained on {_course(found.held_out)}" if found.held_out else ""
    if found.forget is None:
        return f"In mean similarity to {partner}, {retained}{unseen}."
    return f"The pictures to be forgotten {_course(found.forget)} in mean similarity to {partner}; {retained}{unseen}."


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
    pair = pick_pair()
    show_pair(pair)
    next_steps()
    show_methods(pair)
