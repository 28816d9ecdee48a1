"""The SimCLR family (arXiv 2002.05709): two views of each picture, NT-Xent, a projection head of two layers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from muc_core.encoders.backbones import DEMO, backbone_names
from muc_core.encoders.family import Batch, fit_weights
from muc_core.encoders.loaders import register_family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.two_view import AUGMENT, TwoViewEncoder, TwoViewModel
from muc_core.losses.contrast import Contrast, info_nce, two_view

TEMPERATURE = 0.5


class SimCLRFamily:
    """Training side of SimCLR."""

    name = "simclr"
    has_text = False
    has_classes = False
    default_architecture = DEMO
    default_augment = AUGMENT

    def architectures(self) -> tuple[str, ...]:
        return backbone_names()

    def build(self, architecture: str, seed: int) -> TwoViewModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return TwoViewModel(architecture, hidden_layers=1, temperature=TEMPERATURE)

    def image_size(self, model: TwoViewModel) -> int:
        return model.preprocessing.size

    def set_temperature(self, model: TwoViewModel, temperature: float) -> None:
        model.temperature.fill_(temperature)

    def set_preprocessing(self, model: TwoViewModel, preprocessing: Preprocessing) -> None:
        model.preprocessing = preprocessing

    def tokenize(self, architecture: str, texts: Sequence[str]) -> None:
        return None

    def loss(self, model: TwoViewModel, batch: Batch) -> Tensor:
        return torch.stack([info_nce(contrast).mean() for contrast in self.contrasts(model, batch)]).mean()

    def contrasts(self, model: TwoViewModel, batch: Batch) -> Sequence[Contrast]:
        parts = [batch, batch]
        if len(batch.partner):
            parts.append(batch.only(batch.forget))
        views = [part.view() for part in parts]
        # together, so that batch norm sees the forget samples' third view among the others
        vectors = torch.split(batch.through(model, torch.cat(views)), [len(view) for view in views])
        first, second, *third = (part.joined(found) for part, found in zip(parts, vectors, strict=True))
        contrasts = two_view(first, second, model.temperature)
        if not third:
            return contrasts
        return [
            replace(contrast, calibration=(view[batch.forget] * third[0]).sum(dim=1))
            for contrast, view in zip(contrasts, (first, second), strict=True)
        ]

    def sides(self, model: TwoViewModel, batch: Batch) -> tuple[Tensor, Tensor]:
        first, second = (batch.joined(batch.through(model, batch.view())) for _ in range(2))
        return first, second

    def alignment(self, model: TwoViewModel, left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T

    def after_step(self, model: TwoViewModel) -> None:
        pass

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(weights)

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> TwoViewEncoder:
        model = self.build(manifest.architecture, seed=0)
        fit_weights(model, weights, manifest)
        return TwoViewEncoder(model, manifest)


register_family(SimCLRFamily())
