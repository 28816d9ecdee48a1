"""Matrices: the alignment of a set of pictures before and after, the gap, and every cell of them."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.heatmaps import alignment_heatmaps, cell_of, how_to_read
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.page import errors_as_sentences, heading, is_dark
from dashboard.components.tables import SUMMARY_COLUMNS, items_table, summary_table
from dashboard.services import (
    PairData,
    compare_items,
    controls_for,
    items_of,
    pair_data,
    picture_url,
    retain_sample,
    sets_of,
)
from muc_core.comparison import Comparison, OrderChoice
from muc_core.data.dataset import ImageTextDataset

ITEMS, ROW, COLUMN = "matrices_items", "matrices_row", "matrices_column"
CHART = "matrices_chart"
FIRST_SETS = ("owner:artist", "forget")
ORDERS: dict[OrderChoice, str] = {
    "diagonal": "most lost first",
    "given": "as given",
    "cluster": "by cluster: pictures alike side by side",
}
RETAIN_DRAWN = 160


def choose_items(data: PairData) -> tuple[str, OrderChoice]:
    """Which pictures, in which order."""
    sets = {info.spec: info for info in sets_of(data)}
    if st.session_state.get(ITEMS) not in sets:
        st.session_state[ITEMS] = next((spec for spec in FIRST_SETS if spec in sets), next(iter(sets)))
    left, right = st.columns(2)
    spec = left.selectbox(
        "Pictures",
        list(sets),
        key=ITEMS,
        format_func=lambda name: f"{name} · {sets[name].count:,} pictures, {sets[name].description}",
    )
    order = right.selectbox("Order", list(ORDERS), format_func=ORDERS.__getitem__, key="matrices_order")
    return spec, order


def controls_of(spec: str, items: ImageTextDataset, data: PairData) -> ImageTextDataset | None:
    """Pictures never trained on that are not among the items: the held-out set, for which calibration stands in."""
    if spec == "held-out":
        return items_of("calibration", data) if data.split.calibration else None
    return controls_for(items, data)


@st.fragment
def show_matrices(comparison: Comparison, data: PairData) -> None:
    """The three heatmaps and the chosen cell. A fragment: a click redraws this part of the page only."""
    with errors_as_sentences():
        ids = comparison.before.picture.ids
        captions = dict(zip(comparison.ids, comparison.texts, strict=True))
        start_at(ids, most_lost(comparison))
        st.plotly_chart(
            alignment_heatmaps(comparison, dark=is_dark(), chosen=(st.session_state[ROW], st.session_state[COLUMN])),
            key=CHART,
            on_select=take_click,
            selection_mode="points",
            theme=None,
            width="stretch",
            config=CONFIG,
        )
        st.caption(f"{how_to_read(comparison)} {comparison.before.picture.note} Click a cell, or choose below.")
        left, right = st.columns(2)
        partner = "caption" if comparison.mode == "image-text" else "other picture"
        row = left.selectbox("Row", ids, key=ROW, format_func=lambda name: captions[name] or name, help="The picture.")
        column = right.selectbox(
            "Column", ids, key=COLUMN, format_func=lambda name: captions[name] or name, help=f"The {partner}."
        )
        show_cell(comparison, data, row, column)


def most_lost(comparison: Comparison) -> str:
    """The picture on screen that lost most."""
    ids = comparison.before.picture.ids
    lost = dict(zip(comparison.ids, comparison.gap_per_item.tolist(), strict=True))
    return max(ids, key=lost.__getitem__)


def start_at(ids: tuple[str, ...], first: str) -> None:
    """Outline a diagonal cell while nothing that is on screen has been chosen."""
    if st.session_state.get(ROW) not in ids or st.session_state.get(COLUMN) not in ids:
        st.session_state[ROW] = st.session_state[COLUMN] = first


def take_click() -> None:
    """Choose the cell that was clicked; a click beside the cells chooses nothing."""
    selection: Any = st.session_state[CHART]
    for point in selection["selection"]["points"]:
        if "customdata" in point:
            st.session_state[ROW], st.session_state[COLUMN] = point["customdata"][:2]


def show_cell(comparison: Comparison, data: PairData, row: str, column: str) -> None:
    """A picture, its partner, and their similarity before and after."""
    cell = cell_of(comparison, row, column)
    texts = {name: text or name for name, text in zip(comparison.ids, comparison.texts, strict=True)}
    picture, partner, before, after, gap = st.columns((1.2, 1.2, 1, 1, 1), vertical_alignment="center")
    picture.image(picture_url(data.dataset, data.dataset.index_of(row), 192), width=96)
    picture.caption(f"picture of “{texts[row]}”")
    if comparison.mode == "image-text":
        partner.markdown(f"**“{texts[column]}”**")
        partner.caption("its own caption" if row == column else "the caption of another picture")
    else:
        partner.image(picture_url(data.dataset, data.dataset.index_of(column), 192), width=96)
        partner.caption("the same picture, changed" if row == column else f"another picture, “{texts[column]}”")
    before.metric("Similarity before", two_decimals(cell.before))
    after.metric("Similarity after", two_decimals(cell.after))
    # The gap of the printed numbers: one that seems a cent off would look like a mistake.
    shown = round(cell.before, 2) - round(cell.after, 2)
    gap.metric("Gap", two_decimals(shown), help="before minus after: above 0, alignment was lost")


def show_summary(spec: str, comparison: Comparison, pair: Pair, data: PairData) -> None:
    """The same numbers for the items, the retain set and the controls: what else changed."""
    st.subheader("What else changed", anchor=False)
    rows = [(f"{spec} (chosen above)", comparison)]
    if spec != "retain" and data.split.retain:
        retain = retain_sample(data, RETAIN_DRAWN)
        drawn = "retain set" if len(retain) == len(data.split.retain) else "retain set, drawn at random"
        rows.append((drawn, compare_items(pair.before, pair.after, retain, None, mode=comparison.mode)))
    if spec != "held-out" and data.split.held_out:
        held_out = items_of("held-out", data)
        rows.append(
            ("held-out: the controls", compare_items(pair.before, pair.after, held_out, None, mode=comparison.mode))
        )
    numbers = {name: st.column_config.TextColumn(alignment="right") for name in SUMMARY_COLUMNS[1:]}
    st.dataframe(summary_table(rows), hide_index=True, column_config=numbers, width="stretch")
    own = "own caption" if comparison.mode == "image-text" else "own changed copies"
    st.caption(
        f"How to read this: positive is the mean similarity of a picture with its {own}, negative that with those of "
        "the other pictures of the set; the last column is the share of pictures to which, of all in the set, their "
        "own partner is the most similar. What the retain set lost is the price of the unlearning."
    )


def offer_downloads(comparison: Comparison, spec: str) -> None:
    """The numbers as files."""
    name = f"{comparison.before_encoder.name}-{comparison.after_encoder.name}-{spec.replace(':', '-')}"
    with st.container(horizontal=True):
        st.download_button(
            "Download CSV",
            lambda: csv_of(items_table(comparison)),
            file_name=f"{name}.csv",
            mime="text/csv",
            icon=":material/table:",
            on_click="ignore",
            help="One row per picture and control, with all decimals.",
        )
        st.download_button(
            "Download JSON",
            comparison.to_json,
            file_name=f"{name}.json",
            mime="application/json",
            icon=":material/data_object:",
            on_click="ignore",
            help="The whole comparison with the matrices, as `muc matrices --out FILE.json` writes it.",
        )


def csv_of(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode("utf-8")


heading(
    "Matrices",
    "How similar each picture is to each caption before and after unlearning, and what was lost between the two.",
)
with errors_as_sentences():
    pair = pick_pair()
    data = pair_data(pair.before, pair.after)
    spec, order = choose_items(data)
    items = items_of(spec, data)
    controls = controls_of(spec, items, data)
    comparison = compare_items(pair.before, pair.after, items, controls, order=order)
    for warning in comparison.warnings:
        st.warning(warning, icon=":material/info:")
    show_matrices(comparison, data)
    show_summary(spec, comparison, pair, data)
    offer_downloads(comparison, spec)
