"""Controls for an audit: pictures never trained on that look like the owner's.

An audit compares the owner's pictures with controls; the less they differ in looks, the less there is but memory to
tell them apart. Nothing here sees an encoder's answers, so that choosing controls cannot steer a verdict.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.copies import without
from muc_core.data.dataset import LARGE, ImageTextDataset, Item, Selection
from muc_core.data.interpolation import Interpolation
from muc_core.data.sets import is_named_set, resolve_items
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError
from muc_core.stats.appearance import appearance, thumbnails
from muc_core.stats.ranks import Float64

SIZE = 64
"""Side in pixels at which pictures are compared."""

PIXELS = 32
"""Side at which pictures that were trained on are recognised, that of `ImageTextDataset.digest`: so they are decoded
once for both."""

SIDE = 16
NEARLY_THE_SAME = 5.0
"""Root mean square difference of 16 x 16 thumbnails, in levels of 255, below which two pictures are copies of one
another: saving as JPEG again stays below, even of drawings of 64 pixels."""

CANDIDATES = 20_000
"""Pool items looked at, at most, drawn at random."""

MODELS = 2_000
"""Owner's items that controls are matched with, at most, drawn at random."""

OTHER_CLASS = 6.0
"""What another class adds to the distance: as much as six statistics that are off by a spread each, squared and rooted;
so a control of the same class is taken unless it looks quite different."""

KEPT = 0.4
"""Share of each side that a strongly changed picture keeps."""

TRANSFORMED = (
    "No pictures are at hand that the encoder surely never saw. The controls are other people's pictures, strongly "
    "changed (cut, turned, with other colours): they are stranger to the encoder than new pictures would be, so that "
    "your pictures may seem remembered when they are not. Take real pictures like yours as controls if you can."
)


TRANSFORMED_SPEC = "transformed"
"""Asks for controls of the last resort where a set could be named."""

FEWEST_TRANSFORMED = 100


@dataclass(frozen=True, eq=False)
class Controls:
    """The chosen controls and what a reader must know about them, in sentences."""

    dataset: ImageTextDataset
    warnings: tuple[str, ...]


def find_controls(
    spec: str,
    owner: ImageTextDataset,
    *,
    dataset: ImageTextDataset,
    split: DataSplit | None,
    match: int | None = None,
    seed: int = 0,
) -> Controls:
    """The controls that a spec names, less those that were trained on, as far as that is known.

    Args:
        spec: a set or a path as `resolve_items` knows it, or "transformed" for `transformed_controls` of what else the
            encoder was trained on, which are as many as the owner's pictures, but at least `FEWEST_TRANSFORMED`.
        owner: the pictures to audit.
        dataset: what names of sets refer to; `split` is how it was used in training, where that is known.
        match: so many of them are chosen that look most like the owner's (`matched_controls`); None takes all.
        seed: of that choice.

    Raises:
        MucError: as `resolve_items`; all of them were trained on; nothing is at hand that could be transformed.
    """
    if spec == TRANSFORMED_SPEC:
        if match is not None:
            raise MucError("controls that are strongly changed are not matched; leave out how many to match")
        ids = dataset.item_ids if split is None else split.retain
        others = [item_id for item_id in ids if owner.find(item_id) is None]
        if not others:
            raise MucError("there are no other people's pictures that could serve as controls; name a set or a folder")
        return transformed_controls(dataset.subset(others), most=max(len(owner), FEWEST_TRANSFORMED), seed=seed)
    found, warnings = _never_trained(resolve_items(spec, dataset=dataset, split=split), spec, dataset, split)
    if match is None:
        return Controls(found, warnings)
    chosen = matched_controls(owner, found, most=match, seed=seed)
    return Controls(chosen.dataset, (*warnings, *chosen.warnings))


