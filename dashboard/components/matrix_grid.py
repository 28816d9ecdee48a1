"""The matrices side by side, the cell that is chosen in them, and the pictures of the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.matrix import Panel, common_limits, matrix_chart, symmetric_limits
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.components.blocks import open_block
from dashboard.components.links import linked_ids, put_into_link, take_from_link
from dashboard.components.page import is_dark
from dashboard.services import PairData, picture_url, thumbnails
from dashboard.services.matrices import Matrices, Noise
from muc_core.comparison import Mode

ROW, COLUMN = "matrices_row", "matrices_column"
"""Keys of the chosen cell, in the session and in the address."""
ROWS = "matrices_rows"
"""Key of the rows inside the box that was drawn: first and last."""
BLOCK = "matrices_block"
"""Key of the opened block."""
NAMES = {"before": "Before", "after": "After", "retrained": "Retrained", "gap": "Gap"}


@dataclass(frozen=True, eq=False)
class Grid:
    """What the matrices are of.

    Attributes:
        captions: of the items, by id; the id where there is none.
        noise: None unless what is not significant is to be grey.
        verdicts: on the items, by id, in words; empty when they were not audited.
        drag: whether dragging selects rows.
        spec: name of the set.
    """

    shown: Matrices
    mode: Mode
    captions: Mapping[str, str]
    data: PairData
    noise: Noise | None
    verdicts: Mapping[str, str]
    drag: bool
    spec: str

    def name(self, group: tuple[str, ...]) -> str:
        """Of a row or column: the caption, or the first and last of a block."""
        first = self.captions[group[0]]
        return first if len(group) == 1 else f"{first} … {self.captions[group[-1]]} ({len(group)})"

    @property
    def matrices(self) -> dict[str, Any]:
        found = {name: getattr(self.shown, name) for name in NAMES}
        return {name: matrix for name, matrix in found.items() if matrix is not None}


def show_grid(grid: Grid) -> None:
    """The matrices; two in a row when there are four of them."""
    names = list(grid.matrices)
    a_row = 2 if len(names) == 4 else len(names)
    for start in range(0, len(names), a_row):
        for column, name in zip(st.columns(a_row), names[start : start + a_row], strict=False):
            key = f"matrix_{name}"
            column.plotly_chart(
                matrix_chart(_panel(grid, name), dark=is_dark(), drag=grid.drag),
                key=key,
                on_select=partial(_take, key, grid),
                selection_mode=("points", "box"),
                theme=None,
                width="stretch",
                config=CONFIG,
            )


def _panel(grid: Grid, name: str) -> Panel:
    shown, matrix = grid.shown, grid.matrices[name]
    partner = "captions" if grid.mode == "image-text" else "pictures, other copies"
    is_gap = name == "gap"
    faded = grid.noise.insignificant(shown) if grid.noise is not None and is_gap else None
    return Panel(
        values=matrix,
        title=_title(shown, name),
        row_names=[grid.name(group) for group in shown.rows],
        column_names=[grid.name(group) for group in shown.columns],
        row_axis="pictures",
        column_axis=f"{partner}, in the order of the rows" if shown.rows == shown.columns else partner,
        limits=symmetric_limits(matrix) if is_gap else common_limits(shown.before, shown.after, shown.retrained),
        is_gap=is_gap,
        faded=faded,
        chosen=_chosen_place(shown),
        marked=_marked(shown),
    )


def _title(shown: Matrices, name: str) -> str:
    if shown.rows != shown.columns:
        return f"{NAMES[name]}: one block"
    means = {kind: round(float(getattr(shown, kind).diagonal().mean()), 2) for kind in ("before", "after")}
    own = "in the blocks of the diagonal" if shown.pooled else "on the diagonal"
    if name != "gap":
        return f"{NAMES[name]}: {two_decimals(float(getattr(shown, name).diagonal().mean()))} {own}"
    # The gap is that of the printed numbers: one that seems a cent off would look like a mistake.
    lost = means["before"] - means["after"]
    change = "no change" if not lost else f"{abs(lost):.2f} {'lost' if lost > 0 else 'gained'}"
    return f"Gap: {change} {own}"


def _chosen_place(shown: Matrices) -> tuple[int, int] | None:
    row, column = (st.session_state.get(key) for key in (ROW, COLUMN))
    if shown.pooled or (row,) not in shown.rows or (column,) not in shown.columns:
        return None
    return shown.rows.index((row,)), shown.columns.index((column,))


def _marked(shown: Matrices) -> Sequence[int]:
    ids = set(selected_ids(shown))
    return [] if shown.pooled else [place for place, group in enumerate(shown.rows) if group[0] in ids]


def _take(key: str, grid: Grid) -> None:
    """A click chooses a cell or opens a block; a box selects its rows. Beside the cells nothing happens."""
    shown = grid.shown
    selection: Any = st.session_state[key]["selection"]
    if boxes := selection["box"]:
        low, high = sorted(boxes[-1]["y"])
        rows = [group[0] for place, group in enumerate(shown.rows) if low - 0.5 < place < high + 0.5]
        if rows and not shown.pooled:
            st.session_state[ROWS] = (rows[0], rows[-1])
        return
    for point in selection["points"][:1]:
        row, column = round(point["y"]), round(point["x"])
        if shown.pooled:
            open_block(BLOCK, grid.spec, (row, column))
        else:
            st.session_state[ROW], st.session_state[COLUMN] = shown.rows[row][0], shown.columns[column][0]


def choose_cell(grid: Grid, first: str) -> None:
    """Select boxes for row and column: what a click does, for the keyboard; then the cell's numbers.

    Args:
        first: the item whose own cell is chosen at first.
    """
    shown = grid.shown
    ids = [[group[0] for group in side] for side in (shown.rows, shown.columns)]
    left, right = st.columns(2)
    partner = "caption" if grid.mode == "image-text" else "other picture"
    row = left.selectbox("Row", ids[0], key=ROW, format_func=grid.captions.__getitem__, help="The picture.")
    column = right.selectbox(
        "Column", ids[1], key=COLUMN, format_func=grid.captions.__getitem__, help=f"The {partner}."
    )
    moved = (row, column) != (first, first)
    put_into_link(matrices_row=row if moved else None, matrices_column=column if moved else None)
    _show_cell(grid, row, column)


def start_at(shown: Matrices, first: str) -> None:
    """Choose the cell of the link, else the item's own, while nothing that is on screen has been chosen."""
    rows, columns = ([group[0] for group in side] for side in (shown.rows, shown.columns))
    if st.session_state.get(ROW) in rows and st.session_state.get(COLUMN) in columns:
        return
    row, column = take_from_link(ROW, rows, "the row"), take_from_link(COLUMN, columns, "the column")
    st.session_state[ROW] = row or (first if first in rows else rows[0])
    st.session_state[COLUMN] = column or (first if first in columns else columns[0])


