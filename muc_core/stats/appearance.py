"""What pictures look like, in a few numbers: colour, light, edges and ink, without any encoder.

The control guard asks with them whether two sets of pictures differ to the plain eye, and controls are matched by them.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from muc_core.stats.ranks import Float64

Pixels = npt.NDArray[np.uint8]

THUMBNAIL = 8
INK = 24
"""Levels, of 255, by which a pixel must differ from the picture's border to count as ink."""

FLAT = 2
"""Levels by which neighbours may differ and still count as one flat colour."""

NAMES = (
    "mean red",
    "mean green",
    "mean blue",
    "spread of red",
    "spread of green",
    "spread of blue",
    "dark tenth",
    "median light",
    "light tenth",
    "colourfulness",
    "spread of colourfulness",
    "spread red-green",
    "spread yellow-blue",
    "edges across",
    "edges down",
    "fine detail",
    "flat areas",
    "ink",
    "number of colours",
)
"""What `appearance` measures, in its order."""

GRID = 48
"""Pixels along a side that are looked at, at most, each with its neighbours as they are in the full picture."""

_CHUNK = 256
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_COLOURS = 512  # three bits a channel


def appearance(pixels: Pixels) -> Float64:
    """Simple statistics of pictures, `[n, len(NAMES)]`, each in [0, 1] or nearly so.

    Args:
        pixels: uint8 `[n, 3, h, w]` in RGB, h and w >= 3. Fine detail also tells a small picture that was blown up.
    """
    return np.concatenate([_describe(part) for part in _parts(pixels)])


def thumbnails(pixels: Pixels, side: int = THUMBNAIL) -> Float64:
    """Means over a grid of side x side cells, `[n, 3 * side * side]` in [0, 1]; channels first."""
    return np.concatenate([_shrink(part, side) for part in _parts(pixels)])


def _parts(pixels: Pixels) -> Iterator[Pixels]:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or min(pixels.shape[2:], default=0) < 3:
        raise ValueError(f"expected uint8 [n, 3, h, w] of at least 3 x 3 pixels, got {pixels.dtype} {pixels.shape}")
    return (pixels[start : start + _CHUNK] for start in range(0, len(pixels), _CHUNK))


def _describe(pixels: Pixels) -> Float64:
    n = len(pixels)
    rows, columns = (_middles(length - 2, GRID) + 1 for length in pixels.shape[2:])
    seen = pixels[:, :, rows[:, None], columns]
    values = _scale(seen)
    flat = values.reshape(n, 3, -1)
    light = _light(values)
    left, right = (_light(_scale(pixels[:, :, rows[:, None], columns + step])) for step in (-1, 1))
    above, below = (_light(_scale(pixels[:, :, (rows + step)[:, None], columns])) for step in (-1, 1))
    red, green, blue = flat[:, 0], flat[:, 1], flat[:, 2]
    chroma = flat.max(axis=1) - flat.min(axis=1)
    across, down = np.abs(right - light), np.abs(below - light)
    laplacian = left + right + above + below - 4 * light
    border = np.concatenate([pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, :, 0], pixels[:, :, :, -1]], axis=2)
    background = np.median(border, axis=2).astype(np.float32)[:, :, None] / 255
    ordered = np.sort(light, axis=1)
    columns_of = [
        *flat.mean(axis=2).T,
        *flat.std(axis=2).T,
        *(ordered[:, int(share * (light.shape[1] - 1))] for share in (0.1, 0.5, 0.9)),
        chroma.mean(axis=1),
        chroma.std(axis=1),
        (red - green).std(axis=1),
        ((red + green) / 2 - blue).std(axis=1),
        across.mean(axis=1),
        down.mean(axis=1),
        np.abs(laplacian).mean(axis=1),
        (across <= FLAT / 255).mean(axis=1),
        (np.abs(flat - background).max(axis=1) > INK / 255).mean(axis=1),
        _colours(seen),
    ]
    return np.stack(columns_of, axis=1).astype(np.float64)


def _middles(length: int, most: int) -> npt.NDArray[np.intp]:
    """At most so many positions in `range(length)`, evenly spread."""
    count = min(length, most)
    return (np.arange(count) * 2 + 1) * length // (2 * count)


def _scale(pixels: Pixels) -> npt.NDArray[np.float32]:
    return np.divide(pixels, 255, dtype=np.float32)


def _light(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.tensordot(values, _LUMA, axes=(1, 0)).reshape(len(values), -1)


def _colours(pixels: Pixels) -> Float64:
    """Entropy of the picture's colours at three bits a channel, as a share of the largest possible."""
    n = len(pixels)
    coarse = (pixels >> 5).astype(np.int64)
    codes = (coarse[:, 0] << 6 | coarse[:, 1] << 3 | coarse[:, 2]).reshape(n, -1)
    codes += _COLOURS * np.arange(n)[:, None]
    counts = np.bincount(codes.ravel(), minlength=n * _COLOURS).reshape(n, _COLOURS)
    share = counts / counts.sum(axis=1, keepdims=True)
    entropy: Float64 = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1) / np.log2(_COLOURS)
    return entropy


def _shrink(pixels: Pixels, side: int) -> Float64:
    n, _, height, width = pixels.shape
    rows, columns = (np.arange(side) * length // side for length in (height, width))
    # a picture smaller than the grid repeats its pixels: reduceat on an empty cell takes the next pixel
    sums = np.add.reduceat(np.add.reduceat(pixels, columns, axis=3, dtype=np.uint32), rows, axis=2)
    counts = np.outer(np.maximum(np.diff([*rows, height]), 1), np.maximum(np.diff([*columns, width]), 1))
    small: Float64 = (sums / counts / 255).reshape(n, -1)
    return small
