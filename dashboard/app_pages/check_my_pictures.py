"""Check my pictures: were the user's own pictures forgotten? A verdict against pictures never trained on."""

import streamlit as st

from dashboard.charts import bars, heatmaps
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.links import linked_toggle
from dashboard.components.numbers import numbers_table
from dashboard.components.page import errors_as_sentences, heading, is_dark
from dashboard.components.tables import csv_of, items_table
from dashboard.components.uploads import MyPictures, my_pictures, plain
from dashboard.components.verdict_audit import audit_section, earlier_audits
from dashboard.components.verdict_controls import Controls, pick_controls
from dashboard.components.verdict_vectors import brings_vectors, vectors_section
from dashboard.services import compare_items, pair_data
from muc_core.comparison import Comparison


def show_similarities(pair: Pair, pictures: MyPictures, controls: Controls) -> None:
    """How similar each picture is to its caption or copies in both encoders: for any number of pictures."""
    comparison = compare_items(pair.before, pair.after, pictures.dataset, controls.dataset)
    st.subheader(_headline(comparison), anchor=False)
    for warning in comparison.warnings:
        st.info(plain(warning), icon=":material/info:")
    st.plotly_chart(
        bars.before_after_bars(comparison, pictures.thumbnails, dark=is_dark()),
        key="bars",
        theme=None,
        width="stretch",
        config=CONFIG,
    )
    if len(comparison.ids) > bars.MOST_BARS:
        st.caption(f"Shown are the {bars.MOST_BARS} pictures that lost most; the table below has all of them.")
    st.caption(bars.how_to_read(comparison))
    if len(comparison.ids) > 1:
        st.plotly_chart(
            heatmaps.alignment_heatmaps(comparison, dark=is_dark()),
            key="matrices",
            theme=None,
            width="stretch",
            config=CONFIG,
        )
        st.caption(f"{heatmaps.how_to_read(comparison)} {comparison.before.picture.note}")
    st.subheader("The numbers", anchor=False)
    numbers_table(comparison, pictures.thumbnails)
    _downloads(comparison)


def _headline(comparison: Comparison) -> str:
    """The finding in everyday words; the figures say it in those of the method."""
    means = {name: two_decimals(value) for name, value in comparison.means.items()}
    before, after = means["items_before_positive"], means["items_after_positive"]
    one = len(comparison.ids) == 1
    whose = "Your picture is" if one else f"Your {len(comparison.ids)} pictures are"
    partner = ("its caption" if one else "their captions") if comparison.mode == "image-text" else "changed copies"
    if before == after:
        found = f"{whose} as similar to {partner} as before: {after}."
    else:
        way = "less" if float(after) < float(before) else "more"
        found = f"{whose} {way} similar to {partner} than before: {after} after, {before} before."
    if comparison.controls is None:
        return found
    controls = f"{means['controls_after_positive']} after, {means['controls_before_positive']} before"
    return f"{found} Pictures never trained on: {controls}."


def _downloads(comparison: Comparison) -> None:
    left, right, _ = st.columns([1, 1, 2])
    left.download_button(
        "Download JSON",
        comparison.to_json(),
        "check-my-pictures.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
        help="Everything: matrices, numbers, encoders and settings, with exact numbers.",
    )
    right.download_button(
        "Download CSV",
        csv_of(items_table(comparison)),
        "check-my-pictures.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
        help="One line a picture and one a control, with exact numbers.",
    )


heading(
    "Check my pictures",
    "Upload pictures and see whether the encoder after still knows them, beside pictures never trained on.",
)
with errors_as_sentences():
    if brings_vectors():
        vectors_section()
        st.stop()
    pair = pick_pair()
    pictures = my_pictures()
    if pictures is None:
        earlier_audits()
    else:
        data = pair_data(pair.before, pair.after)
        controls = pick_controls(pictures, data)
        st.divider()
        if not audit_section(pair, pictures, controls, data) or linked_toggle(
            st.container(), "Show the similarities behind it", key="show similarities"
        ):
            show_similarities(pair, pictures, controls)
