"""Copies within a set are found, and pictures that merely look alike are left alone."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.copies import copies_among, without
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.demo import demo_split, load_demo
from muc_core.errors import MucError


def dataset(pictures: list[Tensor]) -> ImageTextDataset:
    items = [Item(f"picture {row}") for row in range(len(pictures))]
    return ImageTextDataset("pictures", items, TensorImages(torch.stack(pictures)))


def saved_again(picture: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def smaller(picture: Tensor) -> Tensor:
    small = transforms.resize(picture, [96, 96], antialias=True)
    resized: Tensor = transforms.resize(small, [128, 128], antialias=True)
    return resized


def test_the_same_picture_again_saved_again_or_in_another_size_is_a_copy() -> None:
    drawings = load_demo().images(128, range(8))
    found = copies_among(
        dataset([*drawings, drawings[2], saved_again(drawings[3], 90), smaller(drawings[4]), drawings[2]])
    )
    assert found == {
        "picture 8": "picture 2",
        "picture 9": "picture 3",
        "picture 10": "picture 4",
        "picture 11": "picture 2",
    }


def test_no_two_drawings_of_the_demos_sets_are_copies() -> None:
    split = demo_split()
    for ids in (split.forget, split.held_out, split.calibration):
        assert copies_among(load_demo().subset(ids)) == {}


def test_without_keeps_the_order_and_refuses_to_leave_nothing() -> None:
    pictures = dataset(list(load_demo().images(32, range(4))))
    assert without(pictures, ["picture 1"]).ids == ("picture 0", "picture 2", "picture 3")
    assert without(pictures, []) is pictures
    with pytest.raises(MucError, match="empty"):
        without(pictures, pictures.ids)
