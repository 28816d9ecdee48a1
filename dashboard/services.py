"""The only place that caches: everything the pages ask of `muc_core`.

Streamlit hashes large arrays by a sample and would return wrong hits, so every cache is keyed by content digests and the
objects themselves are passed with a leading underscore, which keeps them out of the key.
"""

import base64
import io
import os
from dataclasses import dataclass

import streamlit as st
from PIL import Image

from muc_core.comparison import Comparison, ModeChoice, OrderChoice, compare
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.sets import SetInfo, list_sets, load_dataset, resolve_items
from muc_core.data.splits import DataSplit
from muc_core.encoders.base import Encoder
from muc_core.errors import MucError
from muc_core.jobs.tasks.embedding_map import EmbeddingMapSettings, MapItems, choose_items
from muc_core.projection import JointProjection, joint_projection
from muc_core.workspace import EncoderRecord, Workspace

MOST_CELLS = 150
"""Cells along a side of a heatmap on a page: more cannot be told apart there."""


def workspace() -> Workspace:
    """The user's workspace, opened once per server and MUC_HOME."""
    return _workspace(os.environ.get("MUC_HOME"))


@st.cache_resource(show_spinner=False)
def _workspace(home: str | None) -> Workspace:
    return Workspace()


def encoder_records() -> list[EncoderRecord]:
    """All encoders, the shipped ones first. Not cached: a job can add one at any moment."""
    return workspace().encoders()


def encoder(name: str) -> Encoder:
    """A loaded encoder. Raises `MucError`."""
    return _encoder(name, workspace().encoder(name).manifest.weights_digest)


@st.cache_resource(show_spinner="Loading the encoder ...", max_entries=8)
def _encoder(name: str, weights_digest: str) -> Encoder:
    return workspace().load(name)


@dataclass(frozen=True)
class PairData:
    """The data behind a pair of encoders and the split that says what the later one was to forget."""

    dataset: ImageTextDataset
    split: DataSplit
    digest: str


def pair_data(before: str, after: str) -> PairData:
    """Data and split of a pair: those of the unlearned encoder, else of the original, else the demo's.

    Raises:
        MucError: the data cannot be loaded.
    """
    for name in (after, before):
        reference = workspace().encoder(name).manifest.data
        if reference is not None and reference.spec != "demo":
            return PairData(_dataset(reference.spec, reference.digest), reference.split, reference.digest)
        if reference is not None:
            return PairData(load_demo(), reference.split, demo_digest())
    return PairData(load_demo(), demo_split(), demo_digest())


@st.cache_resource(show_spinner="Loading the pictures ...", max_entries=4)
def _dataset(spec: str, digest: str) -> ImageTextDataset:
    dataset = load_dataset(spec)
    if dataset.digest() != digest:
        raise MucError(f"the data {spec!r} changed since the encoder was trained on it; restore it")
    return dataset


@st.cache_data(show_spinner=False)
def demo_digest() -> str:
    return load_demo().digest()


def sets_of(data: PairData) -> list[SetInfo]:
    """Sets of the data by name, with counts."""
    return list_sets(data.dataset, data.split)


def items_of(spec: str, data: PairData) -> ImageTextDataset:
    """The items of a set such as owner:artist or held-out. Raises `MucError`."""
    return resolve_items(spec, dataset=data.dataset, split=data.split)


def compare_items(
    before: str,
    after: str,
    items: ImageTextDataset,
    controls: ImageTextDataset | None,
    *,
    mode: ModeChoice = "auto",
    order: OrderChoice = "given",
    seed: int = 0,
) -> Comparison:
    """The comparison of two encoders on items and controls, computed once per content. Raises `MucError`."""
    return _compare(
        encoder(before).digest,
        encoder(after).digest,
        items.digest(),
        controls.digest() if controls is not None else None,
        (before, after, mode, order, seed),
        _items=items,
        _controls=controls,
    )


@st.cache_data(show_spinner="Comparing the encoders ...", max_entries=64)
def _compare(
    before_digest: str,
    after_digest: str,
    items_digest: str,
    controls_digest: str | None,
    asked: tuple[str, str, ModeChoice, OrderChoice, int],
    *,
    _items: ImageTextDataset,
    _controls: ImageTextDataset | None,
) -> Comparison:
    before, after, mode, order, seed = asked
    return compare(
        encoder(before),
        encoder(after),
        _items,
        controls=_controls,
        mode=mode,
        order=order,
        seed=seed,
        max_cells=MOST_CELLS,
    )


@dataclass(frozen=True)
class QuickMap:
    """The PCA map of a pair, shown before the UMAP is there."""

    items: MapItems
    projection: JointProjection


def quick_map(settings: EmbeddingMapSettings) -> QuickMap:
    """PCA of what the embedding-map job will draw. Raises `MucError`."""
    items = choose_items(workspace(), settings)
    return QuickMap(
        items,
        _quick_map(
            encoder(settings.before).digest,
            encoder(settings.after).digest,
            items.dataset.digest(),
            settings,
            _items=items,
        ),
    )


@st.cache_data(show_spinner="Projecting ...", max_entries=32)
def _quick_map(
    before_digest: str, after_digest: str, items_digest: str, settings: EmbeddingMapSettings, *, _items: MapItems
) -> JointProjection:
    from muc_core.encoders.embed import embed_images

    before, after = (embed_images(encoder(name), _items.dataset) for name in (settings.before, settings.after))
    return joint_projection(before.numpy(), after.numpy(), method="pca", seed=settings.seed)


def picture_url(dataset: ImageTextDataset, index: int, size: int = 96) -> str:
    """A picture as a PNG data URL for tables and tooltips."""
    pixels = dataset.images(size, [index])[0].permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
