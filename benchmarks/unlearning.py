"""An epoch of Alignment Calibration against the same forward and backward passes on ready tensors.

The difference is everything around the passes: reading pictures, drawing views, the optimiser, the bookkeeping. The
two-view families are compared with a plain pipeline besides: pictures as PIL images, torchvision's transforms one by
one, lightly's loss, and a third view of all samples instead of the forget samples only.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

import torch
from lightly.loss import NTXentLoss
from PIL import Image
from torch import Tensor
from torchvision import transforms

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from benchmarks.measure import Row, seconds
from muc_core.data.augment import AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.families.clip import TINY
from muc_core.encoders.families.moco import MoCoModel
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.encoders.two_view import AUGMENT, TwoViewModel
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds

BUDGET_RATIO = 1.15
ROUNDS = 3
TWO_VIEW = {"simclr": "cifar-resnet18:512-128", "moco": "cifar-resnet18:128@256"}


def rows(*, quick: bool) -> list[Row]:
    dataset, split = load_demo(), demo_split()
    retain, forget = (training_subset(dataset, split, part) for part in ("retain", "forget"))
    if quick:
        retain, forget = retain.subset(retain.ids[:460]), forget.subset(forget.ids[:52])
    found = [_against_passes("clip", TINY, TrainingSet(retain, forget))]
    # a ResNet-18 takes as long for a tenth of the pictures
    few = TrainingSet(retain.subset(retain.ids[:230]), forget.subset(forget.ids[:26]))
    for family, architecture in TWO_VIEW.items():
        found += [_against_passes(family, architecture, few), _against_plain(family, architecture, few)]
    return found


def _trainer(family_name: str, architecture: str, data: TrainingSet, rounds: int) -> Trainer:
    family, method = FAMILIES.get(family_name), METHODS.get("ac")
    settings = method.settings(epochs=rounds, checkpoints=rounds)
    model = family.build(architecture, seed=0)
    return Trainer(model, family, architecture, method, data, settings, Seeds.from_one(0))


def _against_passes(family: str, architecture: str, data: TrainingSet) -> Row:
    trainer = _trainer(family, architecture, data, ROUNDS + 1)
    ready = [_ready(trainer.batch(*positions)) for positions in trainer.plan.epoch(torch.Generator().manual_seed(0))]

    def bare_epoch() -> None:
        for batch in ready:
            step = Step(trainer.family, trainer.model, batch, trainer.settings, data.forget_fraction)
            loss = torch.stack(list(trainer.method.objective(step).values())).sum()
            trainer.model.zero_grad()
            torch.autograd.backward(loss)

    whole, bare = _by_turns(trainer, bare_epoch)
    return Row(
        f"AC epoch of {family}, {trainer.plan.total:,} pictures, {architecture}",
        f"{whole:.1f} s",
        f"its passes on ready tensors: {bare:.1f} s",
        f"{whole / bare:.2f}",
        f"<= {BUDGET_RATIO}",
        whole / bare / BUDGET_RATIO,
    )


def _against_plain(family: str, architecture: str, data: TrainingSet) -> Row:
    trainer = _trainer(family, architecture, data, ROUNDS + 1)
    plain = _PlainPipeline(_trainer(family, architecture, data, 1), data)
    whole, other = _by_turns(trainer, plain.epoch)
    return Row(
        f"AC epoch of {family}, {trainer.plan.total:,} pictures, {architecture}",
        f"{whole:.1f} s",
        f"PIL, torchvision, lightly, third view for all: {other:.1f} s",
        f"{whole / other:.2f}",
        "",
        None,
    )


def _by_turns(trainer: Trainer, other: Callable[[], None]) -> tuple[float, float]:
    """Median seconds of an epoch and of `other`; each checkpoint is one epoch, and the first turn warms up."""
    epochs = trainer.run()
    times = [(seconds(lambda: next(epochs)), seconds(other)) for _ in range(ROUNDS + 1)][1:]
    whole, others = (median(kind) for kind in zip(*times, strict=True))
    return whole, others


def _ready(batch: Batch) -> Batch:
    """The same batch with its views already drawn: as many as an objective asks for at most."""
    whole = [batch.view() for _ in range(2)]
    third = batch.only(batch.forget).view()
    turn = 0

    def draw(images: Tensor, _: object) -> Tensor:
        nonlocal turn
        if len(images) < len(batch.images):
            return third
        turn += 1
        return whole[turn % 2]

    return replace(batch, draw=draw)


@dataclass
class _PlainPipeline:
    """The same unlearning as a training script would write it; its loss stands for the time, not for the result."""

    trainer: Trainer
    data: TrainingSet

    def __post_init__(self) -> None:
        assert self.data.retain is not None
        assert self.data.forget is not None
        size = self.trainer.family.image_size(self.trainer.model)
        self.pictures = [*_pil(self.data.retain, size), *_pil(self.data.forget, size)]
        self.transform = _torchvision_views(AUGMENT, size)
        self.optimizer = torch.optim.AdamW(self.trainer.model.parameters(), lr=1e-4)
        model = self.trainer.model
        assert isinstance(model, TwoViewModel)
        self.model = model
        bank = tuple(reversed(model.queue.shape)) if isinstance(model, MoCoModel) else 0
        self.loss = NTXentLoss(temperature=0.5, memory_bank_size=bank)

    def epoch(self) -> None:
        for rows in self._batches():
            first, second, third = (torch.stack([self.transform(self.pictures[row]) for row in rows]) for _ in range(3))
            if isinstance(self.model, MoCoModel):
                z = self.model(first), self.model.keys(second), self.model.keys(third)
            else:
                z = self.model(first), self.model(second), self.model(third)
            loss = self.loss(z[0], z[1]) + (z[0] * z[2]).sum(dim=1).mean()
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            self.optimizer.step()
            self.trainer.family.after_step(self.model)

    def _batches(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.pictures)).tolist()
        steps = self.trainer.plan.steps
        yield from (order[step::steps] for step in range(steps))


def _pil(dataset: ImageTextDataset, size: int) -> list[Image.Image]:
    return [Image.fromarray(pixels.permute(1, 2, 0).numpy()) for pixels in dataset.images(size)]


def _torchvision_views(settings: AugmentSettings, size: int) -> transforms.Compose:
    strength = settings.color_jitter
    jitter = transforms.ColorJitter(strength, strength, strength, settings.hue)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(settings.crop_scale, 1.0)),
            transforms.RandomHorizontalFlip(settings.flip),
            transforms.RandomApply([jitter], p=settings.jitter_probability),
            transforms.RandomGrayscale(settings.grayscale),
            transforms.ToTensor(),
        ]
    )
