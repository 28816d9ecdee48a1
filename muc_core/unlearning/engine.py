"""The training engine that all methods share, from plain training to Alignment Calibration.

It runs on what accelerate finds (a GPU or the CPU), yields checkpoints along the way, can be resumed from the state it
hands out, and gives the same numbers for the same seeds on the same machine. Under `accelerate launch` each process
takes its part of every step; losses and gradients are those of one process with the whole step, and so is the state.
"""

import copy
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from muc_core.data.augment import Augmentation
from muc_core.data.classes import class_numbers
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.paths import name_some
from muc_core.data.splits import NO_CALIBRATION, DataSplit, calibration_subset, training_subset
from muc_core.encoders.family import Batch, Family
from muc_core.encoders.parallel import JointBatchNorm, Share, average_gradients, same_everywhere, world_size
from muc_core.errors import MucError
from muc_core.losses.cross_view import cross_view
from muc_core.progress import SILENT, Progress
from muc_core.unlearning.batches import BatchPlan, ForgetLedPlan, derangement
from muc_core.unlearning.method import Method, Step
from muc_core.unlearning.saliency import Mask
from muc_core.unlearning.settings import CalibrationSettings, Seeds, TrainingSettings


class TrainingDiverged(MucError):
    """The loss stopped being a number; checkpoints yielded before are good."""


@dataclass(frozen=True)
class Checkpoint:
    """A state along the way.

    Attributes:
        step: optimiser steps done; 0 is the start.
        epoch: passes over the data done, a fraction in the middle of one.
        weights: the model's state on the CPU.
        terms: mean of each loss term since the checkpoint before.
        run_time_s: seconds of training so far, without evaluation or storage (RTE).
        views: picture views drawn for it so far.
    """

    step: int
    epoch: float
    weights: dict[str, Tensor]
    terms: dict[str, float]
    run_time_s: float
    views: int


@dataclass(frozen=True)
class TrainingSet:
    """Retain and forget pictures; both come from `muc_core.data.splits.training_subset`, the only door to training.

    Calibration pictures are compared with and never trained on.

    Attributes:
        classes: names of the classes, in the order of a classifier's outputs, for families that learn from them.
    """

    retain: ImageTextDataset | None
    forget: ImageTextDataset | None
    calibration: ImageTextDataset | None = None
    classes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, dataset: ImageTextDataset, split: DataSplit, method: Method[Any], *, classes: tuple[str, ...] = ()
    ) -> "TrainingSet":
        """What a method uses of a split. Raises `MucError` when a part that it needs is empty."""
        return cls(
            retain=training_subset(dataset, split, "retain") if method.uses != "forget" else None,
            forget=training_subset(dataset, split, "forget") if method.uses != "retain" else None,
            calibration=calibration_subset(dataset, split) if method.calibration else None,
            classes=classes,
        )

    @property
    def forget_fraction(self) -> float:
        """|U| / (|U| + |R|)."""
        forget = len(self.forget) if self.forget else 0
        return forget / (forget + (len(self.retain) if self.retain else 0))


class _Part:
    """Pictures, token ids and class numbers of the retain, the forget or the calibration set."""

    def __init__(
        self,
        dataset: ImageTextDataset | None,
        family: Family,
        architecture: str,
        size: int,
        classes: tuple[str, ...] | None,
    ) -> None:
        self.dataset = dataset
        self.size = size
        self.tokens: Tensor | None = None
        if dataset is not None and family.has_text:
            missing = [item.id for item in dataset.items if not item.text]
            if missing:
                raise MucError(
                    f"{len(missing)} pictures have no caption (the first is {missing[0]!r}), and "
                    f"{family.name} learns from captions; add them to captions.csv or take these pictures out"
                )
            self.tokens = family.tokenize(architecture, [item.text or "" for item in dataset.items])
        self.labels: Tensor | None = None
        if dataset is not None and classes is not None:
            self.labels = _labels(dataset, family, classes)

    def __len__(self) -> int:
        return 0 if self.dataset is None else len(self.dataset)

    def images(self, positions: Tensor) -> Tensor:
        if self.dataset is None or len(positions) == 0:
            return torch.empty(0, 3, self.size, self.size, dtype=torch.uint8)
        return self.dataset.images(self.size, positions.tolist())


def _labels(dataset: ImageTextDataset, family: Family, classes: tuple[str, ...]) -> Tensor:
    if not classes:
        raise MucError(
            f"it is not known which classes this encoder tells apart, and {family.name} learns from them; use one that "
            "was trained here"
        )
    numbers = class_numbers(classes, dataset.labels)
    if -1 in numbers:
        first = numbers.index(-1)
        raise MucError(
            f"{numbers.count(-1)} pictures are of no class that the encoder tells apart (the first is "
            f"{dataset.item_ids[first]!r}, labelled {dataset.labels[first]!r}), and {family.name} learns from classes; "
            f"give them one of {name_some(list(classes))} or take them out"
        )
    return torch.tensor(numbers)


