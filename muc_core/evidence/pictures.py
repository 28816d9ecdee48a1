"""Pictures as salted digests: they stay with their owner, who can show later which ones were meant.

Digested are the decoded pixels of the centre square, taken at 256 x 256 places without any mixing of neighbours, so
that a picture gives the same digest wherever it is decoded, in whatever lossless file it is kept. Drawings that have no
size of their own, as the demo's, are drawn at this one. Without the salt of its pack a digest says nothing, and digests
of two packs cannot be matched with each other.
"""

import hashlib
from collections.abc import Sequence

from muc_core.data.dataset import ImageTextDataset

SIZE = 256
_CHUNK = 64
_LEAF, _NODE = b"\x00", b"\x01"


def picture_digests(dataset: ImageTextDataset, salt: bytes) -> list[str]:
    """SHA-256 of salt and pixels for each picture, in hexadecimal. Raises `BadImage`, naming the file."""
    found: list[str] = []
    for start in range(0, len(dataset), _CHUNK):
        rows = range(start, min(start + _CHUNK, len(dataset)))
        for pixels in dataset.images(SIZE, rows, "nearest"):
            found.append(hashlib.sha256(salt + pixels.contiguous().numpy().tobytes()).hexdigest())
    return found


def merkle_root(digests: Sequence[str]) -> str:
    """One digest over all, in their order: the tree of RFC 6962 (2.1), whose leaves are these digests.

    A single picture can be shown to be among those meant without naming the others.

    Args:
        digests: hexadecimal, at least one.
    """
    level = [hashlib.sha256(_LEAF + bytes.fromhex(digest)).digest() for digest in digests]
    while len(level) > 1:
        pairs = [hashlib.sha256(_NODE + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0].hex()
