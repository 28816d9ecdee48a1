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

_CHUNK_PIXELS = 2**20
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_COLOURS = 512  # three bits a channel


def appearance(pixels: Pixels) -> Float64:
    """Simple statistics of pictures, `[n, len(NAMES)]`, each in [0, 1] or nearly so.

    Args:
        pixels: uint8 `[n, 3, s, s]` in RGB, s >= 3. Fine detail also tells a small picture that was blown up.
    """
    return np.concatenate([_describe(part) for part in _parts(pixels)])


def thumbnails(pixels: Pixels, side: int = THUMBNAIL) -> Float64:
    """Means over a grid of side x side cells, `[n, 3 * side * side]` in [0, 1]; channels first."""
    return np.concatenate([_shrink(part, side) for part in _parts(pixels)])


def _parts(pixels: Pixels) -> Iterator[Pixels]:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels):
        raise ValueError(f"expected uint8 [n, 3, s, s], got {pixels.dtype} {pixels.shape}")
    size = max(1, _CHUNK_PIXELS // (pixels.shape[2] * pixels.shape[3]))
    return (pixels[start : start + size] for start in range(0, len(pixels), size))


def _describe(pixels: Pixels) -> Float64:
    n = len(pixels)
    values = pixels.astype(np.float32) / 255
    flat = values.reshape(n, 3, -1)
    light = np.einsum("c,nchw->nhw", _LUMA, values)
    red, green, blue = values[:, 0], values[:, 1], values[:, 2]
    chroma = (values.max(axis=1) - values.min(axis=1)).reshape(n, -1)
    across, down = np.abs(np.diff(light, axis=2)), np.abs(np.diff(light, axis=1))
    centre = light[:, 1:-1, 1:-1]
    laplacian = light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:] - 4 * centre
    border = np.concatenate([values[:, :, 0], values[:, :, -1], values[:, :, :, 0], values[:, :, :, -1]], axis=2)
    background = np.median(border, axis=2)[:, :, None, None]
    ink = (np.abs(values - background).max(axis=1) > INK / 255).reshape(n, -1)
    columns = [
        *flat.mean(axis=2).T,
        *flat.std(axis=2).T,
        *np.quantile(light.reshape(n, -1), (0.1, 0.5, 0.9), axis=1),
        chroma.mean(axis=1),
        chroma.std(axis=1),
        (red - green).reshape(n, -1).std(axis=1),
        ((red + green) / 2 - blue).reshape(n, -1).std(axis=1),
        across.mean(axis=(1, 2)),
        down.mean(axis=(1, 2)),
        np.abs(laplacian).mean(axis=(1, 2)),
        (across <= FLAT / 255).mean(axis=(1, 2)),
        ink.mean(axis=1),
        _colours(pixels),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


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
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, axis=2), columns, axis=3)
    counts = np.outer(np.maximum(np.diff([*rows, height]), 1), np.maximum(np.diff([*columns, width]), 1))
    small: Float64 = (sums / counts / 255).reshape(n, -1)
    return small
