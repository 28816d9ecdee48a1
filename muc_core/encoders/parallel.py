"""What several processes share of one training step, through torch.distributed; with one process nothing happens.

Every process passes its own samples through the model, gathers the vectors of all (with gradients) and computes the
loss of the joint batch. The gradient of a gathered vector is the sum over processes, one copy of the joint loss each;
`average_gradients` divides by their number. So the loss, and the gradient of every parameter, whether it acts through
vectors or directly as a temperature does, is that of one process with the joint batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

T = TypeVar("T")


def world_size() -> int:
    """Processes that train together; 1 when torch.distributed is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_with_gradient(part: Tensor) -> Tensor:
    """The parts of all processes, `[n_r, ...]` each, as `[sum of n_r, ...]` in the order of ranks.

    Parts may differ in length. A gradient goes back to the process whose part it belongs to, summed over processes.
    """
    if world_size() == 1:
        return part
    own = torch.tensor([len(part)], device=part.device)
    lengths = [torch.zeros_like(own) for _ in range(world_size())]
    dist.all_gather(lengths, own)
    longest = int(torch.cat(lengths).max())
    padded = torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])])
    parts: Tensor = _Gather.apply(padded)
    return torch.cat([some[: int(length)] for some, length in zip(parts, lengths, strict=True)])


class _Gather(torch.autograd.Function):
    """Tensors of one shape from all processes, stacked. torch.distributed.nn, which could do it, is deprecated."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part) for _ in range(world_size())]
        dist.all_gather(parts, part.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])[rank()]


class _Sum(torch.autograd.Function):
    """The sum over processes."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _summed(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(part: Tensor) -> Tensor:
    total = part.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


@dataclass(frozen=True, eq=False)
class Share:
    """Which samples of a joint batch this process has.

    Attributes:
        owner: int64 `[n]`, the rank of the process that has each sample.
        rank: of this process.
    """

    owner: Tensor
    rank: int

    @classmethod
    def of(cls, n: int) -> "Share":
        """The samples of a batch dealt out in turn, so that each process gets its part of each kind of them."""
        return cls(torch.arange(n) % world_size(), rank())

    @property
    def n(self) -> int:
        """Samples of the joint batch."""
        return len(self.owner)

    @property
    def here(self) -> Tensor:
        """int64 `[m]`, positions in the joint batch of the samples that this process has, in rising order."""
        return (self.owner == self.rank).nonzero().squeeze(1)

    def to(self, device: torch.device) -> "Share":
        return Share(self.owner.to(device), self.rank)

    def only(self, positions: Tensor) -> tuple["Share", Tensor]:
        """The share of the samples at these positions, and where among this process's own samples its part of them is.

        Args:
            positions: int64 `[k]` in the joint batch.
        """
        owner = self.owner[positions]
        places = (self.owner == self.rank).cumsum(0) - 1
        return Share(owner, self.rank), places[positions[owner == self.rank]]

    def joined(self, part: Tensor) -> Tensor:
        """What all processes have, `[n, ...]`, in the order of the joint batch.

        Args:
            part: `[m, ...]`, one row for each sample that this process has.
        """
        if world_size() == 1:
            return part
        by_rank = self.owner.argsort(stable=True)
        return gather_with_gradient(part)[by_rank.argsort()]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over processes, in one message."""
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    parts = torch.split(together / world_size(), [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, parts, strict=True):
        gradient.copy_(mean.view_as(gradient))


def same_everywhere(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if world_size() > 1:
        dist.barrier()


def from_first(value: T) -> T:
    """On every process what the first one gave, which must be picklable."""
    if world_size() == 1:
        return value
    carried = [value]
    dist.broadcast_object_list(carried, src=0)
    return carried[0]


class JointBatchNorm(TorchFunctionMode):
    """Within this context batch norm takes its statistics from the samples of all processes, in whatever module it is.

    `torch.nn.SyncBatchNorm` does so on GPUs only, and needs the modules to be exchanged.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.batch_norm and world_size() > 1:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` of the joint batch, for this process's part `[m, channels, ...]` of it."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = torch.tensor(x.numel() / x.shape[1], device=x.device)
    dist.all_reduce(count)
    mean = _Sum.apply(wide.sum(axes)) / count
    centred = wide - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(axes)) / count
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * count / (count - 1)).to(running_var.dtype), momentum)
    normed = centred * (variance + eps).rsqrt().view(shape)
    if weight is not None:
        normed = normed * weight.view(shape)
    if bias is not None:
        normed = normed + bias.view(shape)
    result: Tensor = normed.to(x.dtype)
    return result
