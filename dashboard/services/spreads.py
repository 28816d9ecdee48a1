"""How positive and negative alignment are spread over a set, before and after, beside controls."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services import ask_first, encoder
from dashboard.services.matrices import factors_of
from muc_core.audit.alignment import matrix_of
from muc_core.comparison import Mode
from muc_core.data.dataset import ImageTextDataset

MOST = 1_500
"""Items whose every pair is counted; of more, so many are drawn at random."""
BINS = 48


@dataclass(frozen=True, eq=False)
class Spread:
    """How similarities are spread in the two encoders.

    Attributes:
        edges: `[bins + 1]` of the bins, the same for both.
        before, after: share of the similarities in each bin `[bins]`; they add up to 1.
        mean_before, mean_after: of the similarities.
        band_before, band_after: 5th and 95th percentile of the controls; None without controls.
    """

    edges: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    mean_before: float
    mean_after: float
    band_before: tuple[float, float] | None
    band_after: tuple[float, float] | None


@dataclass(frozen=True)
class Spreads:
    """Spread of positive and of negative alignment; the latter is None for a single item."""

    positive: Spread
    negative: Spread | None
    drawn: int


def spreads(before: str, after: str, items: ImageTextDataset, controls: ImageTextDataset | None, mode: Mode) -> Spreads:
    """Spreads of the cells on and off the diagonal, computed once per content.

    Raises:
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    items = _at_most(items)
    controls = None if controls is None else _at_most(controls)
    both = encoder(before), encoder(after)
    ask_first(both, [items] if controls is None else [items, controls], mode)
    return _spreads(
        both[0].digest,
        both[1].digest,
        items.digest(),
        None if controls is None else controls.digest(),
        mode,
        _names=(before, after),
        _items=items,
        _controls=controls,
    )


def _at_most(items: ImageTextDataset) -> ImageTextDataset:
    if len(items) <= MOST:
        return items
    rows = np.sort(np.random.default_rng(0).choice(len(items), MOST, replace=False))
    return items.subset(tuple(items.ids[row] for row in rows), name=items.name)


@st.cache_data(show_spinner="Counting similarities ...", max_entries=32)
def _spreads(
    before_digest: str,
    after_digest: str,
    items_digest: str,
    controls_digest: str | None,
    mode: Mode,
    *,
    _names: tuple[str, str],
    _items: ImageTextDataset,
    _controls: ImageTextDataset | None,
) -> Spreads:
    own = [_cells(name, _items, mode) for name in _names]
    theirs = None if _controls is None else [_cells(name, _controls, mode) for name in _names]
    positive, negative = (
        _spread([cells[part] for cells in own], None if theirs is None else [cells[part] for cells in theirs])
        for part in (0, 1)
    )
    assert positive is not None  # every item has a partner
    return Spreads(positive, negative, len(_items))


def _cells(name: str, items: ImageTextDataset, mode: Mode) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cells on the diagonal, and all others."""
    matrix = matrix_of(factors_of(encoder(name), items, mode))
    return matrix.diagonal().copy(), matrix[~np.eye(len(matrix), dtype=bool)]


def _spread(own: list[npt.NDArray[np.float64]], controls: list[npt.NDArray[np.float64]] | None) -> Spread | None:
    if not all(len(values) for values in own):
        return None
    every = np.concatenate(own)
    edges = np.linspace(every.min(), max(every.max(), every.min() + 1e-3), BINS + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in own]
    bands: list[tuple[float, float] | None] = [None, None]
    if controls is not None and all(len(values) for values in controls):
        bands = [(float(np.quantile(values, 0.05)), float(np.quantile(values, 0.95))) for values in controls]
    return Spread(edges, shares[0], shares[1], float(own[0].mean()), float(own[1].mean()), bands[0], bands[1])
