"""Features of image models from a state dict, as a black box."""

from pathlib import Path

import pytest
import torch

from muc_core.encoders.backbones import build_backbone
from muc_core.encoders.checkpoint import save_weights
from muc_core.encoders.families.backbone import BackboneEncoder
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import WEIGHTS, EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MissingTextTower, MucError

ARCHITECTURE = "demo-resnet"


def manifest(preprocessing: Preprocessing | None = None, architecture: str = ARCHITECTURE) -> EncoderManifest:
    return EncoderManifest(
        name="eyes",
        title="eyes",
        family="backbone",
        architecture=architecture,
        preprocessing=preprocessing,
        output="features",
        weights_digest="0",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(tmp_path / WEIGHTS, build_backbone(ARCHITECTURE).module.state_dict())
    return tmp_path


def pictures(n: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_features_are_those_of_the_model(folder: Path) -> None:
    encoder = load_encoder(manifest(), folder)
    torch.manual_seed(0)
    backbone = build_backbone(ARCHITECTURE)
    with torch.inference_mode():
        expected = backbone.module.eval()(backbone.preprocessing.apply(pictures()))
    assert isinstance(encoder, BackboneEncoder)
    assert (encoder.dimension, encoder.image_size) == (backbone.dimension, 32)
    torch.testing.assert_close(encoder.encode_images(pictures()), expected)


def test_the_manifest_says_how_pictures_are_prepared(folder: Path) -> None:
    plain = load_encoder(manifest(), folder)
    other = load_encoder(manifest(Preprocessing(size=48, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))), folder)
    assert other.image_size == 48
    assert other.digest != plain.digest
    assert not torch.allclose(other.encode_images(pictures()), plain.encode_images(pictures()))


def test_loading_leaves_the_global_generator_alone(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_encoder(manifest(), folder)
    assert torch.equal(torch.rand(3), expected)


def test_texts_are_refused(folder: Path) -> None:
    encoder = load_encoder(manifest(), folder)
    assert not encoder.has_text
    with pytest.raises(MissingTextTower, match="no text tower"):
        encoder.encode_texts(["a"])


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    with pytest.raises(MucError, match="do not fit"):
        load_encoder(manifest(architecture="cifar-resnet18"), folder)
