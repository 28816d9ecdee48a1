"""Changed copies, and the questions put to encoders of every kind."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from muc_core.audit.geometry import ROTATED, UNCHANGED
from muc_core.audit.honesty import (
    IDENTICAL,
    MOST_CONTROLS,
    MOST_OWNED,
    NEAR_DUPLICATES,
    NOISE,
    STEADY,
    USEFUL,
)
from muc_core.audit.result import Check
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.base import Encoder
from muc_core.errors import MissingTextTower, MucError
from muc_core.near_duplicates import (
    CAPTION_KINDS,
    PICTURE_KINDS,
    honesty_checks,
    near_duplicates,
    punctuate,
    reword,
)

SIZE = 32
NAMES = [NEAR_DUPLICATES, NOISE, IDENTICAL, STEADY, USEFUL, UNCHANGED, ROTATED]


def pictures(n: int, *, seed: int = 0, captions: bool = True, name: str = "some") -> ImageTextDataset:
    """Smooth random pictures, each with a caption that begins with its number."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((n, 3, 4, 4), generator=generator)
    pixels = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1) * 255
    items = [Item(f"{name}-{row}", f"a thing {seed * 1000 + row}" if captions else None) for row in range(n)]
    return ImageTextDataset(name, items, TensorImages(pixels.round().to(torch.uint8)))


