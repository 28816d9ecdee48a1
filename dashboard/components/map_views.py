"""Ways of looking at a joint map: in one picture, side by side with a lasso, moving from before to after, in space."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.map_colours import SETS, Colouring
from dashboard.charts.map_moves import Moment, moving_map, one_side
from dashboard.charts.maps import HOW_TO_READ, MapData, embedding_map, finding
from dashboard.charts.style import CONFIG
from dashboard.components.links import MOST_IDS, linked_ids
from dashboard.components.page import errors_as_sentences, is_dark
from dashboard.services import thumbnails
from dashboard.services.maps import DrawnMap

CHOSEN = "map_chosen"
"""Key of the ids of the selected pictures."""
MOST_LISTED = 300

HOW_TO_READ_SIDES = (
    "How to read this: left where the encoder before put each picture, right where the encoder after did, on the same "
    "axes. Draw a loop around points of either map: the same pictures stand out on both and are listed below. A double "
    "click ends the selection."
)
HOW_TO_READ_MOVES = (
    "How to read this: draw the slider from before to after. Each point goes straight from where the encoder before "
    "put its picture to where the encoder after did; the way between is drawn, not measured."
)


def one_map(data: MapData, colouring: Colouring, *, lines: bool) -> None:
    """Before hollow, after solid, the picture at the pointer."""
    st.altair_chart(
        embedding_map(data, dark=is_dark(), lines=lines, colouring=colouring), theme=None, width="stretch", key="map"
    )
    st.caption(HOW_TO_READ)


def moving(data: MapData, colouring: Colouring, *, lines: bool) -> None:
    """The slider from before to after, in the plane or in space; it needs no rerun."""
    st.markdown(f"**{finding(data)}**")
    st.plotly_chart(
        moving_map(data, colouring, dark=is_dark(), lines=lines),
        key="map_moving",
        theme=None,
        width="stretch",
        config=CONFIG | {"scrollZoom": data.projection.before.shape[1] == 3},
    )
    turn = " Turn it with the pointer." if data.projection.before.shape[1] == 3 else ""
    st.caption(HOW_TO_READ_MOVES + turn)


@st.fragment
def sides(data: MapData, colouring: Colouring, drawn: DrawnMap) -> None:
    """Both maps and the pictures that are selected on either. A fragment: a lasso redraws this part only."""
    with errors_as_sentences():
        ids = drawn.items.dataset.ids
        places = {name: place for place, name in enumerate(ids)}
        st.markdown(f"**{finding(data)}**")
        chosen = [places[name] for name in linked_ids(CHOSEN, places, "a picture")]
        moments: tuple[Moment, Moment] = ("before", "after")
        for column, moment in zip(st.columns(2), moments, strict=True):
            key = f"map_{moment}"
            column.markdown(f"**{moment.capitalize()} unlearning**")
            column.plotly_chart(
                one_side(data, colouring, moment, dark=is_dark(), chosen=chosen),
                key=key,
                on_select=partial(_take, key, ids),
                selection_mode=("points", "box", "lasso"),
                theme=None,
                width="stretch",
                config=CONFIG,
            )
        st.caption(HOW_TO_READ_SIDES)
        if chosen:
            _list(data, drawn, chosen)


def _take(key: str, ids: tuple[str, ...]) -> None:
    points: list[Any] = st.session_state[key]["selection"]["points"]
    # A point of the user's own pictures has no place among the items.
    st.session_state[CHOSEN] = tuple(ids[int(_place(point))] for point in points if point.get("customdata") is not None)


def _place(point: Any) -> int:
    found = point["customdata"]
    return int(found[0] if isinstance(found, (list, tuple)) else found)


def _list(data: MapData, drawn: DrawnMap, chosen: list[int]) -> None:
    """The selected pictures, those that drifted most first."""
    dataset = drawn.items.dataset
    first = sorted(chosen, key=lambda place: -float(drawn.drift[place]))[:MOST_LISTED]
    more = f"; listed are the {MOST_LISTED} that drifted most" if len(chosen) > MOST_LISTED else ""
    if len(chosen) > MOST_IDS:
        more += f". A link to this page carries up to {MOST_IDS}"
    left, right = st.columns((3, 1), vertical_alignment="center")
    left.markdown(f"**{len(chosen):,} pictures selected**{more}.")
    right.button("End the selection", icon=":material/close:", on_click=_clear, width="stretch")
    table = pd.DataFrame(
        {
            "Picture": thumbnails(dataset.subset(tuple(dataset.ids[place] for place in first))),
            "Caption": [data.texts[place] for place in first],
            "Set": [SETS[data.groups[place]] for place in first],
            "Drift": [float(drawn.drift[place]) for place in first],
            "Moved on the map": [100 * float(data.projection.displacement[place]) for place in first],
            "Neighbours kept": [100 * float(drawn.retention[1][place]) for place in first],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=min(420, 40 + 44 * len(first)),
        row_height=44,
        column_config={
            "Picture": st.column_config.ImageColumn("Picture", width=72),
            "Drift": st.column_config.NumberColumn(
                format="%.2f", help="in the original space, before the map: 1 - cosine of before and after"
            ),
            "Moved on the map": st.column_config.NumberColumn(format="%.1f %%", help="share of the map's diagonal"),
            "Neighbours kept": st.column_config.NumberColumn(
                format="%.0f %%", help="of the 15 nearest in the original space, those near on the map, too, after"
            ),
        },
    )


def _clear() -> None:
    st.session_state[CHOSEN] = ()
