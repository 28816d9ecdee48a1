"""The data set type: order, ids, memory, digests."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from muc_core.data import dataset as module
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.interpolation import Interpolation
from muc_core.errors import MucError


class CountingImages:
    """Picture i is all i; remembers what was asked of it."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self._count

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        self.asked += indices
        return torch.stack([torch.full((3, size, size), index, dtype=torch.uint8) for index in indices])


def make(count: int = 6) -> tuple[ImageTextDataset, CountingImages]:
    source = CountingImages(count)
    items = [Item(f"id{i}", f"text {i}", "even" if i % 2 == 0 else "odd", None) for i in range(count)]
    return ImageTextDataset("some", items, source), source


def values(pixels: Tensor) -> list[int]:
    return [int(value) for value in pixels[:, 0, 0, 0]]


def test_columns_and_positions() -> None:
    dataset, _ = make(3)
    assert len(dataset) == 3
    assert dataset.ids == ("id0", "id1", "id2")
    assert dataset.texts == ("text 0", "text 1", "text 2")
    assert dataset.labels == ("even", "odd", "even")
    assert dataset.owners == (None, None, None)
    assert dataset.index_of("id2") == 2
    with pytest.raises(MucError, match="the set 'some' has no item 'id9'"):
        dataset.index_of("id9")


def test_refuses_no_items_and_repeated_ids() -> None:
    with pytest.raises(MucError, match="the set 'none' is empty"):
        ImageTextDataset("none", [], CountingImages(0))
    with pytest.raises(MucError, match="two items with the id 'b'"):
        ImageTextDataset("twice", [Item("a"), Item("b"), Item("c"), Item("b")], CountingImages(4))
    with pytest.raises(ValueError, match="1 items for 2 pictures"):
        ImageTextDataset("uneven", [Item("a")], CountingImages(2))


def test_each_picture_is_decoded_once_and_only_when_asked_for() -> None:
    dataset, source = make()
    assert values(dataset.images(8, [4, 1, 4])) == [4, 1, 4]
    assert source.asked == [1, 4]
    assert values(dataset.images(8)) == [0, 1, 2, 3, 4, 5]
    assert sorted(source.asked) == [0, 1, 2, 3, 4, 5]
    assert values(dataset.images(8, range(2, 4))) == [2, 3]
    assert len(source.asked) == 6
    dataset.images(16, [0])
    assert len(source.asked) == 7  # another size is decoded anew: enlarging would lose detail


def test_large_sets_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, source = make()
    monkeypatch.setattr(module, "MEMORY_LIMIT_BYTES", 6 * 3 * 8 * 8 - 1)
    assert values(dataset.images(8, [5, 0])) == [5, 0]
    assert values(dataset.images(8, [5, 0])) == [5, 0]
    assert source.asked == [5, 0, 5, 0]
    assert not dataset._memory
    assert values(dataset.images(7, [5, 5])) == [5, 5]
    assert [size for size, _ in dataset._memory] == [7]


def test_a_small_part_of_a_large_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, source = make()
    monkeypatch.setattr(module, "MEMORY_LIMIT_BYTES", 2 * 3 * 8 * 8)
    part = dataset.subset(["id4", "id2"])
    assert values(part.images(8)) == [4, 2]
    assert values(part.images(8)) == [4, 2]
    assert source.asked == [4, 2]


def test_subsets_keep_order_and_share_the_memory_of_the_whole() -> None:
    dataset, source = make()
    part = dataset.subset(["id5", "id0", "id3"], name="part")
    again = part.subset(["id3", "id5"])
    assert (part.name, again.name) == ("part", "part")
    assert again.ids == ("id3", "id5")
    assert again.texts == ("text 3", "text 5")
    assert values(part.images(8)) == [5, 0, 3]
    assert values(again.images(8)) == [3, 5]
    assert values(dataset.images(8, [3])) == [3]
    assert sorted(source.asked) == [0, 3, 5]
    assert not part._memory
    assert not again._memory