def _never_trained(
    controls: ImageTextDataset, spec: str, dataset: ImageTextDataset, split: DataSplit | None
) -> tuple[ImageTextDataset, tuple[str, ...]]:
    """Controls less those whose pixels were trained on; of large data sets only the ids of their items are compared."""
    if split is None:
        return controls, ()
    trained = dataset.subset(split.train)
    if len(trained) > LARGE:
        taken = {item_id for item_id in controls.item_ids if trained.find(item_id) is not None}
        taken = taken if is_named_set(spec) else set()
    else:
        known = set(_digests(trained))
        taken = {i for i, digest in zip(controls.item_ids, _digests(controls), strict=True) if digest in known}
    if len(taken) == len(controls):
        raise MucError(
            f"every picture of {spec!r} was trained on; controls must be pictures that the encoder never saw, such as "
            "held-out"
        )
    warnings = (f"{len(taken):,} of the controls were trained on and are left out.",) if taken else ()
    return without(controls, taken), warnings


def _digests(dataset: ImageTextDataset) -> Iterator[bytes]:
    for start in range(0, len(dataset), 1024):
        for pixels in dataset.images(PIXELS, range(start, min(start + 1024, len(dataset)))):
            yield hashlib.sha256(pixels.numpy().tobytes()).digest()


def matched_controls(owner: ImageTextDataset, pool: ImageTextDataset, *, most: int, seed: int) -> Controls:
    """Choose from the pool the pictures that look most like the owner's, each at most once.

    In rounds, each of the owner's pictures gets the nearest free one so that the sum of all distances in a round is the
    smallest (`scipy.optimize.linear_sum_assignment`), until there are `most` or the pool is empty. Distance is that of
    the simple statistics of `stats.appearance`, in units of the pool's spread; where both have labels, another one adds
    to it. The statistics of fine detail tell a small picture that was enlarged from a large one. Copies of the owner's
    pictures are left out: the same pixels, or nearly (also mirrored).

    Args:
        owner: the pictures to audit.
        pool: pictures never trained on; ids that the owner's items have, too, are left out.
        most: controls to choose, >= 1.
        seed: of the order in which equals are taken, and of the draw from a pool of more than `CANDIDATES`.

    Raises:
        MucError: `most` below 1, or nothing is left of the pool.
    """
    if most < 1:
        raise MucError(f"{most} controls were asked for; at least 1 is needed, and an audit takes 20 or more")
    generator = np.random.default_rng(seed)
    places = generator.permutation(len(pool))[:CANDIDATES]
    ids = [pool.item_ids[place] for place in places]
    mine, my_small = _look(owner, range(len(owner)))
    theirs, small = _look(pool, places.tolist())
    copies = _near(my_small, small)
    known = {item_id for item_id in ids if owner.find(item_id) is not None}
    free = np.array([not copy and item_id not in known for copy, item_id in zip(copies, ids, strict=True)])
    warnings = []
    if dropped := int(copies.sum()):
        warnings.append(
            f"{dropped:,} of the pictures to choose controls from {'is a copy' if dropped == 1 else 'are copies'} of "
            "the owner's and cannot be a control."
        )
    if not free.any():
        raise MucError(
            f"the set {pool.name!r} has no picture that is not one of the owner's; give others that were never trained "
            "on"
        )
    spread = np.maximum(theirs.std(axis=0), 1 / 255)  # not zero, where the whole pool is alike
    models = generator.permutation(len(owner))[:MODELS]
    distance = _distances(mine[models] / spread, theirs / spread)
    distance += OTHER_CLASS * _other_class(
        [owner.items[int(place)] for place in models], [pool.items[int(place)] for place in places]
    )
    chosen = _assign(distance, free, most)
    if len(chosen) < most:
        warnings.append(f"{most:,} controls were asked for and only {len(chosen):,} pictures can be one.")
    return Controls(pool.subset([ids[place] for place in chosen], name=f"{pool.name}: matched"), tuple(warnings))


