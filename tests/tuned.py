"""What the tests of tuning share: pictures, settings of a tiny run, and a progress that can stop a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from pydantic import JsonValue

from muc_core.errors import Cancelled
from muc_core.jobs.tasks.unlearn import UnlearnJob

N, FORGET, HELD_OUT = 60, 12, 24
QUICK: dict[str, JsonValue] = {"epochs": 1, "batch_size": 32, "checkpoints": 2, "learning_rate": 2e-3}
ARCHITECTURES = {"clip": "muc-tiny", "simclr": "demo-resnet:16"}


def write_pictures(folder: Path) -> Path:
    """60 pictures of noise, 12 of them Ann's."""
    generator = torch.Generator().manual_seed(0)
    lines = ["file,caption,owner"]
    for i in range(N):
        pixels = torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
        lines.append(f"{i}.png,colour number {i},{'ann' if i < FORGET else 'bob'}")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


def unlearning(family: str, **changes: object) -> UnlearnJob:
    base = {"name": f"{family}-ac", "method": "ac", "original": f"{family}-before", "forget": "owner:ann"}
    return UnlearnJob.model_validate(base | {"settings": QUICK} | changes)


@dataclass
class Reports:
    """Everything a task reported; stops it at a message that begins so."""

    stop_at: str | None = None
    told: list[tuple[int, int, str]] = field(default_factory=list)

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.told.append((step, total, message))
        if self.stop_at is not None and message.startswith(self.stop_at):
            raise Cancelled
