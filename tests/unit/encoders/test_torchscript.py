"""Exported TorchScript programs as a black box: what they may give, and what is refused."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from muc_core.encoders.families.torchscript import MODEL
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MissingTextTower, MucError

PREPARED = Preprocessing(size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


class Means(nn.Module):
    """The mean of each colour."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Points(nn.Module):
    """The same as a map of single points."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


class Maps(nn.Module):
    """The pictures themselves."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class Total(nn.Module):
    """One number for all pictures."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean()


class Pair(nn.Module):
    """Two results."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3)), x


class OneSize(nn.Module):
    """Fits pictures of 16 x 16 pixels only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.flatten(1))
        return found


def exported(module: nn.Module, folder: Path, *, half: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that this form is on its way out
        script = torch.jit.script(module)
        script = script.half() if half else script
        script.save(str(folder / MODEL))  # type: ignore[no-untyped-call]
    return folder


def manifest(preprocessing: Preprocessing | None = PREPARED) -> EncoderManifest:
    return EncoderManifest(
        name="theirs",
        title="theirs",
        family="torchscript",
        architecture="torchscript",
        preprocessing=preprocessing,
        weights_digest="0",
    )


def pictures(n: int = 3, size: int = 24) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("module", [Means(), Points()])
def test_vectors_are_those_of_the_program(module: nn.Module, tmp_path: Path) -> None:
    encoder = load_encoder(manifest(), exported(module, tmp_path))
    found = encoder.encode_images(pictures())
    assert (encoder.dimension, encoder.image_size, encoder.has_text) == (3, 16, False)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, PREPARED.apply(pictures()).mean((2, 3)))


def test_half_precision_is_computed_in_full(tmp_path: Path) -> None:
    encoder = load_encoder(manifest(), exported(OneSize(), tmp_path, half=True))
    assert encoder.encode_images(pictures()).shape == (3, 5)


@pytest.mark.parametrize(("module", "said"), [(Maps(), "one vector each"), (Total(), "one vector"), (Pair(), "tuple")])
def test_what_is_no_vector_is_refused(module: nn.Module, said: str, tmp_path: Path) -> None:
    with pytest.raises(MucError, match=said):
        load_encoder(manifest(), exported(module, tmp_path))


def test_pictures_of_a_size_that_it_does_not_take_are_refused(tmp_path: Path) -> None:
    folder = exported(OneSize(), tmp_path)
    with pytest.raises(MucError, match="20 x 20 pixels"):
        load_encoder(manifest(Preprocessing(size=20)), folder)


def test_a_manifest_without_preprocessing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MucError, match="prepared"):
        load_encoder(manifest(None), exported(Means(), tmp_path))


def test_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingTextTower, match="no text tower"):
        load_encoder(manifest(), exported(Means(), tmp_path)).encode_texts(["a"])


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = exported(Means(), tmp_path) / MODEL
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(MucError, match="cut short"):
        load_encoder(manifest(), tmp_path)
