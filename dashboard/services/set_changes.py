"""What changed for the forget, retain and held-out sets, in one encoder and in all that were made from an original."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services.asking import ask_first
from dashboard.services.encoders import VIEWS, encoder, encoder_records, has_text, workspace
from dashboard.services.pairs import PairData, pair_data
from muc_core.audit.alignment import diagonal_of, image_text_factors, view_factors
from muc_core.comparison import Mode
from muc_core.encoders.base import similarity_of
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.encoder import FAMILY as REMOTE


@dataclass(frozen=True, eq=False)
class SetChange:
    """Own similarity of the items of one set in both encoders: with the own caption, or among the own views.

    Attributes:
        ids: of the items.
        before, after: `[n]` each, in [-1, 1], in the order of `ids`.
    """

    ids: tuple[str, ...]
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]

    @property
    def mean_before(self) -> float:
        return float(self.before.mean())

    @property
    def mean_after(self) -> float:
        return float(self.after.mean())


@dataclass(frozen=True)
class Changes:
    """What changed for whom. The first two sets are None when the split names nothing to forget or to hold out."""

    forget: SetChange | None
    held_out: SetChange | None
    retain: SetChange
    mode: Mode


def changes(before: str, after: str) -> Changes:
    """Own similarity of all of the forget, retain and held-out items, before and after. Raises `MucError`."""
    first, second = (workspace().encoder(name).manifest for name in (before, after))
    data = pair_data(before, after)
    mode = _mode_of([first, second], data)
    ask_first([encoder(name) for name in _behind_a_url(first, second)], [data.dataset], mode)
    return _changes(first, second, data, mode)


def _mode_of(manifests: Sequence[EncoderManifest], data: PairData) -> Mode:
    """Pictures against captions where every encoder reads them and every picture has one."""
    return "image-text" if all(data.dataset.texts) and all(map(has_text, manifests)) else "two-view"


def _behind_a_url(*manifests: EncoderManifest) -> list[str]:
    return list(dict.fromkeys(manifest.name for manifest in manifests if manifest.family == REMOTE))


def _changes(before: EncoderManifest, after: EncoderManifest, data: PairData, mode: Mode) -> Changes:
    both = [
        _own_similarity(manifest.content_digest, data.digest, mode, _name=manifest.name, _data=data)
        for manifest in (before, after)
    ]

    def part(ids: tuple[str, ...]) -> SetChange | None:
        rows = [data.dataset.index_of(item_id) for item_id in ids]
        return SetChange(ids, both[0][rows], both[1][rows]) if ids else None

    retain = part(data.split.retain)
    assert retain is not None  # a split always retains something
    return Changes(part(data.split.forget), part(data.split.held_out), retain, mode)


@st.cache_data(show_spinner="Measuring all pictures ...", max_entries=64)
def _own_similarity(
    weights_digest: str, data_digest: str, mode: Mode, *, _name: str, _data: PairData
) -> npt.NDArray[np.float64]:
    """Positive alignment of every item of the data `[n]`, kept in the workspace: it takes seconds."""
    key = f"own-{hashlib.sha256('/'.join((weights_digest, data_digest, mode)).encode()).hexdigest()[:32]}"
    known = workspace().read_map(key)
    if known is not None and known["positive"].shape == (len(_data.dataset),):
        return known["positive"].astype(np.float64)
    asked = encoder(_name)
    if mode == "two-view":
        views = embed_views(asked, _data.dataset, views=VIEWS).numpy()
        factors = view_factors(views, ids=_data.dataset.ids, similarity=similarity_of(asked))
    else:
        texts = embed_texts(asked, [text or "" for text in _data.dataset.texts])
        images = embed_images(asked, _data.dataset)
        factors = image_text_factors(
            images.numpy(), texts.numpy(), ids=_data.dataset.ids, similarity=similarity_of(asked)
        )
    positive = diagonal_of(factors)
    workspace().write_map(key, {"positive": positive})
    return positive


@dataclass(frozen=True)
class Means:
    """Mean own similarity over whole sets in one encoder, None for a set that does not exist."""

    name: str
    method: str | None
    forget: float | None
    retain: float
    held_out: float | None

    def distance(self, other: "Means") -> float:
        """Mean absolute difference over the sets that both have."""
        pairs = zip(
            (self.forget, self.retain, self.held_out), (other.forget, other.retain, other.held_out), strict=True
        )
        differences = [abs(a - b) for a, b in pairs if a is not None and b is not None]
        return sum(differences) / len(differences)


def means_of_all(before: str, after: str) -> list[Means]:
    """The original and every encoder made from it with the same data and split as `after`, in the order of the list.

    Raises:
        MucError: as `changes`.
    """
    data = pair_data(before, after)
    manifests = {record.manifest.name: record.manifest for record in encoder_records()}
    original, reference = manifests[before], manifests[after].data
    made = [
        manifest
        for manifest in manifests.values()
        if manifest.original == before and manifest.data is not None and manifest.data == reference
    ]
    mode = _mode_of([original, manifests[after], *made], data)
    ask_first([encoder(name) for name in _behind_a_url(original, *made)], [data.dataset], mode)
    means = [_means(original, _changes(original, original, data, mode), "mean_before")]
    for manifest in made:
        means.append(_means(manifest, _changes(original, manifest, data, mode), "mean_after"))
    return means


def _means(manifest: EncoderManifest, change: Changes, moment: Literal["mean_before", "mean_after"]) -> Means:
    forget, held_out = (None if part is None else getattr(part, moment) for part in (change.forget, change.held_out))
    return Means(manifest.name, manifest.method, forget, getattr(change.retain, moment), held_out)
