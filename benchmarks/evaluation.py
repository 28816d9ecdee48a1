"""EMIA and the linear probe against the plain way: loops over pictures and pairs, and a probe that encodes each epoch.

The plain way of EMIA takes one picture at a time, with its views as a batch; the plain probe is the MUC paper's: 100
epochs of SGD, crop and flip. It encodes 110 times each picture and ours 11 times, so that with equally large batches,
about as fast for each picture, ours would take a tenth and the fit.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measure import Row, seconds
from muc_core.data.augment import Augmentation, AugmentSettings
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.encoders.embed import embed_images, embed_views
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.load import load_encoder  # noqa: F401  (registers the families)
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.two_view import TwoViewEncoder
from muc_core.evaluation.emia import VIEWS, best_threshold, emia_from_likeness, view_likeness
from muc_core.evaluation.probe import SGD_BATCH, SGD_EPOCHS, SGD_MOMENTUM, SGD_RATE, linear_probe

CLASSES = 10
ARCHITECTURE = "demo-resnet"
AUGMENT = AugmentSettings(crop_scale=0.1, flip=0.5)
BUDGET = 1 / 10


def encoder() -> TwoViewEncoder:
    family = FAMILIES.get("simclr")
    manifest = EncoderManifest(name="fresh", title="", family="simclr", architecture=ARCHITECTURE, output="features")
    made = family.encoder(family.build(ARCHITECTURE, 0).state_dict(), manifest)
    assert isinstance(made, TwoViewEncoder)
    return made


def pictures(n: int) -> tuple[ImageTextDataset, Tensor]:
    """Noise around a colour for each class."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(n) % CLASSES
    colours = torch.randint(0, 200, (CLASSES, 3, 1, 1), generator=generator)
    pixels = (colours[classes] + torch.randint(0, 56, (n, 3, 32, 32), generator=generator)).to(torch.uint8)
    return ImageTextDataset("noise", [Item(str(i)) for i in range(n)], TensorImages(pixels)), classes


def ours(model: TwoViewEncoder, data: ImageTextDataset, classes: Tensor) -> None:
    likeness = view_likeness(embed_views(model, data, views=VIEWS, augment=AUGMENT).numpy())
    emia_from_likeness(*np.array_split(likeness, 3))
    linear_probe(embed_images(model, data).numpy(), classes.numpy())


def plain(model: TwoViewEncoder, data: ImageTextDataset, classes: Tensor) -> None:
    augmentation, generator = Augmentation(AUGMENT, model.image_size), torch.Generator().manual_seed(0)
    likeness = []
    for picture in range(len(data)):
        pixels = data.images(model.image_size, [picture])
        views = torch.cat([augmentation(pixels, generator) for _ in range(VIEWS)])
        features = model.encode_images((views * 255).round().to(torch.uint8))
        pairs = [(a, b) for a in range(VIEWS) for b in range(a + 1, VIEWS)]
        cosines = [float(F.cosine_similarity(features[a], features[b], dim=0)) for a, b in pairs]
        likeness.append(sum(cosines) / len(cosines))
    parts = np.array_split(np.array(likeness), 3)
    best_threshold(parts[1], parts[2])
    _encode_each_epoch(model, data, classes)


def _encode_each_epoch(model: TwoViewEncoder, data: ImageTextDataset, classes: Tensor) -> None:
    layer = nn.Linear(model.dimension, CLASSES)
    optimizer = torch.optim.SGD(layer.parameters(), lr=SGD_RATE, momentum=SGD_MOMENTUM)
    augmentation, generator = Augmentation(AUGMENT, model.image_size), torch.Generator().manual_seed(0)
    for _ in range(SGD_EPOCHS):
        order = torch.randperm(len(data), generator=generator)
        for start in range(0, len(data), SGD_BATCH):
            rows = order[start : start + SGD_BATCH]
            views = augmentation(data.images(model.image_size, rows.tolist()), generator)
            features = model.encode_images((views * 255).round().to(torch.uint8)).clone()
            optimizer.zero_grad()
            F.cross_entropy(layer(features), classes[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def rows(*, quick: bool) -> list[Row]:
    n = 300 if quick else 2_000
    model, (data, classes) = encoder(), pictures(n)
    embed_images(model, data)  # warm
    fast, slow = (seconds(lambda way=way: way(model, data, classes)) for way in (ours, plain))  # type: ignore[misc]
    return [
        Row(
            f"EMIA and linear probe, {n:,} pictures",
            f"{fast:.1f} s",
            f"loops, and a probe that encodes each epoch: {slow:.1f} s",
            f"{fast / slow:.1%}",
            f"<= {BUDGET:.0%}",
            fast / slow / BUDGET,
        )
    ]
