"""Collateral: what became of pictures that nobody asked to forget, in both encoders.

Of an item or a text the interval says how far its loss would move with other views of the same pictures (jackknife over
views, Efron & Stein 1981); of a class, how far it would move with other items of that class. Shown are those that lost
most. Their intervals are widened for having been chosen: with k shown of m compared each has the confidence
1 - .05 k / m, so that of those shown no more than 5 % are expected to miss (false coverage rate, Benjamini & Yekutieli
2005).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, t

from muc_core.audit.alignment import Float64, matrix_of
from muc_core.audit.result import Bystanders, Change, Collateral, GroupChange, Interval
from muc_core.audit.vectors import ImageTextVectors, Vectors
from muc_core.errors import MucError

SHOWN = 10
FEWEST_VIEWS = 3
"""With fewer views nothing is said of how much they matter."""

FEWEST_OF_A_CLASS = 5
FALSE_COVERAGE = 0.05
BYSTANDERS = 400
"""Controls and retained items, of each, that an audit looks at, at most."""

MOST = 1_000
"""Items looked at, at most; callers draw so many."""


@dataclass(frozen=True)
class Bystander:
    """An item that nobody asked to forget."""

    id: str
    group: Bystanders
    label: str | None = None
    text: str | None = None


@dataclass(frozen=True, eq=False)
class _Seen:
    """Margins `[n]` of the items and of their partners, over all views."""

    items: Float64
    partners: Float64


@dataclass(frozen=True, eq=False)
class _Loss:
    """Something's margin before and after, the standard error of its loss and the error's degrees of freedom."""

    name: str
    group: Bystanders
    count: int
    before: float
    after: float
    error: float | None
    freedom: int

    @property
    def lost(self) -> float:
        return self.before - self.after


def collateral(before: Vectors, after: Vectors, items: Sequence[Bystander]) -> Collateral:
    """Which of the items, their classes and their texts lost most between two encoders.

    Margins are taken among these items alone, so that what became of the owner's pictures does not move them.

    Args:
        before, after: vectors of the items, in their order, of the same views; the encoders' dimensions may differ.
        items: at least two, at most `MOST`.

    Raises:
        MucError: another number of vectors than of items, or of another kind; too few or too many items.
    """
    if not 2 <= len(items) <= MOST:
        raise MucError(f"there are {len(items):,} items to look at for collateral; it takes 2 to {MOST:,}")
    if type(before) is not type(after) or {before.n, after.n} != {len(items)}:
        raise MucError("collateral needs vectors of the same kind and of every item from both encoders")
    first, second = _seen(before.views, before), _seen(after.views, after)
    views = min(len(before.views), len(after.views))
    spared = [
        (_seen(_without(before.views, view), before), _seen(_without(after.views, view), after))
        for view in (range(views) if views >= FEWEST_VIEWS else ())
    ]

    def over_views(part: Callable[[_Seen], Float64]) -> list[_Loss]:
        a, b = part(first), part(second)
        error = _jackknife(np.stack([part(x) - part(y) for x, y in spared])) if spared else None
        return [
            _Loss(
                item.id,
                item.group,
                1,
                float(a[place]),
                float(b[place]),
                None if error is None else float(error[place]),
                views - 1,
            )
            for place, item in enumerate(items)
        ]

    each = over_views(lambda seen: seen.items)
    classes = _classes(items, each)
    texts: list[_Loss] = []
    if isinstance(before, ImageTextVectors):
        texts = [_text(text, [items[row] for row in rows], rows, first, second, spared) for text, rows in _texts(items)]
    names = {item.id: item.text for item in items}
    return Collateral(
        groups=tuple(_group(name, items, each) for name in ("controls", "retained") if _has(items, name)),
        items=_worst(each, lambda loss: f"the picture {_called(loss.name, names[loss.name])}", "other views of it"),
        classes=_worst(
            classes, lambda loss: f"the class {loss.name!r} ({loss.count:,} pictures)", "other pictures of it"
        ),
        texts=_worst(texts, lambda loss: f"the text {loss.name!r}", "other views of its pictures"),
        compared={"items": len(each), "classes": len(classes), "texts": len(texts)},
    )


def _seen(views: npt.NDArray[np.float32], vectors: Vectors) -> _Seen:
    matrix = matrix_of(replace(vectors, views=views).factors())
    n = len(matrix)
    own = matrix.diagonal()
    of_rows, of_columns = ((matrix.sum(axis=axis) - own) / (n - 1) for axis in (1, 0))
    return _Seen(own - (of_rows + of_columns) / 2, own - of_columns)


def _without(views: npt.NDArray[np.float32], view: int) -> npt.NDArray[np.float32]:
    return np.delete(views, view, axis=0)


def _jackknife(left_out: Float64) -> Float64:
    """Standard error from the values with each of v views left out, `[v, ...]`."""
    views = len(left_out)
    error: Float64 = np.sqrt((views - 1) / views * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))
    return error


def _classes(items: Sequence[Bystander], each: Sequence[_Loss]) -> list[_Loss]:
    """Classes of one group with enough items; the error is that of a mean over items."""
    members: dict[tuple[str, Bystanders], list[_Loss]] = defaultdict(list)
    for item, loss in zip(items, each, strict=True):
        if item.label is not None:
            members[item.label, item.group].append(loss)
    return [
        _Loss(
            label,
            group,
            len(losses),
            float(np.mean([loss.before for loss in losses])),
            float(np.mean([loss.after for loss in losses])),
            float(np.std([loss.lost for loss in losses], ddof=1) / np.sqrt(len(losses))),
            len(losses) - 1,
        )
        for (label, group), losses in members.items()
        if len(losses) >= FEWEST_OF_A_CLASS
    ]


def _texts(items: Sequence[Bystander]) -> list[tuple[str, list[int]]]:
    rows: dict[tuple[str, Bystanders], list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        if item.text:
            rows[item.text, item.group].append(row)
    return [(text, found) for (text, _), found in rows.items()]


def _text(
    text: str,
    items: Sequence[Bystander],
    rows: list[int],
    first: _Seen,
    second: _Seen,
    spared: Sequence[tuple[_Seen, _Seen]],
) -> _Loss:
    error = None
    if spared:
        left_out = np.array([x.partners[rows].mean() - y.partners[rows].mean() for x, y in spared])
        error = float(_jackknife(left_out))
    before, after = (float(seen.partners[rows].mean()) for seen in (first, second))
    return _Loss(text, items[0].group, len(rows), before, after, error, len(spared) - 1)


def _worst(losses: Sequence[_Loss], named: Callable[[_Loss], str], varies: str) -> tuple[Change, ...]:
    shown = sorted((loss for loss in losses if loss.lost > 0), key=lambda loss: -loss.lost)[:SHOWN]
    confidence = 1 - FALSE_COVERAGE * len(shown) / max(len(losses), 1)
    return tuple(_change(loss, confidence, named(loss), varies) for loss in shown)


def _change(loss: _Loss, confidence: float, name: str, varies: str) -> Change:
    interval, sure = None, "how sure that is cannot be told from so few views"
    if loss.error is not None:
        half = float(t.ppf((1 + confidence) / 2, loss.freedom)) * loss.error
        interval = Interval(value=loss.lost, low=loss.lost - half, high=loss.lost + half)
        sure = f"with {varies} {interval.low:.2f} to {interval.high:.2f}"
    whose = "Of the controls" if loss.group == "controls" else "Of the retained pictures"
    return Change(
        name=loss.name,
        group=loss.group,
        count=loss.count,
        before=loss.before,
        after=loss.after,
        lost=loss.lost,
        interval=interval,
        meaning=f"{whose}, {name} lost {loss.lost:.2f} of its alignment, from {loss.before:.2f} to {loss.after:.2f} "
        f"({sure}).",
    )


def _group(name: Bystanders, items: Sequence[Bystander], each: Sequence[_Loss]) -> GroupChange:
    losses = [loss for item, loss in zip(items, each, strict=True) if item.group == name]
    lost = np.array([loss.lost for loss in losses])
    n = len(lost)
    mean = float(lost.mean())
    half = float(t.ppf(0.975, n - 1) * lost.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    down, up = _clearly_moved(losses)
    what = "controls, which neither encoder was trained on," if name == "controls" else "retained pictures"
    moved = "" if down is None else f"; {down:,} clearly lost and {up:,} clearly gained"
    return GroupChange(
        group=name,
        count=n,
        lost=Interval(value=mean, low=mean - half, high=mean + half),
        down=down,
        up=up,
        meaning=f"The {n:,} {what} {'lost' if mean > 0 else 'gained'} {abs(mean):.2f} of their alignment on average "
        f"(loss between {mean - half:.2f} and {mean + half:.2f}){moved}.",
    )


def _clearly_moved(losses: Sequence[_Loss]) -> tuple[int | None, int | None]:
    """How many lost and how many gained more than views explain (Benjamini-Hochberg over two-sided t tests)."""
    errors = [loss.error for loss in losses if loss.error is not None]
    if len(errors) < len(losses):
        return None, None
    lost = np.array([loss.lost for loss in losses])
    p = 2 * t.sf(np.abs(lost) / np.maximum(errors, 1e-12), losses[0].freedom)
    moved = false_discovery_control(p) < FALSE_COVERAGE
    return int((moved & (lost > 0)).sum()), int((moved & (lost < 0)).sum())


def _has(items: Sequence[Bystander], group: Bystanders) -> bool:
    return any(item.group == group for item in items)


def _called(item_id: str, text: str | None) -> str:
    return f"{item_id!r} ({text})" if text else repr(item_id)
