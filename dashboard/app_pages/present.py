"""Present: the story of a pair of encoders in five steps, for an audience that knows no machine learning."""

import streamlit as st

from dashboard.components.choices import pick_pair
from dashboard.components.evidence_offer import evidence_offer
from dashboard.components.page import errors_as_sentences
from dashboard.components.present import (
    choices_of,
    choose_language,
    choose_subject,
    choose_verdict,
    controls_of,
    current_step,
    look_at,
    offer_check,
    saving,
    show_notes,
    show_slide,
    told,
    turn_pages,
    with_notes,
    words_on_demand,
)
from dashboard.components.story_slides import STEPS
from dashboard.services import pair_data
from dashboard.services.story import facts

bar = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
toolbar = bar.container(horizontal=True, vertical_alignment="center", width="content")
words = choose_language(bar.container(horizontal=True, vertical_alignment="center", width="content"))
step = current_step(toolbar, words)
stage, turning, behind = st.container(), st.container(), st.container()
with errors_as_sentences():
    with behind:
        st.divider()
        pair = pick_pair()
        data = pair_data(pair.before, pair.after)
        subject = choose_subject(data, words)
        controls = controls_of(subject, data)
        checked, plan, refused = choose_verdict(pair, subject, controls, words)
        found = facts(pair.before, pair.after, subject, controls, data)
        choices = choices_of(subject, found)
        seen = look_at(pair, subject, choices, data)
    words_on_demand(toolbar, words)
    notes = with_notes(toolbar, words)
    shown, whole = told(found, seen, checked, refused, words, notes=notes)
    with stage:
        show_slide(shown.slides[step], choices, words)
        if STEPS[step] == "sure" and checked is None:
            offer_check(plan, words)
        show_notes(shown.slides[step], words)
    saving(toolbar, whole, words)
    if checked is not None and checked.evidence is not None:
        with toolbar:
            evidence_offer(checked.evidence, words)
    turn_pages(turning, step, words)
