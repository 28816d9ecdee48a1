"""Matrices: the alignment of a set of pictures before and after, the gap, and every cell of them."""

from dataclasses import dataclass

import streamlit as st

from dashboard.charts.heatmaps import how_to_read
from dashboard.charts.spreads import HOW_TO_READ as HOW_TO_READ_SPREADS
from dashboard.charts.spreads import spread_chart
from dashboard.charts.style import CONFIG, HUES
from dashboard.components.audit_offer import verdicts_on
from dashboard.components.blocks import open_block, opened_block
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.links import linked_select, linked_toggle
from dashboard.components.matrix_grid import (
    BLOCK,
    Grid,
    choose_block,
    choose_cell,
    show_grid,
    show_rows,
    start_at,
)
from dashboard.components.page import errors_as_sentences, heading, is_dark
from dashboard.components.progress_bar import ProgressBar
from dashboard.components.tables import SUMMARY_COLUMNS, csv_of, items_table, summary_table
from dashboard.components.two_lists import two_lists
from dashboard.components.uploads import plain
from dashboard.services import (
    PairData,
    compare_items,
    controls_for,
    items_of,
    pair_data,
    retain_sample,
    sets_of,
)
from dashboard.services.matrices import Arrangement, Matrices, Noise, matrices, noise_of, retrained_of
from dashboard.services.spreads import spreads
from muc_core.audit.result import AuditResult
from muc_core.comparison import Comparison
from muc_core.data.dataset import ImageTextDataset

ITEMS, ORDER, MASK, DRAG = "matrices_items", "matrices_order", "matrices_mask", "matrices_drag"
LISTS = "lists"
FIRST_SETS = ("owner:artist", "forget")
ORDERS: dict[str, Arrangement] = {
    "by gap, most lost first": "gap",
    "by item, as given": "given",
    "by cluster, alike side by side": "cluster",
    "by verdict, most concern first": "verdict",
}
RETAIN_DRAWN = 160


@dataclass(frozen=True)
class Choice:
    """Which pictures, in which order, and how they are shown."""

    spec: str
    arrangement: Arrangement
    mask: bool
    drag: bool


def choose(data: PairData) -> Choice:
    """The choices above the matrices; all are in the address."""
    sets = {info.spec: info for info in sets_of(data)}
    first = next((spec for spec in FIRST_SETS if spec in sets), next(iter(sets)))
    left, right = st.columns(2)
    spec = linked_select(left, "Pictures", list(sets), key=ITEMS, first=first, what="the set")
    left.caption(f"{sets[spec].count:,} pictures, {plain(sets[spec].description)}")
    order = linked_select(right, "Order", list(ORDERS), key=ORDER, first=next(iter(ORDERS)), what="the order")
    row = st.container(horizontal=True)
    mask = linked_toggle(
        row,
        "Grey out what is not significant",
        key=MASK,
        help="Cells of the gap that other changed copies of the same pictures could have made as well, at a false "
        "discovery rate of 5 %. The first time takes some seconds.",
    )
    drag = linked_toggle(
        row, "Select rows by dragging", key=DRAG, help="Draw a box on a matrix: its rows are listed below."
    )
    return Choice(spec, ORDERS[order], mask, drag)


def controls_of(spec: str, items: ImageTextDataset, data: PairData) -> ImageTextDataset | None:
    """Pictures never trained on that are not among the items: the held-out set, for which calibration stands in."""
    if spec == "held-out":
        return items_of("calibration", data) if data.split.calibration else None
    return controls_for(items, data)


@st.fragment
def show_matrices(
    comparison: Comparison,
    items: ImageTextDataset,
    choice: Choice,
    pair: Pair,
    data: PairData,
    verdicts: AuditResult | None,
) -> None:
    """The matrices and the chosen cell. A fragment: a click redraws this part of the page only."""
    with errors_as_sentences():
        retrained = retrained_of(pair.before, pair.after)
        block = opened_block(BLOCK, choice.spec)
        arrangement = choice.arrangement if choice.arrangement != "verdict" or verdicts is not None else "gap"
        shown = matrices(
            pair.before,
            pair.after,
            retrained,
            items,
            comparison.mode,
            arrangement,
            verdicts=verdicts if arrangement == "verdict" else None,
            block=block,
        )
        grid = Grid(
            shown=shown,
            mode=comparison.mode,
            captions={name: text or name for name, text in zip(comparison.ids, comparison.texts, strict=True)},
            data=data,
            noise=noise_on_screen(shown, items, comparison, pair) if choice.mask else None,
            verdicts={} if verdicts is None else {item.id: item.verdict for item in verdicts.items},
            drag=choice.drag,
            spec=choice.spec,
        )
        if not shown.pooled:
            start_at(shown, most_lost(comparison, shown))
        st.subheader(comparison.finding, anchor=False)
        show_grid(grid)
        told = f" Retrained is {plain(retrained)}, which never saw the forget set." if retrained else ""
        st.caption(f"{how_to_read(comparison)}{told} {shown.note} Click a cell, or choose below.")
        if grid.noise is not None:
            say_noise(grid.noise)
        if shown.pooled:
            choose_block(grid)
            return
        if block is not None and len(shown.rows) < len(items):
            st.button(
                "Back to all blocks", icon=":material/zoom_out:", on_click=open_block, args=(BLOCK, choice.spec, None)
            )
        choose_cell(grid, most_lost(comparison, shown))
        show_rows(grid)