@dataclass(eq=False)
class Toy:
    """Sees the coarse picture, and knows which number belongs to which."""

    has_text: bool = True
    dimension: int = 48
    image_size: int = SIZE
    interpolation: Interpolation = "bicubic"
    name: str = "toy"
    family: str = "toy"
    digest: str = "0"
    known: dict[str, Tensor] = field(default_factory=dict)
    asked: int = 0

    def encode_images(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        small = torch.nn.functional.avg_pool2d(images.float() / 255 - 0.5, SIZE // 4).flatten(1)
        return small[:, : self.dimension]

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        if not self.has_text:
            raise MissingTextTower("none")
        return torch.stack([self.known[text.rstrip(".").split()[-1]] for text in texts])

    def learn(self, *datasets: ImageTextDataset) -> "Toy":
        for dataset in datasets:
            for item, vector in zip(dataset.items, self.encode_images(dataset.images(SIZE)), strict=True):
                noise = torch.randn(self.dimension, generator=torch.Generator().manual_seed(len(self.known)))
                self.known[str(item.text).split()[-1]] = vector + 0.05 * noise
        return self


# ---- copies


def test_copies_keep_ids_and_change_one_thing() -> None:
    dataset = pictures(6)
    copies = near_duplicates(dataset, 0)
    assert tuple(copies) == (*PICTURE_KINDS, *CAPTION_KINDS)
    before = dataset.images(SIZE).float()
    for kind, copy in copies.items():
        assert copy.ids == dataset.ids
        after = copy.images(SIZE).float()
        different = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        if kind in PICTURE_KINDS:
            assert copy.texts == dataset.texts
            assert all(different)
        else:
            assert not any(different)
            assert all(a != b for a, b in zip(copy.texts, dataset.texts, strict=True))


def test_copies_are_mild() -> None:
    dataset = pictures(20)
    before = dataset.images(SIZE).float()
    for kind in set(PICTURE_KINDS) - {"mirrored"}:
        change = (near_duplicates(dataset, 0)[kind].images(SIZE).float() - before).flatten(1).norm(dim=1)
        between = (before[:-1] - before[1:]).flatten(1).norm(dim=1)
        assert change.max() < between.min(), kind


def test_a_mirrored_copy_is_the_mirror_image() -> None:
    dataset = pictures(3)
    torch.testing.assert_close(near_duplicates(dataset, 0)["mirrored"].images(SIZE), dataset.images(SIZE).flip(3))


def test_turning_leaves_no_empty_corner() -> None:
    flat = torch.full((1, 3, SIZE, SIZE), 200, dtype=torch.uint8)
    dataset = ImageTextDataset("flat", [Item("one")], TensorImages(flat))
    for kind in ("rotated", "cropped"):
        assert torch.equal(near_duplicates(dataset, 0)[kind].images(SIZE), flat)


def test_turning_is_by_four_degrees_about_the_middle() -> None:
    """A line across the middle keeps its middle and has the slope tan 4 degrees."""
    side = 201
    line = torch.zeros((1, 3, side, side), dtype=torch.uint8)
    line[:, :, side // 2 - 2 : side // 2 + 3] = 255
    dataset = ImageTextDataset("line", [Item("one")], TensorImages(line))
    turned = near_duplicates(dataset, 0)["rotated"].images(side)[0, 0].double().numpy()
    heights = (turned * np.arange(side)[:, None]).sum(axis=0) / turned.sum(axis=0)
    slope, _ = np.polyfit(np.arange(side), heights, 1)
    assert abs(slope) == pytest.approx(np.tan(np.radians(4)), rel=0.03)
    assert heights[side // 2] == pytest.approx(side // 2, abs=0.6)


def test_a_crop_enlarges_nine_tenths() -> None:
    side = 200
    ramp = torch.arange(side).expand(1, 3, side, side).to(torch.uint8)
    dataset = ImageTextDataset("ramp", [Item("one")], TensorImages(ramp.contiguous()))
    row = near_duplicates(dataset, 0)["cropped"].images(side)[0, 0, 100].double().numpy()
    slope, _ = np.polyfit(np.arange(5, side - 5), row[5:-5], 1)
    assert slope == pytest.approx(0.9, rel=0.01)


def test_a_copy_depends_on_seed_and_id_only() -> None:
    dataset = pictures(8)
    whole = near_duplicates(dataset, 3)
    part = near_duplicates(dataset.subset(dataset.ids[5:2:-1]), 3)
    for kind in PICTURE_KINDS:
        assert torch.equal(part[kind].images(SIZE), whole[kind].images(SIZE)[[5, 4, 3]]), kind
    assert not torch.equal(near_duplicates(dataset, 4)["cropped"].images(SIZE), whole["cropped"].images(SIZE))


def test_without_captions_only_pictures_are_changed() -> None:
    assert tuple(near_duplicates(pictures(3, captions=False), 0)) == PICTURE_KINDS


@pytest.mark.parametrize(
    ("caption", "punctuated", "reworded"),
    [
        ("bird", "Bird.", "a picture of bird"),
        ("a dog on grass", "A dog on grass.", "the dog on grass"),
        ("an apple", "An apple.", "the apple"),
        ("The moon.", "the moon", "a moon."),
        ("A photo of a cat", "A photo of a cat.", "a picture of a cat"),
        ("picture of a cat", "Picture of a cat.", "an image of a cat"),
        ("Who is it?", "who is it", "a picture of Who is it?"),
        ("theatre", "Theatre.", "a picture of theatre"),
        ("…", "….", "a picture of …"),
    ],
)
def test_captions_are_changed_mildly(caption: str, punctuated: str, reworded: str) -> None:
    assert punctuate(caption) == punctuated
    assert reword(caption) == reworded


# ---- questions


def named(checks: tuple[Check, ...]) -> dict[str, bool | None]:
    return {check.name: check.passed for check in checks}


def test_an_honest_encoder_passes_and_is_told_so_in_a_fixed_order() -> None:
    owner, controls = pictures(20, seed=1, name="mine"), pictures(40, seed=2, name="theirs")
    encoder = Toy().learn(owner, controls)
    checks = honesty_checks(None, encoder, owner, controls, seed=0)
    assert [check.name for check in checks] == NAMES
    assert [check.passed for check in checks] == [True] * 5 + [None] * 2
    assert checks == honesty_checks(None, encoder, owner, controls, seed=0)


def test_the_same_ids_on_both_sides_do_not_matter() -> None:
    owner, controls = pictures(20, seed=1), pictures(40, seed=2)
    assert owner.ids[0] in controls.ids
    assert named(honesty_checks(None, Toy().learn(owner, controls), owner, controls, seed=0))[NEAR_DUPLICATES] is True


@pytest.mark.parametrize("reads", [True, False])
def test_the_encoder_before_given_back_is_recognised(reads: bool) -> None:
    owner, controls = pictures(20, seed=1, captions=reads, name="a"), pictures(40, seed=2, captions=reads, name="b")
    encoder = Toy(has_text=reads)
    if reads:
        encoder.learn(owner, controls)
    found = named(honesty_checks(encoder, encoder, owner, controls, seed=0))
    assert found == dict.fromkeys(NAMES, True) | {UNCHANGED: False}


@dataclass(eq=False)
class Turned(Toy):
    def encode_images(self, images: Tensor) -> Tensor:
        turn = torch.linalg.qr(torch.randn((48, 48), generator=torch.Generator().manual_seed(0)))[0]
        turned: Tensor = super().encode_images(images) @ turn
        return turned


def test_a_turned_encoder_without_captions_is_recognised() -> None:
    owner, controls = pictures(20, seed=1, captions=False, name="a"), pictures(40, seed=2, captions=False, name="b")
    found = named(honesty_checks(Toy(has_text=False), Turned(has_text=False), owner, controls, seed=0))
    assert found == dict.fromkeys(NAMES, True) | {ROTATED: False}


def test_another_dimension_is_not_compared() -> None:
    owner, controls = pictures(20, seed=1, captions=False, name="a"), pictures(40, seed=2, captions=False, name="b")
    checks = honesty_checks(Toy(has_text=False), Toy(has_text=False, dimension=40), owner, controls, seed=0)
    assert named(checks)[UNCHANGED] is None
    assert named(checks)[ROTATED] is None
    assert "48 numbers a picture and the one after 40" in checks[-1].value


@dataclass(eq=False)
class Filter(Toy):
    """Answers exact copies with another picture's vector."""

    hidden: frozenset[bytes] = frozenset()

    def encode_images(self, images: Tensor) -> Tensor:
        vectors = super().encode_images(images)
        for row, image in enumerate(images):
            if image.numpy().tobytes() in self.hidden:
                generator = torch.Generator().manual_seed(row)
                vectors[row] = 0.3 * vectors[row] + 0.2 * torch.randn(48, generator=generator)
        return vectors


def test_a_filter_is_caught_without_captions() -> None:
    owner, controls = pictures(20, seed=1, captions=False, name="a"), pictures(40, seed=2, captions=False, name="b")
    hidden = frozenset(image.numpy().tobytes() for image in owner.images(SIZE))
    checks = honesty_checks(None, Filter(has_text=False, hidden=hidden), owner, controls, seed=0)
    caught = {check.name: check for check in checks}[NEAR_DUPLICATES]
    assert caught.passed is False
    assert "compared with one another" in caught.value


@dataclass(eq=False)
class Depends(Toy):
    """Gives another answer where all pictures of a batch are dark."""

    def encode_images(self, images: Tensor) -> Tensor:
        vectors = super().encode_images(images)
        return vectors.flip(1) if images.float().mean() < 60 else vectors


def test_answers_that_depend_on_the_company_are_seen() -> None:
    controls, plain = pictures(40, seed=2, captions=False, name="b"), pictures(20, seed=1, captions=False, name="a")
    dark = ImageTextDataset("dark", plain.items, TensorImages(plain.images(SIZE) // 4))
    checks = {check.name: check for check in honesty_checks(None, Depends(has_text=False), dark, controls, seed=0)}
    assert checks[STEADY].passed is False
    assert checks[STEADY].value.startswith("20 of 60")


@dataclass(eq=False)
class Remembers(Toy):
    """Keeps answers; only a fresh self shows that the encoder behind has been changed since."""

    fresh: Toy | None = None

    def uncached(self) -> Encoder:
        assert self.fresh is not None
        return self.fresh


def test_the_second_time_a_remembering_encoder_is_asked_anew() -> None:
    owner, controls = pictures(20, seed=1, captions=False, name="a"), pictures(40, seed=2, captions=False, name="b")
    same, other = Toy(has_text=False), Turned(has_text=False)
    first = honesty_checks(None, Remembers(has_text=False, fresh=same), owner, controls, seed=0)
    assert same.asked == 60
    assert named(first)[STEADY] is True
    assert named(honesty_checks(None, Remembers(has_text=False, fresh=other), owner, controls, seed=0))[STEADY] is False


def test_pictures_and_captions_that_occur_twice_are_no_fixed_answer() -> None:
    owner, controls = pictures(20, seed=1, name="a"), pictures(40, seed=2, name="b")
    pixels = owner.images(SIZE).clone()
    pixels[1:8] = pixels[0]
    items = [replace(item, text=owner.texts[0] if row < 8 else item.text) for row, item in enumerate(owner.items)]
    series = ImageTextDataset("series", items, TensorImages(pixels))
    encoder = Toy().learn(owner, controls)
    assert named(honesty_checks(None, encoder, series, controls, seed=0))[IDENTICAL] is True


def test_of_very_many_pictures_some_are_asked_about() -> None:
    owner = pictures(MOST_OWNED + 30, seed=1, captions=False, name="a")
    controls = pictures(MOST_CONTROLS + 30, seed=2, captions=False, name="b")
    encoder = Toy(has_text=False)
    honesty_checks(None, encoder, owner, controls, seed=0)
    assert encoder.asked == (MOST_OWNED + MOST_CONTROLS) * (2 + len(PICTURE_KINDS))


def test_one_picture_is_too_few() -> None:
    with pytest.raises(MucError, match="at least 2 of each"):
        honesty_checks(None, Toy(has_text=False), pictures(1), pictures(40, seed=2), seed=0)
