"""Where encoders compute: on the GPU when there is one, as training does."""

import os

import torch


def compute_device() -> torch.device:
    """The device for models; `ACCELERATE_USE_CPU=true`, which accelerate obeys in training, keeps to the CPU."""
    wants_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes", "y", "on")
    return torch.device("cuda" if torch.cuda.is_available() and not wants_cpu else "cpu")