@pytest.mark.parametrize(("ids", "message"), [(["id1", "id1"], "two items"), (["x"], "no item"), ([], "empty")])
def test_subset_refuses(ids: list[str], message: str) -> None:
    with pytest.raises(MucError, match=message):
        make()[0].subset(ids)


def test_tensors_are_neither_copied_nor_distorted() -> None:
    pixels = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
    dataset = ImageTextDataset("tensors", [Item(str(i)) for i in range(4)], TensorImages(pixels))
    assert dataset.images(16).data_ptr() == pixels.data_ptr()
    assert torch.equal(dataset.images(16, [2, 0]), pixels[[2, 0]])
    assert not dataset._memory
    part = dataset.subset(["3", "1"])
    assert torch.equal(part.images(16), pixels[[3, 1]])
    assert not part._memory
    assert dataset.images(8).shape == (4, 3, 8, 8)

    wide = torch.zeros((1, 3, 10, 30), dtype=torch.uint8)
    wide[..., 10:20] = 200
    square = TensorImages(wide).load([0], 5)
    assert square.shape == (1, 3, 5, 5)
    assert (square == 200).all()


@pytest.mark.parametrize("pixels", [torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8)])
def test_tensors_of_another_kind_are_refused(pixels: Tensor) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        TensorImages(pixels)


def test_digest_changes_with_content_and_only_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)

    def digest(pixels: Tensor, texts: Sequence[str | None] = ("a", "b", None), prefix: str = "") -> str:
        items = [Item(f"{prefix}{i}", text) for i, text in enumerate(texts)]
        return ImageTextDataset("any name", items, TensorImages(pixels)).digest()

    first = digest(pixels)
    assert digest(pixels.clone()) == first
    changed = pixels.clone()
    changed[1, 2, 3, 4] ^= 1
    others = {digest(changed), digest(pixels, ("a", "b", "None")), digest(pixels, prefix="x"), digest(pixels.flip(0))}
    assert len(others | {first}) == 5
    monkeypatch.setattr(module, "MEMORY_LIMIT_BYTES", 0)
    assert digest(pixels) == first


class Fingerprinted(CountingImages):
    """Says of picture i that its fingerprint is i."""

    def fingerprint(self, indices: Sequence[int]) -> bytes:
        return bytes(indices)


def test_the_digest_of_a_large_set_asks_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 2)
    source = Fingerprinted(4)
    dataset = ImageTextDataset("large", [Item(f"id{i}", "text") for i in range(4)], source)
    part = dataset.subset(["id3", "id1", "id0"]).subset(["id0", "id3", "id1"])
    assert len({dataset.digest(), part.digest()}) == 2
    assert dataset.digest(8) == dataset.digest(16)
    assert source.asked == []
    same = ImageTextDataset("x", [Item("id0", "text"), Item("id3", "text"), Item("id1", "text")], Fingerprinted(3))
    monkeypatch.setattr(same.source, "fingerprint", lambda indices: bytes([0, 3, 1]))
    assert part.digest() == same.digest()
    # a small part is decoded as ever
    small = dataset.subset(["id3"])
    small.digest(8)
    assert source.asked == [3]
    # and so is a large set of a source that has no fingerprint
    plain, counted = make(4)
    plain.digest(8)
    assert sorted(counted.asked) == [0, 1, 2, 3]


def test_pictures_are_brought_to_a_size_as_the_interpolation_says() -> None:
    pixels = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8).expand(1, 3, 2, 2)
    dataset = ImageTextDataset("one", [Item("a")], TensorImages(pixels))
    nearest, bilinear = dataset.images(4, interpolation="nearest"), dataset.images(4, interpolation="bilinear")
    bicubic = dataset.images(4, interpolation="bicubic")
    assert set(nearest.flatten().tolist()) == {0, 255}
    assert not torch.equal(nearest, bilinear)
    assert not torch.equal(bilinear, bicubic)
    assert torch.equal(dataset.images(4), bicubic)
    assert torch.equal(dataset.images(4, [0], "nearest"), nearest)
