"""What unlearning cost, counted in picture views and in operations, which no machine changes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from muc_core.encoders.base import Encoder
from muc_core.evaluation.metrics import Metric, declare

declare(
    Metric("rte", "RTE", "lower", 0.0, None, 0.0, "seconds", "Run time of unlearning, without evaluation or storage.")
)
declare(
    Metric(
        "views",
        "cost in views",
        "lower",
        0.0,
        None,
        0.0,
        "share",
        "Picture views that passed through the encoder while unlearning, as a share of Retrain's.",
    )
)


declare(
    Metric(
        "flops",
        "cost in TFLOP",
        "lower",
        0.0,
        None,
        0.0,
        "ratio",
        "Floating-point operations of unlearning in units of 10^12, from those of a picture in the encoder.",
    )
)

BACKWARD = 2
"""A backward pass takes about twice the operations of a forward pass: for inputs and for weights."""


def training_flops(encoder: Encoder, views: int) -> int:
    """Floating-point operations of training on so many views, an addition and a multiplication being two.

    Counted by torch for one picture, and a caption where the encoder reads them; small layers that training alone has,
    and models that are looked at beside the trained one, are left out.
    """
    size = encoder.image_size
    with FlopCounterMode(display=False) as counter:
        encoder.encode_images(torch.zeros(1, 3, size, size, dtype=torch.uint8))
        if encoder.has_text:
            encoder.encode_texts(["a picture"])
    return int(counter.get_total_flops()) * (1 + BACKWARD) * views


def views_seen(*, epochs: int, retain: int, forget: int, views: int, third_view: bool = False) -> int:
    """Picture views forwarded in a run.

    Args:
        epochs: passes over the data.
        retain, forget: pictures of each that the method uses.
        views: of each picture in a step: 2 for two-view families, 1 for image-text ones.
        third_view: one more of each forget picture, for Alignment Calibration in two-view families.
    """
    return epochs * (views * (retain + forget) + (forget if third_view else 0))
