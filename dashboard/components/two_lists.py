"""Similarities of any two lists, chosen by the user, in both encoders side by side."""

from functools import partial
from typing import Any, get_args

import streamlit as st

from dashboard.charts.matrix import Panel, common_limits, matrix_chart
from dashboard.charts.style import CONFIG, two_decimals
from dashboard.components.blocks import open_block, opened_block
from dashboard.components.choices import Pair
from dashboard.components.links import linked_ids, linked_select
from dashboard.components.page import errors_as_sentences, is_dark
from dashboard.services import PairData, items_of, picture_url, sets_of
from dashboard.services.lists import Against, Lists, similarity_of_lists

ROWS, COLUMNS, AGAINST = "lists_rows", "lists_columns", "lists_against"
CELL, BLOCK = "lists_cell", "lists_block"
"""Keys of the clicked cell (ids of row and column) and of the opened block."""


@st.fragment
def two_lists(pair: Pair, data: PairData) -> None:
    """The choice of the lists, their similarities before and after, and the cell that was clicked."""
    with errors_as_sentences():
        sets = [info.spec for info in sets_of(data)]
        kinds: tuple[Against, ...] = get_args(Against)
        left, middle, right = st.columns(3)
        rows_of = linked_select(left, "Pictures of", sets, key=ROWS, first=sets[0], what="the set")
        against = linked_select(middle, "against", kinds, key=AGAINST, first=kinds[0], what="the kind of list")
        columns_of = linked_select(right, "of", sets, key=COLUMNS, first=sets[0], what="the set")
        rows, columns = items_of(rows_of, data), items_of(columns_of, data)
        asked = (rows_of, against, columns_of)
        block = opened_block(BLOCK, "/".join(asked))
        kind: Against = "captions" if against == "captions" else "pictures"
        lists = similarity_of_lists(pair.before, pair.after, rows, columns, kind, block=block)
        names = {item.id: item.text or item.id for part in (rows, columns) for item in part.items}
        _show(lists, names, kind, asked)
        if lists.pooled:
            st.caption("Each cell is the mean over a block of pairs; click one to open it.")
        elif block is not None:
            st.button(
                "Back to all blocks",
                icon=":material/zoom_out:",
                on_click=open_block,
                args=(BLOCK, "/".join(asked), None),
                key="lists_back",
            )
        _show_cell(lists, names, kind, data)


def _show(lists: Lists, names: dict[str, str], against: Against, asked: tuple[str, str, str]) -> None:
    limits = common_limits(lists.before, lists.after)
    called = [[_name(group, names) for group in side] for side in (lists.rows, lists.columns)]
    for column, (moment, values) in zip(st.columns(2), (("Before", lists.before), ("After", lists.after)), strict=True):
        key = f"lists_{moment.lower()}"
        panel = Panel(
            values=values,
            title=f"{moment}: mean {two_decimals(float(values.mean()))}",
            row_names=called[0],
            column_names=called[1],
            row_axis=f"pictures of {asked[0]}",
            column_axis=f"{against} of {asked[2]}",
            limits=limits,
            chosen=_place(lists),
        )
        column.plotly_chart(
            matrix_chart(panel, dark=is_dark()),
            key=key,
            on_select=partial(_take, key, lists, asked),
            selection_mode="points",
            theme=None,
            width="stretch",
            config=CONFIG,
        )


def _name(group: tuple[str, ...], names: dict[str, str]) -> str:
    return names[group[0]] if len(group) == 1 else f"{names[group[0]]} … {names[group[-1]]} ({len(group)})"


def _place(lists: Lists) -> tuple[int, int] | None:
    if lists.pooled:
        return None
    known = {group[0] for side in (lists.rows, lists.columns) for group in side}
    cell = linked_ids(CELL, known, "a picture")
    if len(cell) != 2 or (cell[0],) not in lists.rows or (cell[1],) not in lists.columns:
        return None
    return lists.rows.index((cell[0],)), lists.columns.index((cell[1],))


def _take(key: str, lists: Lists, asked: tuple[str, str, str]) -> None:
    selection: Any = st.session_state[key]["selection"]
    for point in selection["points"][:1]:
        row, column = round(point["y"]), round(point["x"])
        if lists.pooled:
            open_block(BLOCK, "/".join(asked), (row, column))
        else:
            st.session_state[CELL] = (lists.rows[row][0], lists.columns[column][0])


def _show_cell(lists: Lists, names: dict[str, str], against: Against, data: PairData) -> None:
    place = _place(lists)
    if place is None:
        if not lists.pooled:
            st.caption("Click a cell to see the pair.")
        return
    row, column = lists.rows[place[0]][0], lists.columns[place[1]][0]
    picture, partner, before, after = st.columns((1.2, 1.2, 1, 1), vertical_alignment="center")
    picture.image(picture_url(data.dataset, data.dataset.index_of(row), 192), width=96, caption=names[row])
    if against == "captions":
        partner.markdown("**Caption**")
        partner.text(names[column])
    else:
        partner.image(picture_url(data.dataset, data.dataset.index_of(column), 192), width=96, caption=names[column])
    before.metric("Similarity before", two_decimals(float(lists.before[place])))
    after.metric("Similarity after", two_decimals(float(lists.after[place])))
