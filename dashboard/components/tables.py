"""Tables of a comparison, as data frames for the page and for downloads."""

from collections.abc import Iterable

import pandas as pd

from dashboard.charts.style import two_decimals
from muc_core.audit.summary import ItemScores
from muc_core.comparison import Comparison
from muc_core.sheets import harmless

SUMMARY_COLUMNS = ("Pictures of", "Number", "Positive alignment", "Lost", "Negative alignment", "Own partner first")


def csv_of(table: pd.DataFrame) -> str:
    """A table as CSV in which no text is a formula."""
    return table.map(harmless).rename(columns=harmless).to_csv(index=False)


def summary_table(rows: Iterable[tuple[str, Comparison]]) -> pd.DataFrame:
    """One row per named set: alignment among its own pictures before and after, and how often the own partner is the
    most similar. Texts for people, "–" where a set has a single picture."""
    return pd.DataFrame([_summary_row(name, comparison) for name, comparison in rows], columns=SUMMARY_COLUMNS)


def _summary_row(name: str, comparison: Comparison) -> tuple[str, ...]:
    before, after = comparison.before.summary, comparison.after.summary
    # The loss is that of the printed numbers: one that seems a cent off would look like a mistake.
    lost = round(before.positive_mean, 2) - round(after.positive_mean, 2)
    return (
        name,
        f"{before.n:,}",
        f"{two_decimals(before.positive_mean)} → {two_decimals(after.positive_mean)}",
        two_decimals(lost),
        f"{two_decimals(before.negative_mean)} → {two_decimals(after.negative_mean)}",
        f"{_percent(before.top1_left)} → {_percent(after.top1_left)}",
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def items_table(comparison: Comparison) -> pd.DataFrame:
    """One row per item and control, for a download: exact numbers, names as in the comparison's JSON."""
    frames = [_items("item", comparison.ids, comparison.texts, comparison.before.items, comparison.after.items)]
    if comparison.controls is not None:
        controls = comparison.controls
        frames.append(_items("control", controls.ids, controls.texts, controls.before, controls.after))
    return pd.concat(frames, ignore_index=True)


def _items(
    part: str, ids: tuple[str, ...], texts: tuple[str | None, ...], before: ItemScores, after: ItemScores
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "part": part,
            "id": ids,
            "text": texts,
            "positive_before": before.positive,
            "positive_after": after.positive,
            "gap": before.positive - after.positive,
            "negative_before": before.negative,
            "negative_after": after.negative,
            "margin_before": before.margin,
            "margin_after": after.margin,
            "rank_before": before.rank,
            "rank_after": after.rank,
        }
    )
