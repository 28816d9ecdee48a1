"""Similarities between any two lists: the pictures of one set against the captions or the pictures of another."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services import ask_first, encoder
from dashboard.services.matrices import BLOCKS, MOST_SHOWN
from muc_core.audit.alignment import Factors, image_text_factors
from muc_core.audit.picture import cells_across, lay_out
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.errors import MucError

Against: TypeAlias = Literal["captions", "pictures"]


@dataclass(frozen=True, eq=False)
class Lists:
    """Cosines between two lists in the encoder before and after, `[rows, columns]`.

    Attributes:
        rows, columns: ids of the items that a row or column stands for: one, or the items of a block.
    """

    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]

    @property
    def pooled(self) -> bool:
        return any(len(group) > 1 for group in (*self.rows, *self.columns))


def similarity_of_lists(
    before: str,
    after: str,
    rows: ImageTextDataset,
    columns: ImageTextDataset,
    against: Against,
    *,
    block: tuple[int, int] | None = None,
) -> Lists:
    """Pictures of `rows` against captions or pictures of `columns`, computed once per content.

    Args:
        block: row and column of a block to open, where a list is longer than can be shown.

    Raises:
        MucError: captions are asked for and an encoder reads none, or one is missing.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    both = encoder(before), encoder(after)
    if against == "captions":
        if silent := [one.name for one in both if not one.has_text]:
            raise MucError(f"{silent[0]} cannot read captions; compare with pictures")
        if missing := [name for name, text in zip(columns.ids, columns.texts, strict=True) if not text]:
            raise MucError(f"{missing[0]!r} has no caption ({len(missing)} have none); compare with pictures")
    ask_first(both, [rows, columns], "image-text" if against == "captions" else "pictures")
    return _lists(
        (both[0].digest, both[1].digest),
        rows.digest(),
        columns.digest(),
        against,
        block,
        _both=both,
        _rows=rows,
        _columns=columns,
    )


@st.cache_data(show_spinner="Comparing the lists ...", max_entries=16)
def _lists(
    digests: tuple[str, str],
    rows_digest: str,
    columns_digest: str,
    against: Against,
    block: tuple[int, int] | None,
    *,
    _both: tuple[Encoder, Encoder],
    _rows: ImageTextDataset,
    _columns: ImageTextDataset,
) -> Lists:
    groups = [_groups(len(_rows)), _groups(len(_columns))]
    if block is not None:
        groups = [_opened(side, place) for side, place in zip(groups, block, strict=True)]
    found = []
    for one in _both:
        left = _unit(one.digest, rows_digest, "pictures", _encoder=one, _items=_rows)
        right = _unit(one.digest, columns_digest, against, _encoder=one, _items=_columns)
        found.append(cells_across(left, right, groups[0], groups[1]))
    ids = [
        tuple(tuple(items.ids[place] for place in group) for group in side)
        for items, side in zip((_rows, _columns), groups, strict=True)
    ]
    return Lists(ids[0], ids[1], found[0], found[1])


def _groups(n: int) -> tuple[npt.NDArray[np.intp], ...]:
    most = MOST_SHOWN if n <= MOST_SHOWN else max(BLOCKS, math.ceil(n / MOST_SHOWN))
    return lay_out(np.arange(n), max_cells=most, reduction="pooled").groups


def _opened(groups: tuple[npt.NDArray[np.intp], ...], place: int) -> tuple[npt.NDArray[np.intp], ...]:
    """The items of a block, one by one; a list without blocks stays as it is."""
    if all(len(group) == 1 for group in groups):
        return groups
    return tuple(groups[min(place, len(groups) - 1)].reshape(-1, 1))


@st.cache_resource(show_spinner="Looking at the pictures ...", max_entries=16)
def _unit(
    encoder_digest: str, items_digest: str, what: Against, *, _encoder: Encoder, _items: ImageTextDataset
) -> Factors:
    """Unit vectors of pictures or captions, as both sides of a matrix."""
    if what == "captions":
        vectors = embed_texts(_encoder, [text or "" for text in _items.texts]).numpy()
    else:
        vectors = embed_images(_encoder, _items).numpy()
    return image_text_factors(vectors, vectors, ids=_items.ids, similarity=similarity_of(_encoder))
