"""Stress test: does what was forgotten come back when the weights are pushed a little? For who holds the weights."""

from dashboard.components.choices import pick_pair
from dashboard.components.page import errors_as_sentences, heading
from dashboard.components.stress_form import why_not
from dashboard.components.stress_jobs import earlier_stresses, running_stresses, stress_section

heading(
    "Stress test",
    "An audit sees what an encoder answers. If you hold its weights, push them a little and see whether what was to be "
    "forgotten comes back.",
)
with errors_as_sentences():
    pair = pick_pair()
    shown = None
    if not why_not(pair):
        shown = stress_section(pair)
    running_stresses()
    earlier_stresses(but=shown)
