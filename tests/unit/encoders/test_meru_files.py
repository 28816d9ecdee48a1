"""Weight files of MERU: this program's, and those in the authors' naming, against towers built here from PyTorch's."""

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muc_core.encoders.base import similarity_of
from muc_core.encoders.checkpoint import Checkpoint
from muc_core.encoders.families.clip import tokens_of
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.recognition import Recognition, recognise_checkpoint
from muc_core.errors import MucError

MERU = FAMILIES.get("meru")
TEXTS = ["a photograph of a cat", "a very small dog", "two birds on a wire"]
_BLOCK = {
    "self_attn.": "attn.",
    "linear1.": "mlp.c_fc.",
    "linear2.": "mlp.c_proj.",
    "norm1.": "ln_1.",
    "norm2.": "ln_2.",
}


class Authors(nn.Module):
    """A small MERU as its paper has it; `checkpoint` is in its authors' naming."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.visual = timm.create_model("vit_small_patch16_224", num_heads=12, norm_layer=nn.LayerNorm, num_classes=0)
        layer = nn.TransformerEncoderLayer(512, 8, 2048, 0.0, "gelu", batch_first=True, norm_first=True)
        self.textual = nn.TransformerEncoder(layer, 12, nn.LayerNorm(512), enable_nested_tensor=False)
        self.words, self.places = torch.randn(49408, 512) / 5, torch.randn(77, 512) / 5
        self.image_projection, self.text_projection = torch.randn(512, 384) / 20, torch.randn(512, 512) / 20
        for block in self.textual.layers:  # not all alike
            nn.init.normal_(block.linear1.weight, std=0.05)
        self.numbers = {"curv": 0.3, "visual_alpha": -2.0, "textual_alpha": -3.0, "logit_scale": 2.0}

    def checkpoint(self) -> dict[str, Tensor]:
        tensors = {f"visual.{name}": tensor for name, tensor in self.visual.state_dict().items()}
        for name, tensor in self.textual.state_dict().items():
            renamed = (
                name.replace("layers.", "resblocks.").replace("norm.", "ln_final.") if "norm." in name[:5] else name
            )
            for ours, theirs in _BLOCK.items():
                renamed = renamed.replace(ours, theirs)
            tensors[f"textual.{renamed.replace('layers.', 'resblocks.')}"] = tensor
        return {
            **tensors,
            "textual.token_embed.weight": self.words,
            "textual.posit_embed": self.places,
            "textual.attn_mask": torch.ones(77, 77).triu(1).bool(),
            "visual_proj.weight": self.image_projection,
            "textual_proj.weight": self.text_projection,
            "pixel_mean": torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1),
            "pixel_std": torch.tensor([0.2, 0.3, 0.25]).view(3, 1, 1),
            **{name: torch.tensor(value) for name, value in self.numbers.items()},
        }

    @torch.inference_mode()
    def features(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 pictures of 224 pixels and token ids to features before they are lifted."""
        self.eval()
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.5, 0.4, 0.3], [0.2, 0.3, 0.25]))
        seen: Tensor = self.visual((images / 255 - mean) / std) @ self.image_projection.T
        later = torch.full((77, 77), -math.inf).triu(1)
        read = self.textual(F.embedding(tokens, self.words) + self.places, mask=later)
        ends = read[torch.arange(len(tokens)), tokens.argmax(dim=1)]
        read = ends @ self.text_projection.T
        return seen, read

    def lifted(self, features: Tensor, alpha: str) -> Tensor:
        root = math.exp(self.numbers["curv"] / 2)
        features = features * math.exp(self.numbers[alpha])
        length = features.norm(dim=1, keepdim=True)
        lifted: Tensor = torch.sinh(root * length) / (root * length) * features
        return lifted


@pytest.fixture(scope="module")
def authors() -> Authors:
    return Authors()


def recognised(tensors: Mapping[str, Tensor], arch: str | None = None) -> Recognition:
    return recognise_checkpoint(Checkpoint(Path("a.pth"), "torch", tensors, {}), arch=arch)


def manifest(found: Recognition) -> EncoderManifest:
    return EncoderManifest(
        name="a", title="", family=found.family, architecture=found.architecture, preprocessing=found.preprocessing
    )


def test_a_checkpoint_of_the_authors_gives_what_their_model_gives(authors: Authors) -> None:
    found = recognised({f"model.{name}": tensor for name, tensor in authors.checkpoint().items()})
    assert (found.family, found.architecture) == ("meru", "meru-vit-s")
    assert (found.share, found.missing, found.unexpected) == (1, (), ())
    assert found.format == "MERU checkpoint in its authors' naming, at model"
    assert found.preprocessing.mean == pytest.approx((0.5, 0.4, 0.3))
    assert found.weights is not None
    encoder = MERU.encoder(found.weights, manifest(found))
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    seen, read = authors.features(images, tokens_of("meru-vit-s", TEXTS))
    assert torch.allclose(encoder.encode_images(images), authors.lifted(seen, "visual_alpha"), rtol=1e-3, atol=1e-4)
    assert torch.allclose(encoder.encode_texts(TEXTS), authors.lifted(read, "textual_alpha"), rtol=1e-3, atol=1e-4)
    how = similarity_of(encoder)
    assert how.name == "lorentz"
    assert how.curvature == pytest.approx(math.exp(0.3))


def test_their_clip_is_a_clip(authors: Authors) -> None:
    lift = ("curv", "visual_alpha", "textual_alpha")
    found = recognised({name: held for name, held in authors.checkpoint().items() if name not in lift})
    assert (found.family, found.architecture, found.share) == ("clip", "meru-vit-s", 1)
    assert found.weights is not None
    assert not any(name.startswith("towers.") for name in found.weights)


def test_what_a_checkpoint_lacks_is_named(authors: Authors) -> None:
    tensors = authors.checkpoint()
    del tensors["textual_alpha"]
    with pytest.raises(MucError, match=r"missing: textual_alpha \[\]"):
        recognised(tensors)
    with pytest.raises(MucError, match="but not a whole one of meru-vit-b"):
        recognised(authors.checkpoint(), arch="meru-vit-b")


def test_our_own_weights_are_meru_and_not_the_clip_inside() -> None:
    weights = MERU.build("muc-tiny", 3).state_dict()
    found = recognised(weights)
    assert (found.family, found.architecture, found.share) == ("meru", "muc-tiny", 1)
    assert found.weights is not None
    assert found.weights.keys() == weights.keys()
    assert all(torch.equal(found.weights[name], held) for name, held in weights.items())
    MERU.encoder(found.weights, manifest(found))
