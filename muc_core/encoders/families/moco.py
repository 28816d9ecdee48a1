"""The MoCo family (arXiv 1911.05722): queries against their keys and a queue of earlier ones.

Architectures are those of `two_view`, and `@LENGTH` after them sets the length of the queue: `cifar-resnet18:128@4096`.

MoCo shuffles batch norm across devices, lest the statistics of a batch betray which key belongs to which query. That
needs several devices. Here the momentum encoder normalises with running statistics, which follow the encoder's own as
its weights do (EMAN, arXiv 2101.08482): no statistics are shared within a batch, on one device or on many. Every
process takes the keys of all into its queue, in the same order.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from muc_core.encoders.backbones import DEMO, backbone_names
from muc_core.encoders.family import Batch, fit_weights
from muc_core.encoders.loaders import register_family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.two_view import AUGMENT, TwoViewEncoder, TwoViewModel
from muc_core.errors import MucError
from muc_core.losses.contrast import Contrast, against_queue, info_nce

TEMPERATURE = 0.1
MOMENTUM = 0.99
QUEUE = 4096
LONGEST_QUEUE = 1_048_576
FOLLOWER = "momentum_"


class MoCoModel(TwoViewModel):
    """Encoder, momentum encoder, and a queue of normalised keys `[d, length]`, random ones at first.

    Raises:
        MucError: the architecture has a queue whose length is not a number from 1 to LONGEST_QUEUE.
    """

    queue: Tensor
    queue_pointer: Tensor

    def __init__(self, architecture: str) -> None:
        shape, marked, length = architecture.partition("@")
        if marked and not (length.isdecimal() and 1 <= int(length) <= LONGEST_QUEUE):
            raise MucError(
                f"{length[:20]!r} is not the length of a queue; write a number from 1 to {LONGEST_QUEUE:,} after @, "
                f"such as {shape}@{QUEUE}"
            )
        super().__init__(shape, hidden_layers=0, temperature=TEMPERATURE)
        self.momentum_backbone = copy.deepcopy(self.backbone)
        self.momentum_projection_head = copy.deepcopy(self.projection_head)
        for parameter in [*self.momentum_backbone.parameters(), *self.momentum_projection_head.parameters()]:
            parameter.requires_grad_(False)
        queue = torch.randn(self.projections, int(length) if marked else QUEUE)
        self.register_buffer("queue", F.normalize(queue, dim=0))
        self.register_buffer("queue_pointer", torch.zeros((), dtype=torch.long))
        self._new_keys = queue[:, :0]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As torch's; a momentum encoder that is not among the weights begins as the encoder, a queue as it is."""
        given = dict(state_dict)
        if not any(name.startswith(FOLLOWER) for name in given):
            followed = ("backbone.", "projection_head.")
            given |= {f"{FOLLOWER}{name}": value for name, value in given.items() if name.startswith(followed)}
        given = {"queue": self.queue, "queue_pointer": self.queue_pointer} | given
        return super().load_state_dict(given, strict=strict, assign=assign)

    def train(self, mode: bool = True) -> "MoCoModel":
        super().train(mode)
        self.momentum_backbone.eval()
        self.momentum_projection_head.eval()
        return self

    @torch.no_grad()
    def keys(self, views: Tensor) -> Tensor:
        """Views in [0, 1], `[n, 3, size, size]`, to normalised keys `[n, d]`; no gradient passes."""
        features = self.momentum_backbone(self.preprocessing.normalise(views))
        return F.normalize(self.momentum_projection_head(features), dim=1)

    def hold(self, keys: Tensor) -> None:
        """Remember the keys `[n, d]` of this step, for the queue of the next ones."""
        self._new_keys = keys.T

    @torch.no_grad()
    def follow(self) -> None:
        """Move the momentum encoder a little towards the encoder, and the held keys into the queue."""
        pairs = ((self.backbone, self.momentum_backbone), (self.projection_head, self.momentum_projection_head))
        for leader, follower in pairs:
            for ahead, behind in zip(leader.state_dict().values(), follower.state_dict().values(), strict=True):
                if behind.is_floating_point():
                    behind.lerp_(ahead, 1 - MOMENTUM)
                else:  # the count of batches that batch norm has seen
                    behind.copy_(ahead)
        length = self.queue.shape[1]
        keys = self._new_keys[:, -length:]
        places = (self.queue_pointer + torch.arange(keys.shape[1], device=keys.device)) % length
        self.queue[:, places] = keys.to(self.queue.dtype)
        self.queue_pointer.copy_((self.queue_pointer + keys.shape[1]) % length)
        self._new_keys = keys[:, :0]


class MoCoFamily:
    """Training side of MoCo."""

    name = "moco"
    has_text = False
    has_classes = False
    default_architecture = DEMO
    default_augment = AUGMENT

    def architectures(self) -> tuple[str, ...]:
        return backbone_names()

    def build(self, architecture: str, seed: int) -> MoCoModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return MoCoModel(architecture)

    def image_size(self, model: MoCoModel) -> int:
        return model.preprocessing.size

    def set_temperature(self, model: MoCoModel, temperature: float) -> None:
        model.temperature.fill_(temperature)

    def set_preprocessing(self, model: MoCoModel, preprocessing: Preprocessing) -> None:
        model.preprocessing = preprocessing

    def tokenize(self, architecture: str, texts: Sequence[str]) -> None:
        return None

    def loss(self, model: MoCoModel, batch: Batch) -> Tensor:
        (contrast,) = self.contrasts(model, batch)
        return info_nce(contrast).mean()

    def contrasts(self, model: MoCoModel, batch: Batch) -> Sequence[Contrast]:
        queries = batch.joined(batch.through(model, batch.view()))
        keys = batch.joined(batch.through(model, batch.view(), model.keys))
        model.hold(keys)
        contrast = against_queue(queries, keys, model.queue.clone(), model.temperature)
        if len(batch.partner):
            forget = batch.only(batch.forget)
            third = forget.joined(forget.through(model, forget.view(), model.keys))
            contrast = replace(contrast, calibration=(queries[batch.forget] * third).sum(dim=1))
        return (contrast,)

    def sides(self, model: MoCoModel, batch: Batch) -> tuple[Tensor, Tensor]:
        # not its keys: the black box has no momentum encoder
        first, second = (batch.joined(batch.through(model, batch.view())) for _ in range(2))
        return first, second

    def alignment(self, model: MoCoModel, left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T

    def after_step(self, model: MoCoModel) -> None:
        model.follow()

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # by the end of a falling learning rate the momentum encoder has caught up with the encoder
        return {name: tensor for name, tensor in weights.items() if not name.startswith(FOLLOWER)}

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> TwoViewEncoder:
        model = self.build(manifest.architecture, seed=0)
        fit_weights(model, weights, manifest)
        return TwoViewEncoder(model, manifest)


register_family(MoCoFamily())
