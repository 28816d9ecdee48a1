"""The numbers of a comparison as a table on the page and as a CSV file."""

import pandas as pd
import streamlit as st

from muc_core.audit.summary import ItemScores
from muc_core.comparison import Comparison


def numbers_table(comparison: Comparison, thumbnails: list[str]) -> None:
    """One row an item; `thumbnails` are data URLs in the order of the items."""
    partner = "Caption" if comparison.mode == "image-text" else "Other copies"
    pool = len(comparison.ids) + (len(comparison.controls.ids) if comparison.controls else 0)
    rows = {
        "Picture": thumbnails,
        "Name": [text or name for name, text in zip(comparison.ids, comparison.texts, strict=True)],
        "Before": comparison.before.items.positive,
        "After": comparison.after.items.positive,
        "Lost": comparison.gap_per_item,
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
            "Before": number("Before", format="%.2f", help="Similarity in the encoder before (cosine)."),
            "After": number("After", format="%.2f", help="Similarity in the encoder after (cosine)."),
            "Lost": number("Lost", format="%.2f", help="Before minus after: above 0 similarity was lost."),
            "Place before": number("Place before", format="%.0f", help=place),
            "Place after": number("Place after", format="%.0f", help=place),
        },
    )


def numbers_csv(comparison: Comparison) -> str:
    """One line an item and one a control, with full precision; `gap` = before - after, positive = lost."""
    parts = [_lines("item", comparison.ids, comparison.texts, comparison.before.items, comparison.after.items)]
    if comparison.controls is not None:
        controls = comparison.controls
        parts.append(_lines("control", controls.ids, controls.texts, controls.before, controls.after))
    return pd.concat(parts).to_csv(index=False)


def _lines(
    kind: str, ids: tuple[str, ...], texts: tuple[str | None, ...], before: ItemScores, after: ItemScores
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "set": kind,
            "id": ids,
            "caption": texts,
            "similarity_before": before.positive,
            "similarity_after": after.positive,
            "gap": before.positive - after.positive,
            "negative_before": before.negative,
            "negative_after": after.negative,
            "margin_before": before.margin,
            "margin_after": after.margin,
            "rank_before": before.rank,
            "rank_after": after.rank,
        }
    )