def _show_cell(grid: Grid, row: str, column: str) -> None:
    """A picture, its partner, their similarity in each encoder, and the interval of the gap."""
    shown, data, texts = grid.shown, grid.data, grid.captions
    place = shown.rows.index((row,)), shown.columns.index((column,))
    values = {name: float(matrix[place]) for name, matrix in grid.matrices.items() if name != "gap"}
    picture, partner, *numbers = st.columns((1.2, 1.2, *(1,) * (len(values) + 1)), vertical_alignment="center")
    picture.image(picture_url(data.dataset, data.dataset.index_of(row), 192), width=96, alt=texts[row])
    picture.caption(f"picture of “{texts[row]}”")
    if grid.mode == "image-text":
        partner.markdown(f"**“{texts[column]}”**")
        partner.caption("its own caption" if row == column else "the caption of another picture")
    else:
        partner.image(picture_url(data.dataset, data.dataset.index_of(column), 192), width=96, alt=texts[column])
        partner.caption("the same picture, changed" if row == column else f"another picture, “{texts[column]}”")
    labels = {"before": "Similarity before", "after": "Similarity after", "retrained": "Retrained"}
    for place_of, (name, value) in zip(numbers, values.items(), strict=False):
        place_of.metric(labels[name], two_decimals(value))
    # The gap of the printed numbers: one that seems a cent off would look like a mistake.
    lost = round(values["before"], 2) - round(values["after"], 2)
    numbers[-1].metric("Gap", two_decimals(lost), help="before minus after: above 0, alignment was lost")
    if grid.noise is not None:
        gap, low, high, significant = grid.noise.interval(row, column)
        said = "more than" if significant else "no more than"
        st.markdown(
            f"Over changed copies of the picture the gap is {two_decimals(gap)}, 95 % interval {two_decimals(low)} to "
            f"{two_decimals(high)}: {said} the noise of views."
        )


