"""Splits: a partition for ever, and the door to training data that no held-out or calibration item passes."""

import random
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.splits import DataSplit, make_split, training_subset
from muc_core.errors import MucError

Part = Literal["train", "forget", "retain"]
PARTS: tuple[Part, ...] = ("train", "forget", "retain")


def make(count: int) -> ImageTextDataset:
    """Picture i is all i, so that a picture tells whose it is whatever its id."""
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 8, 8)
    return ImageTextDataset("some", [Item(f"id{i}") for i in range(count)], TensorImages(pixels))


def pictures(dataset: ImageTextDataset) -> set[str]:
    return {f"id{int(value)}" for value in dataset.images(8)[:, 0, 0, 0]}


SMALL = DataSplit(seed=0, forget=("a",), retain=("b", "c"), held_out=("d",), calibration=("e",))


def test_a_split_is_frozen_and_round_trips() -> None:
    assert SMALL.train == ("a", "b", "c")
    assert DataSplit.model_validate_json(SMALL.model_dump_json()) == SMALL
    with pytest.raises(ValidationError, match="frozen"):
        SMALL.__setattr__("seed", 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"retain": ()}, "the retain set is empty"),
        ({"held_out": ("d", "d")}, "'d' is twice in held-out"),
        ({"held_out": ("b",)}, "'b' is both in retain and in held-out"),
        ({"calibration": ("a",)}, "'a' is both in forget and in calibration"),
        ({"calibration": ("d",)}, "'d' is both in held-out and in calibration"),
        ({"retain": ("a", "b")}, "'a' is both in forget and in retain"),
        ({"more": 1}, "Extra inputs"),
    ],
)
def test_what_is_no_partition_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSplit.model_validate(SMALL.model_dump() | change)


def test_make_split() -> None:
    dataset = make(50)
    split = make_split(dataset, seed=3, held_out=10, calibration=5, forget=["id7", "id3"])
    assert split.forget == ("id7", "id3")
    assert (len(split.held_out), len(split.calibration), len(split.retain)) == (10, 5, 33)
    assert set(split.train) | set(split.held_out) | set(split.calibration) == set(dataset.ids)
    assert split == make_split(dataset, seed=3, held_out=10, calibration=5, forget=["id7", "id3"])
    assert split.held_out != make_split(dataset, seed=4, held_out=10, calibration=5).held_out
    shuffled = list(dataset.ids)
    random.Random(9).shuffle(shuffled)
    assert make_split(dataset.subset(shuffled), seed=3, held_out=10, calibration=5, forget=["id7", "id3"]) == split
    assert make_split(dataset, seed=3, held_out=0, calibration=0).retain == tuple(sorted(dataset.ids))


def test_held_out_items_are_drawn_evenly() -> None:
    dataset = make(10)
    drawn = [item for seed in range(400) for item in make_split(dataset, seed=seed, held_out=2, calibration=2).held_out]
    counts = [drawn.count(item_id) for item_id in dataset.ids]
    assert max(counts) < 115  # 80 are expected, with a standard deviation of 8
    assert min(counts) > 45


@pytest.mark.parametrize(
    ("held_out", "calibration", "forget", "message"),
    [
        (5, 5, (), "5 held-out and 5 calibration items leave nothing to retain: 10 of the 10 items in 'some'"),
        (4, 4, ("id0", "id1"), "leave nothing to retain: 8 of the 10 items"),
        (-1, 2, (), "are counts of items: 0 or more"),
        (1, 1, ("id99",), "has no item 'id99'"),
        (1, 1, ("id1", "id1"), "names an item twice: id1"),
        (0, 0, tuple(f"id{i}" for i in range(10)), "leave nothing to retain"),
    ],
)
def test_make_split_refuses(held_out: int, calibration: int, forget: tuple[str, ...], message: str) -> None:
    with pytest.raises(MucError, match=message):
        make_split(make(10), seed=0, held_out=held_out, calibration=calibration, forget=forget)


def test_choose_forget() -> None:
    chosen = SMALL.choose_forget(["c", "b"])
    assert (chosen.forget, chosen.retain) == (("c", "b"), ("a",))
    assert (chosen.seed, chosen.held_out, chosen.calibration) == (SMALL.seed, SMALL.held_out, SMALL.calibration)
    assert SMALL.forget == ("a",)
    assert chosen.choose_forget(["a"]) == SMALL


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "the forget set is empty; name at least one item"),
        (["a", "b", "c"], "the forget set is all 3 items trained on; at least one must be retained"),
        (["a", "a"], "names an item twice: a"),
        (["a", "d"], "held-out and calibration items were never trained on and cannot be forgotten: d"),
        (["e"], "cannot be forgotten: e"),
        (["a", "x", "y"], "not among the 3 items trained on: x, y"),
    ],
)
def test_choose_forget_refuses(ids: list[str], message: str) -> None:
    with pytest.raises(MucError, match=message):
        SMALL.choose_forget(ids)


def test_training_order_does_not_depend_on_what_is_forgotten() -> None:
    dataset = make(20)
    split = make_split(dataset, seed=0, held_out=3, calibration=3)
    other = split.choose_forget(split.retain[5:9])
    train = training_subset(dataset, split, "train")
    assert train.ids == training_subset(dataset, other, "train").ids
    assert list(train.ids) == sorted(train.ids, key=dataset.index_of)
    assert training_subset(dataset, other, "forget").name == "some: forget"


