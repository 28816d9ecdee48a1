"""Compare: what every method made of one original, side by side, and what an attacker would still catch."""

import streamlit as st

from dashboard.components.choices import pick_pair
from dashboard.components.compare import attack_section, comparison_section, gaps_section
from dashboard.components.cones import cones_section
from dashboard.components.job_follow import follow_job, how_it_ended, start_button
from dashboard.components.links import say_unknown
from dashboard.components.page import errors_as_sentences, heading
from dashboard.services.side_by_side import comparable, compare_job, side_by_side, start_compare

heading(
    "Compare",
    "Encoders made from one original with the same forget set, measured with the same pictures and views.",
)
with errors_as_sentences():
    pair = pick_pair()
    names = comparable(pair.before, pair.after)
    key = f"compared {pair.before} {pair.after}"
    say_unknown(key, names, "an encoder")
    chosen = tuple(
        st.pills(
            "Encoders to compare",
            names,
            selection_mode="multi",
            default=names,
            key=key,
            bind="query-params",
            help="Made from the encoder before, with the forget set of the encoder after.",
        )
    )
    if not chosen:
        st.info("Choose at least one encoder.", icon=":material/info:")
    else:
        side = side_by_side(pair.before, chosen)
        job = compare_job(pair.before, chosen)
        if job is not None and job.active:
            follow_job(job, "Measuring")
        else:
            how_it_ended(job, "Measuring", "What was measured so far is kept; start it again to go on.")
            if side.missing:
                st.info(
                    f"{side.missing} of {len(chosen) + 1} encoders {'has' if side.missing == 1 else 'have'} not been "
                    "measured yet. Measuring embeds all pictures of the forget, held-out and retain sets and audits "
                    "each encoder; it runs in the background.",
                    icon=":material/info:",
                )
                start_button("Measure", lambda: start_compare(pair.before, chosen), key="start compare")
        measured = [one for one in side.encoders if one.figures is not None]
        comparison_section(side)
        gaps_section(side, measured)
        cones_section(pair.before, pair.after)
        attack_section(side, measured)
