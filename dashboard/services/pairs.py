"""A pair of encoders: the data and sets behind it, and its comparison on any of them."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from dashboard.services.asking import ask_first
from dashboard.services.encoders import VIEWS, encoder, workspace
from muc_core.comparison import Comparison, ModeChoice, OrderChoice, compare
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.sets import SetInfo, list_sets, load_dataset, resolve_ids, resolve_items
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError

MOST_CELLS = 60
"""Cells along a side of a heatmap on a page: each can be clicked; more could not be told apart or drawn quickly."""


def pair_notes(before: str, after: str) -> tuple[str, ...]:
    """What a reader must know of two encoders that differ in more than what was unlearned, in sentences.

    Raises:
        MucError: one of them cannot be loaded.
    """
    first, second = encoder(before), encoder(after)
    notes = []
    kinds = [workspace().encoder(name).manifest for name in (before, after)]
    if (kinds[0].family, kinds[0].architecture) != (kinds[1].family, kinds[1].architecture):
        notes.append(
            f"These are different models ({kinds[0].family} {kinds[0].architecture} and {kinds[1].family} "
            f"{kinds[1].architecture}): a difference between them need not come from unlearning."
        )
    if first.has_text != second.has_text:
        deaf = before if second.has_text else after
        notes.append(f"{deaf} cannot read captions, so pictures are compared with changed copies of themselves.")
    if first.image_size != second.image_size:
        notes.append(
            f"{before} looks at {first.image_size} × {first.image_size} pixels and {after} at {second.image_size} × "
            f"{second.image_size}: each gets the pictures at its own size."
        )
    if first.dimension != second.dimension:
        notes.append(
            f"Their vectors have {first.dimension:,} and {second.dimension:,} numbers; similarities are taken within "
            "each encoder and can be compared, a joint map cannot be drawn."
        )
    return tuple(notes)


@dataclass(frozen=True)
class PairData:
    """The data behind a pair of encoders and the split that says what the later one was to forget."""

    dataset: ImageTextDataset
    split: DataSplit
    digest: str
    spec: str


def pair_data(before: str, after: str) -> PairData:
    """Data and split of a pair: those of the unlearned encoder, else of the original, else the demo's.

    Raises:
        MucError: the data cannot be loaded.
    """
    for name in (after, before):
        reference = workspace().encoder(name).manifest.data
        if reference is not None and reference.spec != "demo":
            return PairData(
                _dataset(reference.spec, reference.digest), reference.split, reference.digest, reference.spec
            )
        if reference is not None:
            return PairData(load_demo(), reference.split, demo_digest(), "demo")
    return PairData(load_demo(), demo_split(), demo_digest(), "demo")


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


def forget_sets(data: PairData) -> dict[str, int]:
    """Sets that somebody may ask to be forgotten, with how many trained pictures each has."""
    return {info.spec: info.count for info in sets_of(data) if info.spec.startswith(("owner:", "category:"))}


def named_forget_set(specs: Mapping[str, int], data: PairData) -> str | None:
    """Which of these sets is the data's own forget set; None when none is exactly that."""
    wish = set(data.split.forget)
    alike = (spec for spec, count in specs.items() if count == len(wish))
    return next((spec for spec in alike if set(resolve_ids(spec, data.dataset, data.split)) == wish), None)


def items_of(spec: str, data: PairData) -> ImageTextDataset:
    """The items of a set such as owner:artist or held-out. Raises `MucError`."""
    return resolve_items(spec, dataset=data.dataset, split=data.split)


def retain_sample(data: PairData, count: int) -> ImageTextDataset:
    """Up to `count` retained items, drawn at random and the same ones each time: enough to see collateral damage."""
    retain = data.split.retain
    ids = retain if len(retain) <= count else random.Random(data.split.seed).sample(retain, count)
    return data.dataset.subset(ids, name="retain")


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
    """The comparison of two encoders on items and controls, computed once per content.

    Raises:
        MucError: they cannot be compared.
        MustAsk: pictures would be sent to an encoder behind a URL.
    """
    both = encoder(before), encoder(after)
    parts = [items] if controls is None else [items, controls]
    captions = mode != "two-view" and all(one.has_text for one in both) and all(items.texts)
    ask_first(both, parts, "image-text" if captions else "two-view")
    return _compare(
        both[0].digest,
        both[1].digest,
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
        views=VIEWS,
        order=order,
        seed=seed,
        max_cells=MOST_CELLS,
    )


def controls_for(items: ImageTextDataset, data: PairData) -> ImageTextDataset | None:
    """The held-out set as controls, without what has the id of an item; None when nothing was held out."""
    taken = set(items.ids)
    ids = [item_id for item_id in data.split.held_out if item_id not in taken]
    return data.dataset.subset(ids, name="held-out") if ids else None
