"""What the story on Present is told from: measured facts about a pair, and what each encoder takes one picture for."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.services import (
    Changes,
    PairData,
    SetChange,
    ask_first,
    changes,
    compare_items,
    encoder,
    saved_audits,
    thumbnails,
    uploaded_thumbnails,
    workspace,
)
from dashboard.services.evidence import Evidence
from muc_core.audit.neighbours import nearest
from muc_core.audit.result import AuditResult
from muc_core.comparison import Comparison, Mode
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.workspace import AuditRecord

DRAWN = 12
"""Pictures on a slide."""
SIDE = 160
"""Pixels of a picture on a slide."""
MOST_CANDIDATES = 2_000
"""Captions or pictures among which the nearest ones are looked for; of more, a sample."""
NEIGHBOURS = 5

Vectors: TypeAlias = npt.NDArray[np.float32]
Kind: TypeAlias = Literal["forget", "own", "nothing"]
"""Whose pictures the story is about: those that were to be forgotten, the audience's own, or none that are known."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The pictures that the story is about; `key` stands for their content, `items` is None when there are none."""

    kind: Kind
    items: ImageTextDataset | None
    key: str

    def urls(self, ids: tuple[str, ...], size: int) -> list[str]:
        """Data URLs of some of the pictures; those of uploads are kept for the session only."""
        assert self.items is not None
        some = self.items.subset(ids)
        if self.kind == "own":
            return uploaded_thumbnails(f"{self.key}/{','.join(ids)}", size, _dataset=some)
        return thumbnails(some, size)


def subject_of(data: PairData, own: ImageTextDataset | None) -> Subject:
    """The audience's own pictures, else those that the encoder after was to forget."""
    if own is not None:
        return Subject("own", own, own.digest())
    if not data.split.forget:
        return Subject("nothing", None, data.digest)
    return Subject("forget", data.dataset.subset(data.split.forget, name="forget"), data.digest)


@dataclass(frozen=True)
class Mean:
    """How well the pictures of a set are matched on average, in [-1, 1], before and after."""

    count: int
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a pair and its pictures.

    Attributes:
        method: that made the encoder after; None when it is not recorded.
        run_time_s: of that, None when it was not measured.
        learned: pictures that the encoder before learned from.
        shown: ids, captions and data URLs of pictures drawn at random.
        subject_mean, subject_unseen: of the subject's pictures and of controls, measured in the same way; None without.
        subject_mode: how these two were measured.
        retain, unseen: of whole sets.
        mode: how those were measured.
    """

    before: str
    after: str
    method: str | None
    run_time_s: float | None
    kind: Kind
    count: int
    learned: int
    shown: tuple[tuple[str, str, str], ...]
    subject_mean: Mean | None
    subject_unseen: Mean | None
    subject_mode: Mode
    retain: Mean
    unseen: Mean | None
    mode: Mode


def facts(before: str, after: str, subject: Subject, controls: ImageTextDataset | None, data: PairData) -> Facts:
    """Measure what the story tells. Raises `MucError`; `MustAsk` when pictures would be sent to somebody else."""
    manifest = workspace().encoder(after).manifest
    found = changes(before, after)
    unseen = None if found.held_out is None else _mean(found.held_out)
    mean, beside, mode = _of_subject(before, after, subject, controls, found)
    return Facts(
        before=before,
        after=after,
        method=manifest.method,
        run_time_s=manifest.run_time_s,
        kind=subject.kind,
        count=0 if subject.items is None else len(subject.items),
        learned=len(data.split.forget) + len(data.split.retain),
        shown=_shown(subject, data.split.seed),
        subject_mean=mean,
        subject_unseen=beside,
        subject_mode=mode,
        retain=_mean(found.retain),
        unseen=unseen,
        mode=found.mode,
    )


def _mean(change: SetChange) -> Mean:
    return Mean(len(change.ids), change.mean_before, change.mean_after)


def _of_subject(
    before: str, after: str, subject: Subject, controls: ImageTextDataset | None, found: Changes
) -> tuple[Mean | None, Mean | None, Mode]:
    if subject.kind == "forget" and found.forget is not None:
        return _mean(found.forget), None if found.held_out is None else _mean(found.held_out), found.mode
    if subject.items is None:
        return None, None, found.mode
    compared = compare_items(before, after, subject.items, controls)
    return _compared(compared, "items"), _compared(compared, "controls"), compared.mode


def _compared(compared: Comparison, part: Literal["items", "controls"]) -> Mean | None:
    start, end = (compared.means[f"{part}_{moment}_positive"] for moment in ("before", "after"))
    if start is None or end is None:
        return None
    if part == "items":
        return Mean(len(compared.ids), start, end)
    return None if compared.controls is None else Mean(len(compared.controls.ids), start, end)


def _shown(subject: Subject, seed: int) -> tuple[tuple[str, str, str], ...]:
    if subject.items is None:
        return ()
    ids = subject.items.ids
    drawn = ids if len(ids) <= DRAWN else tuple(random.Random(seed).sample(list(ids), DRAWN))
    texts = dict(zip(ids, subject.items.texts, strict=True))
    return tuple((name, texts[name] or name, url) for name, url in zip(drawn, subject.urls(drawn, SIDE), strict=True))


@dataclass(frozen=True)
class Seen:
    """What one encoder takes a picture for: the nearest captions, or pictures with their captions.

    Attributes:
        texts, similarities: nearest first; cosines in [-1, 1].
        urls: small pictures, empty strings where captions are compared.
        own: place of the picture's own caption among the nearest, None when it is not there.
        own_rank: its place among all, None when the picture has no caption, or pictures are compared.
    """

    texts: tuple[str, ...]
    similarities: tuple[float, ...]
    urls: tuple[str, ...]
    own: int | None
    own_rank: int | None


@dataclass(frozen=True)
class Thought:
    """What both encoders take a picture for, out of `pool` captions or pictures."""

    before: Seen
    after: Seen
    pool: int
    compared: Literal["captions", "pictures"]


def thought(before: str, after: str, subject: Subject, item_id: str, data: PairData) -> Thought:
    """What both encoders take one of the subject's pictures for: captions where they read them, else pictures.

    Raises:
        MucError: the picture is none of the subject's; an encoder gives no usable vectors.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    assert subject.items is not None
    one = subject.items.subset([item_id])
    both = encoder(before), encoder(after)
    captions = all(each.has_text for each in both) and any(data.dataset.texts)
    pool = _pool(data)
    ask_first(both, [one, pool], "image-text" if captions else "pictures")
    key = (both[0].digest, both[1].digest, one.digest(), pool.digest(), captions)
    return _thought(key, _both=both, _one=one, _pool=pool)


