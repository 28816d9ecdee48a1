"""A tiny data set and the tiny CLIP, for tests that train for a few steps."""

import torch

from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.encoders.family import FAMILIES, Family
from muc_core.encoders.load import load_encoder  # noqa: F401  (registers the families)

CLASSES = ("bird", "car", "cup")
WORDS = ("red", "bird", "moon", "green", "car", "tree", "cup", "blue")


def dataset(n: int, *, seed: int = 0, size: int = 48) -> ImageTextDataset:
    """n pictures of noise with different captions, in three classes."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    items = [
        Item(f"{seed}-{i}", f"{WORDS[i % 8]} {WORDS[i // 8 % 8]} {i}", CLASSES[i % 3], "artist" if i < 4 else "others")
        for i in range(n)
    ]
    return ImageTextDataset("tiny", items, TensorImages(pixels))


def clip() -> Family:
    return FAMILIES.get("clip")
