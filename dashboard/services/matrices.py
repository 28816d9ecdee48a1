"""What the page Matrices asks for: matrices of several encoders over the same items, and what of their gap is noise."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services import (
    VIEWS,
    AuditPlan,
    ask_first,
    encoder,
    encoder_records,
    known_audit,
    plan_audit,
    workspace,
)
from muc_core.audit.alignment import Factors, alignment_gap, diagonal_of, image_text_factors, view_factors
from muc_core.audit.gap import GapInference, gap_inference
from muc_core.audit.ordering import Order, order_by_cluster, order_by_diagonal, order_given
from muc_core.audit.picture import cells_between, lay_out
from muc_core.audit.result import AuditResult, ItemVerdict
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.comparison import Mode
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.progress import Progress

Float64: TypeAlias = npt.NDArray[np.float64]
Arrangement: TypeAlias = Literal["gap", "given", "cluster", "verdict"]
"""How rows are sorted: most lost first, as given, alike side by side, by the verdict on each picture."""

MOST_SHOWN = 400
"""Cells along a side; more items are pooled into blocks, which open."""
BLOCKS = 60
"""Blocks along a side, or more where one of them would open into more than can be shown."""
MOST_CLUSTERED = 800
"""Items that are clustered one by one; beyond, blocks of neighbours in the given order are."""

_CONCERN: dict[ItemVerdict, int] = {"trace found": 0, "below never-seen": 1, "no trace found": 2}


@dataclass(frozen=True, eq=False)
class Matrices:
    """Alignment of the same items in two or three encoders, `[rows, columns]` each.

    Attributes:
        rows, columns: ids of the items that a row or column stands for: one, or the items of a block.
        retrained: in an encoder that never saw the forget set, None where there is none.
        note: what is shown, a sentence.
    """

    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    before: Float64
    after: Float64
    retrained: Float64 | None
    note: str

    @property
    def gap(self) -> Float64:
        """Before minus after; positive = alignment was lost."""
        return alignment_gap(self.before, self.after)

    @property
    def pooled(self) -> bool:
        return any(len(group) > 1 for group in (*self.rows, *self.columns))

    @property
    def ids(self) -> tuple[str, ...]:
        """Items on screen, rows first, each once."""
        return tuple(dict.fromkeys(item for group in (*self.rows, *self.columns) for item in group))


def retrained_of(before: str, after: str) -> str | None:
    """The newest Retrain of the same original, data and split as `after`; None when there is none or `after` is it."""
    records = {record.manifest.name: record.manifest for record in encoder_records()}
    found = [
        name
        for name, manifest in records.items()
        if manifest.method == "retrain" and manifest.original == before and manifest.data == records[after].data
    ]
    return None if after in found or not found else found[-1]


def matrices(
    before: str,
    after: str,
    retrained: str | None,
    items: ImageTextDataset,
    mode: Mode,
    arrangement: Arrangement,
    *,
    verdicts: AuditResult | None = None,
    block: tuple[int, int] | None = None,
) -> Matrices:
    """The matrices of two or three encoders, computed once per content.

    Args:
        arrangement: of the items; "verdict" needs `verdicts`, the audit of the same items.
        block: row and column of a block to open, when there are more than `MOST_SHOWN` items.

    Raises:
        MucError: vectors that cannot be compared.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    names = [name for name in (before, after, retrained) if name is not None]
    both = [encoder(name) for name in names]
    ask_first(both, [items], mode)
    standing = (
        () if verdicts is None else tuple((item.id, item.verdict, item.standing_after) for item in verdicts.items)
    )
    return _matrices(
        tuple(one.digest for one in both), items.digest(), mode, arrangement, standing, block, _both=both, _items=items
    )


@st.cache_data(show_spinner="Comparing the encoders ...", max_entries=32)
def _matrices(
    digests: tuple[str, ...],
    items_digest: str,
    mode: Mode,
    arrangement: Arrangement,
    standing: tuple[tuple[str, ItemVerdict, float], ...],
    block: tuple[int, int] | None,
    *,
    _both: Sequence[Encoder],
    _items: ImageTextDataset,
) -> Matrices:
    factors = [_factors(one.digest, items_digest, mode, _encoder=one, _items=_items) for one in _both]
    n = len(_items)
    order = _order(factors, arrangement, standing, _items)
    most = MOST_SHOWN if n <= MOST_SHOWN else max(BLOCKS, math.ceil(n / MOST_SHOWN))
    layout = lay_out(order, max_cells=most, reduction="pooled")
    groups: tuple[npt.NDArray[np.intp], ...] = layout.groups
    if arrangement == "cluster" and n > MOST_CLUSTERED:
        groups = tuple(groups[place] for place in order_by_cluster(cells_between(factors[0], groups, groups)))
    rows, columns, note = groups, groups, layout.note
    if block is not None and layout.kind == "pooled":
        opened = (groups[min(place, len(groups) - 1)] for place in block)
        rows, columns = (tuple(group.reshape(-1, 1)) for group in opened)
        note = f"Shows one block, {len(rows):,} by {len(columns):,} of the {n:,} items."
    found = [cells_between(one, rows, columns) for one in factors]
    names = [tuple(tuple(_items.ids[place] for place in group) for group in side) for side in (rows, columns)]
    return Matrices(names[0], names[1], found[0], found[1], found[2] if len(found) > 2 else None, note)