def noise_on_screen(shown: Matrices, items: ImageTextDataset, comparison: Comparison, pair: Pair) -> Noise | None:
    """Inference on the cells on screen; blocks have none."""
    if shown.pooled:
        st.caption("Blocks are not greyed out: open one to see what of it is significant.")
        return None
    if len(shown.ids) < 2:
        st.caption("One picture alone has no matrix in which something could be significant.")
        return None
    bar = ProgressBar("Looking at changed copies of the pictures")
    try:
        return noise_of(pair.before, pair.after, items.subset(shown.ids), comparison.mode, bar)
    finally:
        bar.done()


def say_noise(noise: Noise) -> None:
    """How much of the gap is significant, and whether the diagonal as a whole lost more than the rest."""
    found = noise.inference
    beyond = "less" if found.difference < 0 else "more"
    st.markdown(
        f"**{noise.share:.0%} of the cells** of the gap, and {noise.own_significant:,} of the {len(noise.ids):,} on "
        "the diagonal, are more than the noise of views; the others are grey. As a whole the diagonal lost "
        f"{abs(found.difference):.2f} {beyond} than the rest (p = {found.p:.2g}, {found.permutations:,} permutations "
        "of items)."
    )


def most_lost(comparison: Comparison, shown: Matrices) -> str:
    """The picture on screen that lost most."""
    lost = dict(zip(comparison.ids, comparison.gap_per_item.tolist(), strict=True))
    return max((group[0] for group in shown.rows), key=lost.__getitem__)


def show_spreads(
    comparison: Comparison, items: ImageTextDataset, controls: ImageTextDataset | None, pair: Pair
) -> None:
    """How positive and negative alignment are spread, beside the controls."""
    found = spreads(pair.before, pair.after, items, controls, comparison.mode)
    st.subheader("How similarities are spread", anchor=False)
    hue = HUES["retain" if items.name == "retain" else "controls" if items.name == "held-out" else "forget"]
    parts = {"Positive alignment": found.positive, "Negative alignment": found.negative}
    for column, (name, spread) in zip(st.columns(2), parts.items(), strict=True):
        if spread is not None:
            column.plotly_chart(
                spread_chart(spread, name, hue, dark=is_dark()),
                key=f"spread {name}",
                theme=None,
                width="stretch",
                config=CONFIG,
            )
    of = f" Drawn from {found.drawn:,} of the {len(items):,} pictures." if found.drawn < len(items) else ""
    st.caption(HOW_TO_READ_SPREADS + of)


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


heading(
    "Matrices",
    "How similar each picture is to each caption before and after unlearning, and what was lost between the two.",
)
with errors_as_sentences():
    pair = pick_pair()
    data = pair_data(pair.before, pair.after)
    choice = choose(data)
    items = items_of(choice.spec, data)
    controls = controls_of(choice.spec, items, data)
    comparison = compare_items(pair.before, pair.after, items, controls)
    for warning in comparison.warnings:
        st.warning(warning, icon=":material/info:")
    verdicts = (
        verdicts_on(items, controls, pair, until_then="they stand by gap") if choice.arrangement == "verdict" else None
    )
    show_matrices(comparison, items, choice, pair, data, verdicts)
    show_spreads(comparison, items, controls, pair)
    show_summary(choice.spec, comparison, pair, data)
    offer_downloads(comparison, choice.spec)
    st.subheader("Any two lists", anchor=False)
    if linked_toggle(st.container(), "Compare any two lists", key=LISTS, help="Pictures against captions or pictures."):
        two_lists(pair, data)