def _pool(data: PairData) -> ImageTextDataset:
    ids = data.dataset.ids
    if len(ids) <= MOST_CANDIDATES:
        return data.dataset
    return data.dataset.subset(random.Random(data.split.seed).sample(list(ids), MOST_CANDIDATES), name="pool")


@st.cache_data(show_spinner="Asking both encoders ...", scope="session", max_entries=64)
def _thought(
    key: tuple[str, str, str, str, bool],
    *,
    _both: tuple[Encoder, Encoder],
    _one: ImageTextDataset,
    _pool: ImageTextDataset,
) -> Thought:
    return think(_both, _one, _pool, captions=key[4])


def think(both: tuple[Encoder, Encoder], one: ImageTextDataset, pool: ImageTextDataset, *, captions: bool) -> Thought:
    """What both encoders take the picture `one` for, among the captions or the pictures of the pool."""
    look = _among_captions if captions else _among_pictures
    (before, count), (after, _) = (look(each, one, pool) for each in both)
    return Thought(before, after, count, "captions" if captions else "pictures")


def _among_captions(asked: Encoder, one: ImageTextDataset, pool: ImageTextDataset) -> tuple[Seen, int]:
    names = list(dict.fromkeys(text for text in pool.texts if text))
    vectors = _caption_vectors(asked.digest, pool.digest(), _encoder=asked, _names=names)
    own = one.texts[0]
    if own and own not in names:
        names.append(own)
        vectors = np.concatenate([vectors, embed_texts(asked, [own]).numpy()])
    place = names.index(own) if own else None
    found = nearest(
        embed_images(asked, one).numpy()[0], vectors, count=NEIGHBOURS, own=place, similarity=similarity_of(asked)
    )
    places = found.places.tolist()
    seen = Seen(
        texts=tuple(names[number] for number in places),
        similarities=tuple(found.similarities.tolist()),
        urls=("",) * len(places),
        own=places.index(place) if place in places else None,
        own_rank=found.own_rank,
    )
    return seen, len(names)


def _among_pictures(asked: Encoder, one: ImageTextDataset, pool: ImageTextDataset) -> tuple[Seen, int]:
    vectors = _picture_vectors(asked.digest, pool.digest(), _encoder=asked, _pool=pool)
    # The picture itself would be the nearest to itself.
    others = [number for number, name in enumerate(pool.ids) if name != one.ids[0]]
    found = nearest(
        embed_images(asked, one).numpy()[0], vectors[others], count=NEIGHBOURS, similarity=similarity_of(asked)
    )
    ids = [pool.ids[others[number]] for number in found.places.tolist()]
    some = pool.subset(ids)
    texts = tuple(text or name for name, text in zip(some.ids, some.texts, strict=True))
    return Seen(texts, tuple(found.similarities.tolist()), tuple(thumbnails(some, 64)), None, None), len(others)


@st.cache_resource(show_spinner=False, max_entries=8)
def _caption_vectors(weights_digest: str, pool_digest: str, *, _encoder: Encoder, _names: list[str]) -> Vectors:
    return _kept("captions", weights_digest, pool_digest, lambda: embed_texts(_encoder, _names).numpy())


@st.cache_resource(show_spinner=False, max_entries=8)
def _picture_vectors(weights_digest: str, pool_digest: str, *, _encoder: Encoder, _pool: ImageTextDataset) -> Vectors:
    return _kept("pictures", weights_digest, pool_digest, lambda: embed_images(_encoder, _pool).numpy())


def _kept(what: str, weights_digest: str, pool_digest: str, make: Callable[[], Vectors]) -> Vectors:
    """Vectors kept in the workspace, as making them takes seconds."""
    key = f"{what}-{hashlib.sha256(f'{weights_digest}/{pool_digest}'.encode()).hexdigest()[:32]}"
    known = workspace().read_map(key)
    if known is not None:
        return known["vectors"].astype(np.float32)
    vectors = make()
    workspace().write_map(key, {"vectors": vectors})
    return vectors


@dataclass(frozen=True, eq=False)
class Checked:
    """An audit to tell about.

    Attributes:
        result: what was found.
        names, urls: captions and small pictures by id.
        kept: the day it was kept and its title, None when it was made in this session.
        evidence: what can be signed of it.
    """

    result: AuditResult
    names: dict[str, str]
    urls: dict[str, str]
    kept: tuple[str, str] | None = None
    evidence: Evidence | None = None


def kept_audits(before: str, after: str) -> dict[str, AuditRecord]:
    """Audits of this pair that jobs kept, newest first, by id."""
    return {
        record.manifest.id: record
        for record in saved_audits()
        if (record.manifest.before, record.manifest.after) == (before, after)
    }
