"""Asking an encoder again: are the vectors in a pack the answers that it gives to these pictures?

Views depend on the seed and on a picture's position, so that pictures stand where they stood in the audit, with blanks
where one is not at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from muc_core.audit.vectors import ImageTextVectors, Vectors
from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_texts, embed_views
from muc_core.encoders.probes import Remembering
from muc_core.errors import MucError
from muc_core.evidence.container import read_container
from muc_core.evidence.manifest import VECTORS, Manifest, Picture, Role
from muc_core.evidence.pictures import picture_digests
from muc_core.evidence.vectors import read_vectors
from muc_core.evidence.verify import Verification
from muc_core.progress import SILENT, Progress
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.ranks import Float64

TOLERANCE = 0.01
"""How far an answer may be from the vector in the pack, as a share of that vector's length: other processors, batches
and half precision stay below, another encoder does not."""


@dataclass(frozen=True)
class Reembedded:
    """What an encoder answered when it was asked again.

    Attributes:
        role: whose vectors it was compared with.
        same_digest: whether it is, by its digest, the encoder that the pack names.
        pictures, missing: how many could be asked, and how many were not at hand.
        captions: how many could be asked; 0 in a two-view audit, and where the pictures came without.
        furthest, picture: the largest difference of an answer to a picture, as a share of the vector's length, and
            which picture that was.
        furthest_caption, captioned: the same of captions.
    """

    role: Role
    same_digest: bool
    pictures: int
    missing: int
    captions: int
    furthest: float
    picture: str
    furthest_caption: float | None
    captioned: str | None

    @property
    def agrees(self) -> bool:
        """Whether all answers are the vectors in the pack."""
        return max(self.furthest, self.furthest_caption or 0.0) <= TOLERANCE


def ask_again(
    data: bytes,
    found: Verification,
    encoder: Encoder,
    digest: str,
    pictures: ImageTextDataset,
    progress: Progress = SILENT,
) -> Reembedded:
    """Embed the pictures of an audit again, as far as they are at hand, and compare with the vectors in its pack.

    Args:
        data, found: a pack, and its verification, which must have held.
        digest: of the encoder, as the workspace knows it; where no encoder of the pack has it, it is compared with the
            one after.
        pictures: among others those of the audit, with captions if those are to be compared, too.

    Raises:
        MucError: none of the pictures is at hand, or the encoder's vectors have another length.
    """
    manifest, result = found.manifest, found.result
    assert found.verified
    assert manifest is not None
    assert result is not None
    known = {who.digest: role for role, who in manifest.encoders.items()}
    role: Role = known.get(digest, "after")
    compared: dict[str, Similarity] = {name: manifest.similarities.get(name, COSINE) for name in manifest.encoders}
    count = len(manifest.owner) + len(manifest.controls)
    packed = read_vectors(read_container(data).files[VECTORS], compared, result.mode, count)[role]
    if encoder.dimension != packed.views.shape[2]:
        raise MucError(
            f"{encoder.name} gives vectors of {encoder.dimension:,} numbers, and those in the pack have "
            f"{packed.views.shape[2]:,}: it is another encoder"
        )
    places = _positions(manifest, pictures)
    rows = np.array([row for row, place in enumerate(places) if place is not None], dtype=np.intp)
    if not len(rows):
        raise MucError("none of the pictures is one that the audit was about; name the folder that holds them")
    fresh = encoder.uncached() if isinstance(encoder, Remembering) else encoder
    views = _views(fresh, manifest, pictures, places, packed, progress)
    apart = _apart(packed.views[:, rows], views[:, rows]).max(axis=0)
    ids = [picture.id for picture in (*manifest.owner, *manifest.controls)]
    furthest, captioned, of_captions = int(apart.argmax()), None, None
    told = [row for row in rows.tolist() if _caption(pictures, places[row]) is not None]
    if not isinstance(packed, ImageTextVectors) or not encoder.has_text:
        told = []
    if told:
        assert isinstance(packed, ImageTextVectors)
        texts = [_caption(pictures, places[row]) or "" for row in told]
        differences = _apart(packed.texts[told], embed_texts(fresh, texts, progress=progress).numpy())
        of_captions, captioned = float(differences.max()), ids[told[int(differences.argmax())]]
    return Reembedded(
        role=role,
        same_digest=digest in known,
        pictures=len(rows),
        missing=count - len(rows),
        captions=len(told),
        furthest=float(apart[furthest]),
        picture=ids[int(rows[furthest])],
        furthest_caption=of_captions,
        captioned=captioned,
    )


def _positions(manifest: Manifest, pictures: ImageTextDataset) -> list[int | None]:
    """Where the pictures of the audit are; of several with one digest, which are copies, the one of the same name."""
    places: dict[str, list[int]] = {}
    for place, digest in enumerate(picture_digests(pictures, bytes.fromhex(manifest.salt))):
        places.setdefault(digest, []).append(place)

    def find(picture: Picture) -> int | None:
        found = places.get(picture.digest, [])
        named = (place for place in found if pictures.ids[place] == picture.id)
        return next(named, found[0] if found else None)

    return [find(picture) for picture in (*manifest.owner, *manifest.controls)]


def _views(
    encoder: Encoder,
    manifest: Manifest,
    pictures: ImageTextDataset,
    places: Sequence[int | None],
    packed: Vectors,
    progress: Progress,
) -> np.ndarray:
    """Views of both groups, `[v, n, d]`, each group from its own beginning, as the audit made them."""
    first = len(manifest.owner)
    groups: tuple[tuple[tuple[Picture, ...], Sequence[int | None]], ...] = (
        (manifest.owner, places[:first]),
        (manifest.controls, places[first:]),
    )
    found = [
        embed_views(
            encoder,
            ImageTextDataset("evidence", [Item(str(row)) for row in range(len(group))], _Standing(pictures, where)),
            views=len(packed.views),
            seed=manifest.settings.seed,
            progress=progress,
        )
        for group, where in groups
    ]
    return torch.cat(found, dim=1).numpy()


class _Standing:
    """Pictures at the positions they had in the audit; those not at hand are black."""

    def __init__(self, pictures: ImageTextDataset, places: Sequence[int | None]) -> None:
        self._pictures = pictures
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        pixels = torch.zeros((len(indices), 3, size, size), dtype=torch.uint8)
        places = [self._places[index] for index in indices]
        rows = [row for row, place in enumerate(places) if place is not None]
        if rows:
            pixels[rows] = self._pictures.images(size, [place for place in places if place is not None], interpolation)
        return pixels


def _caption(pictures: ImageTextDataset, place: int | None) -> str | None:
    return None if place is None else pictures.texts[place] or None


def _apart(packed: np.ndarray, again: np.ndarray) -> Float64:
    """Distances of vectors `[..., d]` as a share of the packed vector's length, `[...]`."""
    first, second = packed.astype(np.float64), again.astype(np.float64)
    length = np.maximum(np.linalg.norm(first, axis=-1), 1e-30)
    return np.asarray(np.linalg.norm(first - second, axis=-1) / length)
