"""Who is trained on and who never is: forget, retain, held-out and calibration ids.

`training_subset` is the only door to training data; it checks again, with each call, that nothing held out passes.
"""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from muc_core.data.paths import name_some
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.data.dataset import ImageTextDataset

NO_CALIBRATION = (
    "this method compares the forget pictures with pictures that were never trained on and are no controls, and there "
    "is no such calibration set; train the original with one (muc train --calibration 160) or choose another method"
)


class DataSplit(BaseModel):
    """A partition of ids. Held-out items (the controls) and calibration items are never trained on.

    Both keep the order in which they were drawn, so that the first k of them are a random sample; `retain` is sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    forget: tuple[str, ...]
    retain: tuple[str, ...]
    held_out: tuple[str, ...]
    calibration: tuple[str, ...]

    @property
    def train(self) -> tuple[str, ...]:
        """All ids trained on: forget, then retain."""
        return self.forget + self.retain

    def limited(self, *, most_forget: int | None, most_retain: int | None) -> "DataSplit":
        """The same split with at most so many items to forget and to retain, drawn with the split's seed; None: all.

        What is left out belongs to no part: it is neither trained on nor a control.

        Raises:
            MucError: a number below 1, which would leave nothing.
        """
        if any(most is not None and most < 1 for most in (most_forget, most_retain)):
            raise MucError("at least one picture to forget and one to retain must be kept; give numbers from 1 up")
        draw = random.Random(self.seed)
        forget = self.forget if most_forget is None else draw.sample(self.forget, min(most_forget, len(self.forget)))
        retain = self.retain if most_retain is None else draw.sample(self.retain, min(most_retain, len(self.retain)))
        return self.model_copy(update={"forget": tuple(sorted(forget)), "retain": tuple(sorted(retain))})

    @model_validator(mode="after")
    def _is_a_partition(self) -> "DataSplit":
        if problem := _find_problem(self):
            raise ValueError(problem)
        return self

    def choose_forget(self, ids: Sequence[str]) -> "DataSplit":
        """The same split with these training items as the forget set and all other training items retained.

        Raises:
            MucError: no ids, an id twice, ids that are not trained on, or all that are.
        """
        train = set(self.train)
        chosen = set(ids)
        if not chosen:
            raise MucError("the forget set is empty; name at least one item that was trained on")
        if len(chosen) < len(ids):
            raise MucError(f"the forget set names an item twice: {name_some(_repeated(ids))}")
        never = {*self.held_out, *self.calibration}
        if wrong := [item_id for item_id in ids if item_id in never]:
            raise MucError(
                f"held-out and calibration items were never trained on and cannot be forgotten: {name_some(wrong)}"
            )
        if unknown := [item_id for item_id in ids if item_id not in train]:
            raise MucError(f"not among the {len(train):,} items trained on: {name_some(unknown)}")
        if chosen == train:
            raise MucError(f"the forget set is all {len(train):,} items trained on; at least one must be retained")
        return self.model_copy(update={"forget": tuple(ids), "retain": tuple(sorted(train - chosen))})


def make_split(
    dataset: "ImageTextDataset", *, seed: int, held_out: int, calibration: int, forget: Sequence[str] = ()
) -> DataSplit:
    """Draw held-out and calibration items at random from all that are not to be forgotten; the rest is trained on.

    What the data set sets apart (see `set_apart`) is never trained on and is drawn first.

    Args:
        dataset: the order of its items does not matter.
        seed: of the draw.
        held_out: how many items to hold out as controls.
        calibration: how many to hold out for calibration, none of them a control.
        forget: ids of the forget set; it can also be chosen later.

    Raises:
        MucError: counts that are negative or leave nothing to retain, unknown or repeated ids.
    """
    if held_out < 0 or calibration < 0:
        raise MucError(f"held-out ({held_out}) and calibration ({calibration}) are counts of items: 0 or more")
    for item_id in forget:
        dataset.index_of(item_id)
    if repeated := _repeated(forget):
        raise MucError(f"the forget set names an item twice: {name_some(repeated)}")
    apart = set_apart(dataset.ids)
    if wrong := [item_id for item_id in forget if item_id in apart]:
        raise MucError(
            f"the data set keeps these apart from training, so that none can be forgotten: {name_some(wrong)}"
        )
    others = sorted(set(dataset.ids) - apart - set(forget))
    never_trained = max(0, held_out + calibration - len(apart))
    if never_trained >= len(others):
        raise MucError(
            f"{held_out:,} held-out and {calibration:,} calibration items leave nothing to retain: "
            f"{len(others):,} of the {len(dataset):,} items in {dataset.name!r} are not to be forgotten"
        )
    draw = random.Random(seed)
    tested = sorted(apart)
    draw.shuffle(tested)
    draw.shuffle(others)
    drawn = [*tested[: held_out + calibration], *others[:never_trained]]
    return DataSplit(
        seed=seed,
        forget=tuple(forget),
        retain=tuple(sorted(others[never_trained:])),
        held_out=tuple(drawn[:held_out]),
        calibration=tuple(drawn[held_out:]),
    )


def set_apart(ids: Sequence[str]) -> frozenset[str]:
    """What a data set itself keeps for testing: the ids under `test/` or `val/`, where all others are under `train/`.

    CIFAR's own test pictures are named so, and those of a folder that has these sub-folders and no other.
    """
    parts = {item_id.partition("/")[0] for item_id in ids if "/" in item_id}
    if "train" not in parts or not parts <= {"train", "test", "val"} or not all("/" in item_id for item_id in ids):
        return frozenset()
    return frozenset(item_id for item_id in ids if not item_id.startswith("train/"))


def training_subset(
    dataset: "ImageTextDataset", split: DataSplit, part: Literal["train", "forget", "retain"]
) -> "ImageTextDataset":
    """The items to train on, in the order of the data set: "train" is the same whatever is to be forgotten.

    Raises:
        MucError: the part is empty, the data set lacks some of its items, or the split is not a partition: then a
            held-out or calibration item could get into training.
    """
    if problem := _find_problem(split):
        raise MucError(problem)
    ids = {"train": split.train, "forget": split.forget, "retain": split.retain}[part]
    if not ids:
        raise MucError(f"the {part} set is empty; choose at least one item")
    return dataset.subset(sorted(ids, key=dataset.index_of), name=f"{dataset.name}: {part}")


def calibration_subset(dataset: "ImageTextDataset", split: DataSplit) -> "ImageTextDataset":
    """The items that unlearning may be compared with, and that nothing is trained on.

    Raises:
        MucError: there are none, the data set lacks some of them, or the split is not a partition.
    """
    if problem := _find_problem(split):
        raise MucError(problem)
    if not split.calibration:
        raise MucError(NO_CALIBRATION)
    return dataset.subset(split.calibration, name=f"{dataset.name}: calibration")


def _find_problem(split: DataSplit) -> str | None:
    """What keeps a split from being a partition. Checked anew at the door: `model_copy` and the like check nothing."""
    if not split.retain:
        return "the retain set is empty; at least one item must be retained"
    owner: dict[str, str] = {}
    for part in ("forget", "retain", "held_out", "calibration"):
        for item_id in getattr(split, part):
            if item_id in owner:
                parts = f"twice in {part}" if owner[item_id] == part else f"both in {owner[item_id]} and in {part}"
                return f"{item_id!r} is {parts.replace('held_out', 'held-out')}; each item belongs to one part, once"
            owner[item_id] = part
    return None


def _repeated(ids: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    repeated: list[str] = []
    for item_id in ids:
        if item_id in seen:
            repeated.append(item_id)
        seen.add(item_id)
    return repeated
