"""Which samples share a step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from muc_core.errors import MucError


@dataclass(frozen=True)
class BatchPlan:
    """Divides an epoch into steps of nearly equal size, each with its share of retain and of forget samples.

    Every sample that the method uses comes once an epoch, and no step is larger than the batch size.

    Args:
        retain: number of retain samples.
        forget: number of forget samples.
        uses: which of the two the method uses.
        batch_size: most samples in a step.
        fewest_forget: forget samples that every step must hold.

    Raises:
        MucError: the parts do not make steps that the method can use; says what would.
    """

    retain: int
    forget: int
    uses: Literal["retain", "forget", "both"]
    batch_size: int
    fewest_forget: int = 0

    def __post_init__(self) -> None:
        if self.uses != "retain" and self.forget == 0:
            raise MucError("the forget set is empty; choose at least one picture to forget")
        if self.uses != "forget" and self.retain == 0:
            raise MucError("nothing is left to retain; the forget set must leave out at least one training picture")
        if self.total < 2:
            raise MucError("a contrastive step needs at least two pictures, and only one is in use; add pictures")
        if self.uses == "retain":
            return
        if self.forget < self.fewest_forget:
            raise MucError(
                f"the forget set has {self.forget} picture, and this method needs at least {self.fewest_forget} "
                "in each step, because each is compared with another one of them; add pictures to the forget set"
            )
        if self.forget // self.steps < self.fewest_forget:
            enough = -(-self.total // (self.forget // self.fewest_forget))
            raise MucError(
                f"batch_size {self.batch_size} makes {self.steps} steps of {self.forget} forget pictures, fewer than "
                f"{self.fewest_forget} in a step, which this method needs; set batch_size to {enough} or more"
            )
        if self.uses == "both" and self.retain < self.steps:
            enough = -(-self.total // self.retain)
            raise MucError(
                f"batch_size {self.batch_size} makes {self.steps} steps, and {self.retain} retained pictures do not "
                f"suffice for one in each; set batch_size to {enough} or more"
            )

    @property
    def total(self) -> int:
        """Samples used in an epoch."""
        return {"retain": self.retain, "forget": self.forget, "both": self.retain + self.forget}[self.uses]

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-self.total // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions within the retain set and within the forget set for each step, shuffled anew, int64."""
        nothing = torch.empty(0, dtype=torch.long)
        retain = torch.randperm(self.retain, generator=generator) if self.uses != "forget" else nothing
        forget = torch.randperm(self.forget, generator=generator) if self.uses != "retain" else nothing
        # the larger parts of one split meet the smaller parts of the other, so that no step exceeds the batch size
        return zip(retain.tensor_split(self.steps), reversed(forget.tensor_split(self.steps)), strict=True)


@dataclass(frozen=True)
class ForgetLedPlan:
    """An epoch is a pass over the forget set; each of its batches meets several batches of retained samples.

    Retain samples are taken in a shuffled order that begins anew, in another order, when all have been taken.

    Args:
        retain, forget: number of samples.
        batch_size: most samples of each in a step.
        retain_batches: batches of retain samples for each batch of forget samples.

    Raises:
        MucError: one of them is empty.
    """

    retain: int
    forget: int
    batch_size: int
    retain_batches: int

    def __post_init__(self) -> None:
        if self.forget == 0:
            raise MucError("the forget set is empty; choose at least one picture to forget")
        if self.retain == 0:
            raise MucError("nothing is left to retain; the forget set must leave out at least one training picture")

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-self.forget // self.batch_size) * self.retain_batches

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Positions within the retain set and within the forget set for each step, shuffled anew, int64."""
        parts = torch.randperm(self.forget, generator=generator).tensor_split(self.steps // self.retain_batches)
        size = min(self.batch_size, self.retain)
        rounds = -(-self.steps * size // self.retain)
        retain = torch.cat([torch.randperm(self.retain, generator=generator) for _ in range(rounds)])
        for step, positions in enumerate(retain[: self.steps * size].chunk(self.steps)):
            yield positions, parts[step // self.retain_batches]


def derangement(n: int, generator: torch.Generator) -> Tensor:
    """A random permutation of n >= 2 without fixed points, all equally likely, int64 `[n]`."""
    if n < 2:
        raise ValueError("a derangement needs at least two elements")
    identity = torch.arange(n)
    while True:  # about e tries
        permutation = torch.randperm(n, generator=generator)
        if not (permutation == identity).any():
            return permutation
