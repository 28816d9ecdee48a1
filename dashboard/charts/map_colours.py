"""What the points of a map are coloured by: a class each, or a number each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from dashboard.charts.style import HUES, ink
from dashboard.charts.verdict_looks import ITEM_LOOKS
from muc_core.audit.result import ItemVerdict

Float64 = npt.NDArray[np.float64]

SETS = {"forget": "forget set", "retain": "retain set", "held-out": "held-out set"}
"""In the order of the legend; the held-out set is the controls."""
CLASSES = ("#332288", "#88CCEE", "#44AA99", "#999933", "#DDCC77", "#AA4499", "#882255")
"""Paul Tol's muted scheme, for classes that are no sets: the hues of the sets keep their meaning."""
NUMBERS: Literal["cividis"] = "cividis"
"""Plotly and Vega know it by the same name."""
OTHERS, NOT_AUDITED = "all others", "not audited"


@dataclass(frozen=True, eq=False)
class Colouring:
    """What n items are coloured by: classes with their palette, or numbers.

    Attributes:
        title: of the legend or scale.
        classes: of each item; None for numbers.
        palette: colour of each class, in the order of the legend.
        numbers: of the points before and of those after, `[n]` each.
        limits: of the scale.
    """

    title: str
    classes: tuple[str, ...] | None = None
    palette: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[Float64, Float64] | None = None
    limits: tuple[float, float] = (0.0, 1.0)


def by_set(groups: Sequence[str]) -> Colouring:
    """Forget, retain and held-out set in their hues."""
    palette = {SETS[group]: HUES[group] for group in SETS if group in groups}
    return Colouring("set", tuple(SETS[group] for group in groups), palette)


def by_class(title: str, values: Sequence[str | None], dark: bool) -> Colouring:
    """The most frequent classes in colours of their own, all others in grey."""
    counts = Counter(value for value in values if value)
    first = [value for value, _ in counts.most_common(len(CLASSES))]
    palette = dict(zip(first, CLASSES, strict=False))
    classes = tuple(value if value in palette else OTHERS for value in values)
    if OTHERS in classes:
        palette[OTHERS] = ink(dark).muted
    return Colouring(title, classes, palette)


def by_verdict(ids: Sequence[str], verdicts: Mapping[str, ItemVerdict], dark: bool) -> Colouring:
    """The verdict on each picture, in the colours it has everywhere."""
    words = {verdict: look.word for verdict, look in ITEM_LOOKS.items()}
    classes = tuple(words[verdicts[name]] if name in verdicts else NOT_AUDITED for name in ids)
    palette = {look.word: look.ink(dark) for look in ITEM_LOOKS.values() if look.word in classes}
    if NOT_AUDITED in classes:
        palette[NOT_AUDITED] = ink(dark).rule
    return Colouring("verdict", classes, palette)


def by_number(title: str, before: Float64, after: Float64) -> Colouring:
    """A number of each point; the scale ends where 99 of 100 do, so that one stray point does not take all of it."""
    known = np.concatenate([before, after])
    known = known[~np.isnan(known)]
    top = float(np.quantile(known, 0.99)) if len(known) else 1.0
    return Colouring(title, numbers=(before, after), limits=(0.0, max(top, 1e-6)))