def _order(
    factors: Sequence[Factors],
    arrangement: Arrangement,
    standing: tuple[tuple[str, ItemVerdict, float], ...],
    items: ImageTextDataset,
) -> Order:
    n = len(items)
    if arrangement == "gap":
        return order_by_diagonal(diagonal_of(factors[0]) - diagonal_of(factors[1]))
    if arrangement == "cluster" and n <= MOST_CLUSTERED:
        every = tuple(np.arange(n).reshape(n, 1))
        return order_by_cluster(cells_between(factors[0], every, every))
    if arrangement == "verdict" and standing:
        ranked = sorted(standing, key=lambda item: (_CONCERN[item[1]], -item[2]))
        return order_given(n, [items.index_of(item_id) for item_id, _, _ in ranked])
    return order_given(n)


def factors_of(asked: Encoder, items: ImageTextDataset, mode: Mode) -> Factors:
    """Factors of the alignment matrix of these items in an encoder, computed once per content."""
    return _factors(asked.digest, items.digest(), mode, _encoder=asked, _items=items)


@st.cache_resource(show_spinner="Looking at the pictures ...", max_entries=24)
def _factors(digest: str, items_digest: str, mode: Mode, *, _encoder: Encoder, _items: ImageTextDataset) -> Factors:
    if mode == "two-view":
        views = embed_views(_encoder, _items, views=VIEWS).numpy()
        return view_factors(views, ids=_items.ids, similarity=similarity_of(_encoder))
    texts = embed_texts(_encoder, [text or "" for text in _items.texts])
    images = embed_images(_encoder, _items)
    return image_text_factors(images.numpy(), texts.numpy(), ids=_items.ids, similarity=similarity_of(_encoder))


@dataclass(frozen=True, eq=False)
class Noise:
    """The gap over views of the items `ids`, and which cells are more than its noise; see `GapInference`."""

    ids: tuple[str, ...]
    inference: GapInference

    @property
    def share(self) -> float:
        """Of all cells, those that are significant, in [0, 1]."""
        return float(self.inference.significant.mean())

    @property
    def own_significant(self) -> int:
        """Cells on the diagonal that are significant."""
        return int(self.inference.significant.diagonal().sum())

    def places(self, names: Sequence[tuple[str, ...]]) -> list[int]:
        """Rows or columns of the inference for the items named."""
        position = {item_id: place for place, item_id in enumerate(self.ids)}
        return [position[group[0]] for group in names]

    def insignificant(self, shown: Matrices) -> npt.NDArray[np.bool_]:
        """Cells on screen `[rows, columns]` that other views of the same pictures could have made."""
        return ~self.inference.significant[np.ix_(self.places(shown.rows), self.places(shown.columns))]

    def interval(self, row: str, column: str) -> tuple[float, float, float, bool]:
        """Gap over views of a cell, its 95 % interval, and whether it is significant."""
        place = self.ids.index(row), self.ids.index(column)
        found = self.inference
        return (
            float(found.gap[place]),
            float(found.low[place]),
            float(found.high[place]),
            bool(found.significant[place]),
        )


def noise_of(before: str, after: str, items: ImageTextDataset, mode: Mode, progress: Progress) -> Noise:
    """Inference on the gap over views of each item.

    Vectors of the views are kept in the workspace, so that only the first time takes seconds.

    Args:
        items: those on screen, at most `2 * MOST_SHOWN`: a row for each.

    Raises:
        MucError: fewer than two items.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    # One order whatever the arrangement on screen: the views of a picture depend on its place.
    items = items.subset(sorted(items.ids), name=items.name)
    both = encoder(before), encoder(after)
    ask_first(both, [items], "two-view")
    vectors = [_view_vectors(one, items, mode, progress) for one in both]
    found = _inference(both[0].digest, both[1].digest, items.digest(), mode, _before=vectors[0], _after=vectors[1])
    return Noise(items.ids, found)


def _view_vectors(asked: Encoder, items: ImageTextDataset, mode: Mode, progress: Progress) -> Vectors:
    key = hashlib.sha256("/".join(("views", asked.digest, items.digest(), mode, str(VIEWS))).encode()).hexdigest()[:32]
    known = workspace().read_map(f"views-{key}")
    if known is None:
        known = {"views": embed_views(asked, items, views=VIEWS, progress=progress).numpy()}
        if mode == "image-text":
            known["texts"] = embed_texts(asked, [text or "" for text in items.texts]).numpy()
        workspace().write_map(f"views-{key}", known)
    views = known["views"].astype(np.float32)
    if mode == "two-view":
        return ViewVectors(views, similarity_of(asked))
    return ImageTextVectors(views, known["texts"].astype(np.float32), similarity_of(asked))


@st.cache_data(show_spinner="Telling change from noise ...", max_entries=16)
def _inference(
    before_digest: str, after_digest: str, items_digest: str, mode: Mode, *, _before: Vectors, _after: Vectors
) -> GapInference:
    return gap_inference(_before, _after)


def audit_of(
    before: str, after: str, items: ImageTextDataset, controls: ImageTextDataset | None
) -> tuple[AuditPlan, AuditResult | None]:
    """The audit of these items: how it would be made, and its result where it was made. Raises `MucError`."""
    plan = plan_audit(before, after, items, controls)
    return plan, known_audit(plan)