def selected_ids(shown: Matrices) -> tuple[str, ...]:
    """Items of the rows inside the box that was drawn, in the order of the rows."""
    if shown.pooled:
        return ()
    ids = [group[0] for group in shown.rows]
    ends = linked_ids(ROWS, ids, "a row")
    if len(ends) != 2:
        return ()
    places = [ids.index(name) for name in ends]
    return tuple(ids[min(places) : max(places) + 1])


def show_rows(grid: Grid) -> None:
    """The pictures of the selected rows, or of all, with their own similarity in each encoder."""
    shown = grid.shown
    selected = selected_ids(shown)
    ids = selected or tuple(group[0] for group in shown.rows)
    with st.expander(
        f"Pictures of the {len(ids):,} selected rows" if selected else f"Pictures of all {len(ids):,} rows",
        icon=":material/table_rows:",
        expanded=bool(selected),
        key="matrices_pictures",
    ):
        if selected:
            st.button("Show all rows", icon=":material/close:", on_click=_clear_rows)
        elif not grid.drag:
            st.caption("Switch on “Select rows by dragging” and draw a box on a matrix to see some of them alone.")
        st.dataframe(
            rows_table(grid, ids),
            hide_index=True,
            width="stretch",
            height=min(420, 40 + 44 * len(ids)),
            row_height=44,
            column_config={"Picture": st.column_config.ImageColumn("Picture", width=72)}
            | {
                name: st.column_config.NumberColumn(name, format="%.2f")
                for name in ("Before", "After", "Retrained", "Gap")
            },
        )


def _clear_rows() -> None:
    st.session_state[ROWS] = ()


def rows_table(grid: Grid, ids: Sequence[str]) -> pd.DataFrame:
    """A line for each item: its picture, caption, own similarity in each encoder, and the verdict if there is one."""
    shown = grid.shown
    own = [
        (shown.rows.index((name,)), shown.columns.index((name,)) if (name,) in shown.columns else None) for name in ids
    ]
    table: dict[str, list[Any]] = {
        "Picture": thumbnails(grid.data.dataset.subset(tuple(ids))),
        "Caption": [grid.captions[name] for name in ids],
    }
    for name, matrix in grid.matrices.items():
        table[NAMES[name]] = [None if column is None else float(matrix[row, column]) for row, column in own]
    if grid.verdicts:
        table["Verdict"] = [grid.verdicts.get(name, "–") for name in ids]
    return pd.DataFrame(table)


def choose_block(grid: Grid) -> None:
    """Where blocks are pooled: how one is opened, by click or by keyboard."""
    shown = grid.shown
    names = [[grid.name(group) for group in side] for side in (shown.rows, shown.columns)]
    st.markdown("Each cell is a block of pictures. **Click one to open it**, or choose it here.")
    left, right, button = st.columns((2, 2, 1), vertical_alignment="bottom")
    row = left.selectbox("Block of rows", range(len(names[0])), format_func=names[0].__getitem__)
    column = right.selectbox("Block of columns", range(len(names[1])), format_func=names[1].__getitem__)
    button.button(
        "Open", icon=":material/zoom_in:", width="stretch", on_click=open_block, args=(BLOCK, grid.spec, (row, column))
    )