def plan_of(method: Method[Any], settings: TrainingSettings, *, retain: int, forget: int) -> BatchPlan | ForgetLedPlan:
    """How the samples that a method uses are divided into steps. Raises `MucError` when they make none it can use."""
    if method.retain_batches is not None:
        return ForgetLedPlan(retain, forget, settings.batch_size, method.retain_batches(settings))
    return BatchPlan(retain, forget, method.uses, settings.batch_size, method.fewest_forget)


def _refuse_contrast(method: Method[Any], family: Family, settings: TrainingSettings) -> None:
    why = None
    if not family.has_classes:
        why = f"{family.name} contrasts pictures already, and the term is for classifiers"
    elif method.uses == "forget":
        why = f"{method.title} looks at no retained pictures, which the term is about"
    elif isinstance(settings, CalibrationSettings):
        why = f"{method.title} has contrastive terms of its own"
    if why is not None:
        raise MucError(f"{why}; set contrast to 0")


class Trainer:
    """One run of one method.

    Args:
        model: fresh weights or the original's; trained in place.
        family: the model's family.
        architecture: its name within the family.
        method: what is minimised.
        data: the pictures.
        settings: of the method's own settings model.
        seeds: recorded with the run.

    Raises:
        MucError: the method does not work on the family; settings and data do not fit, such as too few forget samples
            in a step.
    """

    def __init__(
        self,
        model: nn.Module,
        family: Family,
        architecture: str,
        method: Method[Any],
        data: TrainingSet,
        settings: TrainingSettings,
        seeds: Seeds,
    ) -> None:
        method.check_family(family.name)
        self.family = family
        self.method = method
        self.settings = settings
        size = family.image_size(model)
        classes = data.classes if family.has_classes else None
        self._classes = len(data.classes)
        self._retain, self._forget = (
            _Part(part, family, architecture, size, classes) for part in (data.retain, data.forget)
        )
        # compared with, not trained on: of whatever class
        self._calibration = _Part(data.calibration, family, architecture, size, None)
        if method.calibration and not len(self._calibration):
            raise MucError(NO_CALIBRATION)
        self._fraction = data.forget_fraction
        self.plan = plan_of(method, settings, retain=len(self._retain), forget=len(self._forget))
        if settings.contrast > 0:
            _refuse_contrast(method, family, settings)
        self.total_steps = self.plan.steps * settings.epochs

        if settings.temperature is not None:
            family.set_temperature(model, settings.temperature)
        # accelerate lets a process choose its precision once, for all trainers
        self._accelerator = Accelerator(mixed_precision="no")
        self._low_precision = _low_precision(settings)
        if settings.channels_last:
            model = model.to(memory_format=torch.channels_last)
        device = self._accelerator.device
        self._original = copy.deepcopy(model).to(device).eval().requires_grad_(False) if method.original else None
        # Prepared as for evaluation, that is without DistributedDataParallel: it allows one pass a step, and some
        # methods make several; gradients are averaged after the last of them.
        self.model: nn.Module = self._accelerator.prepare_model(model, evaluation_mode=True)
        same_everywhere(self.model)
        self._optimizer = self._accelerator.prepare_optimizer(_optimizer(model, settings))
        self._augmentation = Augmentation(settings.augment or family.default_augment, size)
        self._generators = {
            name: torch.Generator().manual_seed(seed)
            for name, seed in (("order", seeds.order), ("views", seeds.views), ("partners", seeds.partners))
        }
        torch.manual_seed(seeds.views)  # for models with dropout
        self._step = 0
        self._run_time = 0.0
        self._views = 0
        self._sums: dict[str, float] = defaultdict(float)
        self._since = 0
        self._epoch_order: Tensor | None = None
        self._mask = self._saliency_mask() if settings.salient < 1 else None

    def run(
        self, progress: Progress = SILENT, *, after_step: Callable[[], None] = lambda: None
    ) -> Iterator[Checkpoint]:
        """Train to the end, yielding the checkpoints that the settings ask for; the last is the result.

        A method may end before, see `Method.stops_at_chance`; then the state it ended with is the last.

        Args:
            progress: told after each step.
            after_step: called after each step that is not a checkpoint, when `state` is that of the step.

        Raises:
            TrainingDiverged: a loss term or the gradient was not finite; names the step.
            Cancelled: from `progress`.
        """
        checkpoint_steps = _checkpoint_steps(self.total_steps, self.settings.checkpoints)
        self.model.train()
        given = 0
        while self._step < self.total_steps and not self._at_chance():
            epoch_order = self._generators["order"].get_state()
            skip = self._step % self.plan.steps
            for number, (retain, forget) in enumerate(self.plan.epoch(self._generators["order"])):
                if number < skip:
                    continue
                started = time.perf_counter()
                terms = self._train_step(retain, forget)
                self._run_time += time.perf_counter() - started
                # an interrupted epoch is resumed by drawing its order again
                self._epoch_order = epoch_order if self._step % self.plan.steps else None
                for name, value in terms.items():
                    self._sums[name] += value
                progress.report(
                    self._step,
                    self.total_steps,
                    f"epoch {number_of(self._step, self.plan.steps)} of {self.settings.epochs}",
                    {"loss": sum(terms.values()), **terms},
                )
                if self._step in checkpoint_steps:
                    given = self._step
                    yield self._checkpoint()
                    self.model.train()
                else:
                    after_step()
        if given < self._step:  # it ended before its time, perhaps before it was resumed
            yield self._checkpoint()

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self._step

    def state(self) -> dict[str, Any]:
        """All that `restore` needs to go on from the latest step, tensors and plain values only."""
        generators = {name: generator.get_state() for name, generator in self._generators.items()}
        if self._epoch_order is not None:
            generators["order"] = self._epoch_order
        return {
            "step": self._step,
            "run_time_s": self._run_time,
            "views": self._views,
            "sums": dict(self._sums),
            "since": self._since,
            "model": self._accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generators": generators,
            "torch": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state` gave. Raises `MucError` when it belongs to another model."""
        try:
            self._accelerator.unwrap_model(self.model).load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            for name, generator in self._generators.items():
                generator.set_state(state["generators"][name])
            torch.set_rng_state(state["torch"])
            self._step = int(state["step"])
            self._run_time = float(state["run_time_s"])
            self._views = int(state.get("views", 0))
            # states of earlier versions, which were taken at checkpoints only, do not say
            self._sums = defaultdict(float, state.get("sums", {}))
            self._since = int(state.get("since", self._step))
        except (KeyError, RuntimeError, ValueError) as error:
            raise MucError("the saved training state does not belong to this run; start it again") from error

    def batch(self, retain: Tensor, forget: Tensor) -> Batch:
        """The samples at these positions, retained ones first, on the training device."""
        positions = torch.arange(len(retain), len(retain) + len(forget))
        partner = positions[:0]
        if self.method.partners:
            partner = positions[derangement(len(forget), self._generators["partners"])]
        return self._batch([(self._retain, retain), (self._forget, forget)], positions, partner)

    def calibration(self) -> Batch | None:
        """Newly drawn samples to compare with, for methods that do."""
        if not self.method.calibration:
            return None
        drawn = torch.randperm(len(self._calibration), generator=self._generators["partners"])
        nothing = drawn[:0]
        return self._batch([(self._calibration, drawn[: self.method.calibration])], nothing, nothing)

    def _batch(self, parts: list[tuple[_Part, Tensor]], forget: Tensor, partner: Tensor) -> Batch:
        device = self._accelerator.device
        share = None
        if world_size() > 1:
            share = Share.of(sum(len(positions) for _, positions in parts)).to(device)
        here = parts if share is None else _those_here(parts, share)
        tokens = [part.tokens[positions] for part, positions in here if part.tokens is not None]
        labels = [part.labels[positions] for part, positions in parts if part.labels is not None]
        return Batch(
            images=torch.cat([part.images(positions) for part, positions in here]).to(device),
            tokens=torch.cat(tokens).to(device) if tokens else None,
            forget=forget.to(device),
            partner=partner.to(device),
            draw=self._view,
            share=share,
            labels=torch.cat(labels).to(device) if labels else None,
            chunk_size=self.settings.chunk_size,
            low_precision=self._low_precision,
        )

    def _saliency_mask(self) -> Mask:
        if self.method.uses == "retain":
            raise MucError(
                f"{self.method.title} looks at no forget pictures and cannot choose the weights that matter for them; "
                "set salient to 1"
            )
        if len(self._forget) < 2:
            raise MucError("the weights that matter for one picture alone cannot be told; set salient to 1")
        self.model.eval()  # not the place to move batch norm's statistics
        positions = torch.arange(len(self._forget))
        pieces = max(1, len(positions) // self.settings.batch_size)  # none has a single sample, unless there is but one
        for part in positions.tensor_split(pieces):
            loss = self.family.loss(self.model, self._batch([(self._forget, part)], part[:0], part[:0]))
            self._accelerator.backward(loss * len(part) / len(positions))
        average_gradients(self.model.parameters())
        mask = Mask(self.model, self.settings.salient)
        self._optimizer.zero_grad()
        return mask

    def _view(self, images: Tensor, share: Share | None) -> Tensor:
        of, here = (None, None) if share is None else (share.n, share.here)
        self._views += len(images) if share is None else share.n
        views = self._augmentation(images, self._generators["views"], of=of, here=here)
        return views.contiguous(memory_format=torch.channels_last) if self.settings.channels_last else views

    def _train_step(self, retain: Tensor, forget: Tensor) -> dict[str, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * _schedule(self._step, self.total_steps, self.settings)
        batch = self.batch(retain, forget)
        step = Step(self.family, self.model, batch, self.settings, self._fraction, self.calibration(), self._original)
        with JointBatchNorm() if world_size() > 1 else nullcontext():
            terms = dict(self.method.objective(step))
            if self.settings.contrast > 0:
                terms["contrast"] = self._contrast(batch.only(batch.retain))
            loss = torch.stack(list(terms.values())).sum()
        values = {name: float(term.detach()) for name, term in terms.items()}
        self._refuse_unless_finite(float(loss.detach()), "loss")
        self._optimizer.zero_grad()
        self._accelerator.backward(loss)
        average_gradients(self.model.parameters())
        if self._mask is not None:
            self._mask.hold_gradients()
        limit = math.inf if self.settings.gradient_clip is None else self.settings.gradient_clip
        norm = self._accelerator.clip_grad_norm_(self.model.parameters(), limit)
        self._refuse_unless_finite(float(norm), "gradient")
        self._optimizer.step()
        if self._mask is not None:
            self._mask.hold_weights()
        self.family.after_step(self._accelerator.unwrap_model(self.model))
        self._step += 1
        return values

    def _contrast(self, retain: Batch) -> Tensor:
        """CoUn's contrastive term on the retain samples of a step."""
        sides = self.family.sides(self.model, retain)
        return self.settings.contrast * cross_view(*sides, self.settings.contrast_temperature)

    def _at_chance(self) -> bool:
        """Whether whole classes were to be forgotten and, an epoch having ended, are named no better than by chance."""
        forget, retain = self._forget.labels, self._retain.labels
        if not self.method.stops_at_chance or self._step == 0 or self._step % self.plan.steps:
            return False
        if forget is None or retain is None or torch.isin(forget, retain).any():
            return False
        right = 0
        self.model.eval()
        with torch.no_grad():
            for part in torch.arange(len(forget)).tensor_split(-(-len(forget) // self.settings.batch_size)):
                batch = replace(self._batch([(self._forget, part)], part[:0], part[:0]), draw=as_they_are)
                (contrast,) = self.family.contrasts(self.model, batch)
                right += int((contrast.logits.argmax(dim=1) == contrast.positive).sum())
        self.model.train()
        return right / len(forget) <= 1 / self._classes

    def _refuse_unless_finite(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the {what} became {value} at step {self._step + 1} of {self.total_steps}; training stopped before it "
                "and the last good checkpoint is kept; try a lower learning_rate or a weaker method setting"
            )

    def _checkpoint(self) -> Checkpoint:
        terms = {name: total / (self._step - self._since) for name, total in self._sums.items()}
        self._sums.clear()
        self._since = self._step
        weights = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self._accelerator.unwrap_model(self.model).state_dict().items()
        }
        return Checkpoint(self._step, self._step / self.plan.steps, weights, terms, self._run_time, self._views)


def as_they_are(images: Tensor, share: Share | None) -> Tensor:
    """The view that changes nothing: uint8 `[m, 3, size, size]` to float32 in [0, 1]."""
    return images.float() / 255


def _those_here(parts: list[tuple[_Part, Tensor]], share: Share) -> list[tuple[_Part, Tensor]]:
    """Of the positions within each part, those whose samples this process has; the parts follow one another."""
    mine = torch.split((share.owner == share.rank).cpu(), [len(positions) for _, positions in parts])
    return [(part, positions[here]) for (part, positions), here in zip(parts, mine, strict=True)]


def number_of(step: int, steps_per_epoch: int) -> int:
    """The epoch, counted from 1, to which a finished step belongs."""
    return (step - 1) // steps_per_epoch + 1


def _checkpoint_steps(total: int, count: int) -> set[int]:
    count = min(count, total)
    return {round(total * (k + 1) / count) for k in range(count)}


def _low_precision(settings: TrainingSettings) -> bool:
    """Whether to compute in bfloat16 where that is safe."""
    if settings.precision != "auto":
        return settings.precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if torch.cuda.is_available() else torch.cpu._is_avx512_bf16_supported()


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    # norms, biases and the temperature are not decayed, as in open_clip
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim >= 2]
    plain = [p for p in trained if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def _schedule(step: int, total: int, settings: TrainingSettings) -> float:
    """Factor of the learning rate at a step, in (0, 1]: linear warm-up, then cosine or constant."""
    warm = round(settings.warmup * total)
    if step < warm:
        return (step + 1) / warm
    if settings.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))