def transformed_controls(others: ImageTextDataset, *, most: int, seed: int) -> Controls:
    """Controls of the last resort: other people's pictures, changed so strongly that no encoder knows them.

    Each is cut to `KEPT` of its sides, turned by a quarter or three, with its colour channels in another order;
    captions stay. The warning `TRANSFORMED` says what that does to an audit.

    Args:
        others: pictures that are not the owner's; may have been trained on.
        most: controls to make, at most one of each picture, >= 1.
        seed: of the draw and of the changes.

    Raises:
        MucError: `most` below 1.
    """
    if most < 1:
        raise MucError(f"{most} controls were asked for; at least 1 is needed, and an audit takes 20 or more")
    generator = np.random.default_rng(seed)
    places = np.sort(generator.permutation(len(others))[:most])
    chosen = others.subset([others.item_ids[place] for place in places])
    changes = tuple(
        _Change(
            top=float(generator.uniform(0, 1 - KEPT)),
            left=float(generator.uniform(0, 1 - KEPT)),
            turns=int(generator.choice((1, 3))),
            order=int(generator.integers(len(_ORDERS))),
        )
        for _ in range(len(chosen))
    )
    dataset = ImageTextDataset(f"{others.name}: changed", chosen.items, _Transformed(chosen, changes))
    return Controls(dataset, (TRANSFORMED,))


def strongly_changed(dataset: ImageTextDataset) -> bool:
    """Whether these are controls of the last resort."""
    source = dataset.source
    while isinstance(source, Selection):
        source = source.parent.source
    return isinstance(source, _Transformed)


def _look(dataset: ImageTextDataset, places: Sequence[int]) -> tuple[Float64, Float64]:
    """Statistics `[n, k]` and thumbnails `[n, 3, 16, 16]` in levels of 255."""
    looks, small = [], []
    for start in range(0, len(places), 256):
        pixels = dataset.images(SIZE, list(places[start : start + 256])).numpy()
        looks.append(appearance(pixels))
        small.append(255 * thumbnails(pixels, SIDE).reshape(-1, 3, SIDE, SIDE))
    return np.concatenate(looks), np.concatenate(small)


def _near(owner: Float64, pool: Float64) -> np.ndarray:
    """Which of the pool are nearly one of the owner's, `[m]`."""
    either = np.concatenate([owner, owner[..., ::-1]]).reshape(2 * len(owner), -1)
    flat = pool.reshape(len(pool), -1)
    nearest = np.full(len(flat), np.inf)
    for start in range(0, len(either), 1024):
        nearest = np.minimum(nearest, _distances(either[start : start + 1024], flat).min(axis=0))
    return np.asarray(nearest < NEARLY_THE_SAME * np.sqrt(flat.shape[1]))


def _distances(first: Float64, second: Float64) -> Float64:
    squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)))


def _other_class(owner: Sequence[Item], pool: Sequence[Item]) -> np.ndarray:
    mine, theirs = [item.label for item in owner], [item.label for item in pool]
    return np.array([[a is not None and b is not None and a != b for b in theirs] for a in mine], dtype=np.float64)


def _assign(distance: Float64, free: np.ndarray, most: int) -> list[int]:
    """Columns in the order in which they were taken: `[n]` of them a round, none twice."""
    left = np.flatnonzero(free)
    chosen: list[int] = []
    while len(chosen) < most and len(left):
        rows, columns = linear_sum_assignment(distance[:, left])
        order = np.argsort(distance[rows, left[columns]], kind="stable")
        taken = left[columns[order]][: most - len(chosen)]
        chosen += taken.tolist()
        left = np.setdiff1d(left, taken)
    return chosen


_ORDERS = ((1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0))


@dataclass(frozen=True)
class _Change:
    """Where the cut begins, as a share of the side; quarter turns; which order of channels."""

    top: float
    left: float
    turns: int
    order: int


@dataclass(frozen=True)
class _Transformed:
    """Pictures of another set, each strongly changed."""

    parent: ImageTextDataset
    changes: tuple[_Change, ...]

    def __len__(self) -> int:
        return len(self.parent)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        places = list(indices)
        pixels = self.parent.images(size, places, interpolation)
        changed = torch.empty_like(pixels)
        for row, place in enumerate(places):
            change = self.changes[place]
            side = max(1, round(KEPT * size))
            cut = transforms.resized_crop(
                pixels[row],
                round(change.top * size),
                round(change.left * size),
                side,
                side,
                [size, size],
                InterpolationMode(interpolation),
                antialias=True,
            )
            changed[row] = torch.rot90(cut, change.turns, (1, 2))[list(_ORDERS[change.order])]
        return changed
