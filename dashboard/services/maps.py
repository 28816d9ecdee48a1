"""What the page Embedding map asks for: PCA at once, the UMAP of a job, and the user's own pictures on either."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services import PairData, ask_first, encoder, pair_data, uploaded_thumbnails, workspace
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_images
from muc_core.errors import MucError
from muc_core.jobs.tasks.embedding_map import EmbeddingMapSettings, MapItems, choose_items, map_key, read_map
from muc_core.projection import JointProjection, drift, joint_projection, neighbour_retention, place_among

Float64 = npt.NDArray[np.float64]

MOST_AT_ONCE = 5_000
"""Pictures whose PCA a page draws at once, and on whose map uploads are placed; more are drawn by a job."""


@dataclass(frozen=True, eq=False)
class DrawnMap:
    """A joint map of n items and how far it can be believed.

    Attributes:
        drift: `[n]` how far each moved in the original space, 1 - cosine.
        retention: shares of neighbours kept, of the points before and of those after, `[n]` each; NaN: not measured.
    """

    items: MapItems
    projection: JointProjection
    drift: Float64
    retention: tuple[Float64, Float64]


@dataclass(frozen=True, eq=False)
class Stars:
    """The user's own pictures on the map: names, small pictures, places `[m, 2]` or `[m, 3]`."""

    names: tuple[str, ...]
    images: tuple[str, ...]
    before: Float64
    after: Float64


def items_of_map(settings: EmbeddingMapSettings) -> MapItems:
    """What these settings draw. Raises `MucError`, also where the two encoders have no joint map."""
    both = encoder(settings.before), encoder(settings.after)
    if both[0].dimension != both[1].dimension:
        raise MucError(
            f"A joint map cannot be drawn: the vectors of {settings.before} have {both[0].dimension:,} numbers and "
            f"those of {settings.after} {both[1].dimension:,}. Matrices and Check my pictures compare them."
        )
    data = pair_data(settings.before, settings.after)
    content = "/".join([settings.model_dump_json(), data.digest, data.split.model_dump_json()])
    return _items_of_map(hashlib.sha256(content.encode()).hexdigest(), _settings=settings, _data=data)


@st.cache_resource(show_spinner="Choosing the pictures ...", max_entries=8)
def _items_of_map(key: str, *, _settings: EmbeddingMapSettings, _data: PairData) -> MapItems:
    return choose_items(workspace(), _settings, dataset=_data.dataset)


def quick_map(settings: EmbeddingMapSettings, items: MapItems) -> DrawnMap | None:
    """PCA of what the job will draw; None for too many pictures. Raises `MustAsk` before any goes to a URL."""
    if len(items.dataset) > MOST_AT_ONCE:
        return None
    both = encoder(settings.before), encoder(settings.after)
    ask_first(both, [items.dataset], "pictures")
    vectors = [_vectors(one.digest, items.dataset.digest(), _encoder=one, _items=items.dataset) for one in both]
    projection, moved, retention = _quick_map(
        both[0].digest,
        both[1].digest,
        items.dataset.digest(),
        settings.seed,
        settings.dimensions,
        _before=vectors[0],
        _after=vectors[1],
    )
    return DrawnMap(items, projection, moved, retention)


@st.cache_data(show_spinner="Looking at the pictures ...", max_entries=16)
def _vectors(
    encoder_digest: str, items_digest: str, *, _encoder: Encoder, _items: ImageTextDataset
) -> npt.NDArray[np.float32]:
    return embed_images(_encoder, _items).numpy()


@st.cache_data(show_spinner="Projecting ...", max_entries=32)
def _quick_map(
    before_digest: str,
    after_digest: str,
    items_digest: str,
    seed: int,
    dimensions: int,
    *,
    _before: npt.NDArray[np.float32],
    _after: npt.NDArray[np.float32],
) -> tuple[JointProjection, Float64, tuple[Float64, Float64]]:
    projection = joint_projection(_before, _after, method="pca", seed=seed, dimensions=dimensions)
    return projection, drift(_before, _after), neighbour_retention(_before, _after, projection, seed=seed)


def computed_map(settings: EmbeddingMapSettings, items: MapItems) -> DrawnMap | None:
    """The UMAP of these settings, if a job has computed it."""
    found = read_map(workspace(), map_key(workspace(), settings, items))
    if found is None:
        return None
    before, after = found.before.astype(np.float64), found.after.astype(np.float64)
    retention = found.retention_before.astype(np.float64), found.retention_after.astype(np.float64)
    projection = JointProjection(before, after, "umap", settings.seed, {}, found.notes)
    return DrawnMap(items, projection, found.drift.astype(np.float64), retention)


def stars_on(drawn: DrawnMap, settings: EmbeddingMapSettings, uploads: ImageTextDataset, key: str) -> Stars | None:
    """The user's pictures among their nearest neighbours on the map; None where it has too many pictures.

    Args:
        key: stands for the uploads; nothing of them is kept beyond the session.

    Raises:
        MustAsk: they would be sent to an encoder behind a URL.
    """
    items = drawn.items.dataset
    if len(items) > MOST_AT_ONCE:
        return None
    both = encoder(settings.before), encoder(settings.after)
    ask_first(both, [items, uploads], "pictures")
    places = []
    for one, map_places in zip(both, (drawn.projection.before, drawn.projection.after), strict=True):
        known = _vectors(one.digest, items.digest(), _encoder=one, _items=items)
        places.append(place_among(known, map_places, _upload_vectors(one.digest, key, _encoder=one, _items=uploads)))
    names = tuple(text or name for name, text in zip(uploads.ids, uploads.texts, strict=True))
    return Stars(names, tuple(uploaded_thumbnails(key, _dataset=uploads)), *places)


@st.cache_data(show_spinner="Looking at your pictures ...", scope="session", max_entries=8)
def _upload_vectors(
    encoder_digest: str, key: str, *, _encoder: Encoder, _items: ImageTextDataset
) -> npt.NDArray[np.float32]:
    return embed_images(_encoder, _items).numpy()
