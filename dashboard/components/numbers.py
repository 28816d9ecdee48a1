"""The numbers of a comparison as a table on the page, each beside its picture."""

import pandas as pd
import streamlit as st

from muc_core.comparison import Comparison


def numbers_table(comparison: Comparison, thumbnails: list[str]) -> None:
    """One row an item; `thumbnails` are data URLs in the order of the items."""
    partner = "Caption" if comparison.mode == "image-text" else "Other copies"
    pool = len(comparison.ids) + (len(comparison.controls.ids) if comparison.controls else 0)
    before, after = comparison.before.items.positive, comparison.after.items.positive
    rows = {
        "Picture": thumbnails,
        "Name": [text or name for name, text in zip(comparison.ids, comparison.texts, strict=True)],
        "Before": before,
        "After": after,
        # Of the printed numbers: a loss that seems a cent off would look like a mistake.
        "Lost": before.round(2) - after.round(2),
        "Place before": comparison.before.items.rank,
        "Place after": comparison.after.items.rank,
    }
    place = (
        f"Place of the own {partner.lower()} among all {pool} by similarity, items and controls together; 1 = the most "
        "similar."
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        row_height=40,
        column_config={
            "Picture": st.column_config.ImageColumn("Picture", width=60),
            "Before": number("Before", format="%.2f", help="Similarity in the encoder before; higher = more alike."),
            "After": number("After", format="%.2f", help="Similarity in the encoder after; higher = more alike."),
            "Lost": number("Lost", format="%.2f", help="Before minus after: above 0 similarity was lost."),
            "Place before": number("Place before", format="%.0f", help=place),
            "Place after": number("Place after", format="%.0f", help=place),
        },
    )