def test_an_empty_forget_set_is_no_training_set() -> None:
    dataset = make(10)
    with pytest.raises(MucError, match="the forget set is empty"):
        training_subset(dataset, make_split(dataset, seed=0, held_out=1, calibration=1), "forget")


def test_a_data_set_that_lacks_items_is_refused() -> None:
    dataset = make(10)
    split = make_split(dataset, seed=0, held_out=1, calibration=1)
    with pytest.raises(MucError, match="has no item"):
        training_subset(dataset.subset(split.retain[1:]), split, "train")


@st.composite
def splits(draw: st.DrawFn) -> tuple[ImageTextDataset, DataSplit]:
    count = draw(st.integers(4, 40))
    dataset = make(count)
    held_out = draw(st.integers(0, count // 3))
    calibration = draw(st.integers(0, count // 3))
    split = make_split(dataset, seed=draw(st.integers(0, 10**6)), held_out=held_out, calibration=calibration)
    if len(split.retain) > 1 and draw(st.booleans()):
        split = split.choose_forget(draw(st.lists(st.sampled_from(split.train), min_size=1, max_size=1)))
    return dataset, split


@given(splits())
def test_nothing_held_out_is_ever_trained_on(made: tuple[ImageTextDataset, DataSplit]) -> None:
    dataset, split = made
    never = {*split.held_out, *split.calibration}
    for part in PARTS:
        if part == "forget" and not split.forget:
            continue
        training = training_subset(dataset, split, part)
        assert never.isdisjoint(training.ids)
        assert never.isdisjoint(pictures(training))
        assert pictures(training) == set(training.ids)
    assert set(split.train) | never == set(dataset.ids)


@given(splits(), st.data())
def test_a_tampered_split_does_not_open_the_door(made: tuple[ImageTextDataset, DataSplit], data: st.DataObject) -> None:
    dataset, split = made
    never = [*split.held_out, *split.calibration]
    if not never:
        return
    smuggled = data.draw(st.sampled_from(never))
    into = data.draw(st.sampled_from(["forget", "retain"]))
    changed = {into: (*getattr(split, into), smuggled)}
    tampered = data.draw(
        st.sampled_from([split.model_copy(update=changed), DataSplit.model_construct(**(split.model_dump() | changed))])
    )
    for part in PARTS:
        with pytest.raises(MucError, match=f"'{smuggled}' is both in {into} and in"):
            training_subset(dataset, tampered, part)
    with pytest.raises(ValidationError):
        DataSplit.model_validate_json(tampered.model_dump_json())


@given(splits(), st.data())
def test_whatever_is_chosen_the_partition_holds(made: tuple[ImageTextDataset, DataSplit], data: st.DataObject) -> None:
    dataset, split = made
    ids = data.draw(st.lists(st.sampled_from(dataset.ids), max_size=8))
    try:
        chosen = split.choose_forget(ids)
    except MucError:
        bad = not ids or len(set(ids)) < len(ids) or not set(ids) < set(split.train)
        assert bad
        return
    assert chosen.forget == tuple(ids)
    assert set(chosen.train) == set(split.train)
    assert set(ids).isdisjoint(chosen.retain)
    assert (chosen.held_out, chosen.calibration) == (split.held_out, split.calibration)
    assert DataSplit.model_validate(chosen.model_dump()) == chosen


def apart(*ids: str) -> ImageTextDataset:
    pixels = torch.zeros(len(ids), 3, 4, 4, dtype=torch.uint8)
    return ImageTextDataset("with a test part", [Item(item_id) for item_id in ids], TensorImages(pixels))


def test_what_the_data_set_keeps_for_testing_is_held_out_first_and_never_trained_on() -> None:
    dataset = apart(*(f"train/{i}" for i in range(6)), *(f"test/{i}" for i in range(4)))
    split = make_split(dataset, seed=0, held_out=2, calibration=1)
    assert all(item_id.startswith("test/") for item_id in (*split.held_out, *split.calibration))
    assert split.retain == tuple(f"train/{i}" for i in range(6))
    more = make_split(dataset, seed=0, held_out=4, calibration=2)
    assert {item_id[:5] for item_id in more.held_out} == {"test/"}
    assert {item_id[:6] for item_id in more.calibration} == {"train/"}
    assert len(more.retain) == 4


def test_what_is_kept_for_testing_cannot_be_forgotten() -> None:
    with pytest.raises(MucError, match="test/0"):
        make_split(apart("train/0", "train/1", "test/0"), seed=0, held_out=0, calibration=0, forget=["test/0"])


def test_folders_called_test_mean_nothing_beside_others() -> None:
    split = make_split(apart("train/0", "test/0", "birds/0"), seed=0, held_out=0, calibration=0)
    assert split.retain == ("birds/0", "test/0", "train/0")


def test_a_limited_split_keeps_some_of_each_and_the_same_controls() -> None:
    whole = make_split(apart(*(f"train/{i}" for i in range(20))), seed=3, held_out=4, calibration=2)
    whole = whole.choose_forget(whole.retain[:6])
    small = whole.limited(most_forget=3, most_retain=None)
    assert len(small.forget) == 3
    assert set(small.forget) < set(whole.forget)
    assert (small.retain, small.held_out, small.calibration) == (whole.retain, whole.held_out, whole.calibration)
    assert small == whole.limited(most_forget=3, most_retain=100)
    assert len(whole.limited(most_forget=None, most_retain=5).retain) == 5
    with pytest.raises(MucError, match="from 1 up"):
        whole.limited(most_forget=0, most_retain=None)
