"""Each planted fault is found by the probe made for it, and by no other; a healthy encoder passes all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.probes import (
    PICTURE_BATCHES,
    TEXT_BATCHES,
    Probe,
    check_encoder,
    number_step,
)
from muc_core.errors import Cancelled, MissingTextTower, MucError
from muc_core.workspace import Workspace
from tests import tiny

DIMENSION = 24
PREPROCESSING = Preprocessing(size=48)
NOT_JUDGED = {"speed", "drift"}


class Healthy:
    """A fixed random projection of the pixels at 12 x 12, and of the letters of a text."""

    name = "healthy"
    family = "test"
    digest = "healthy"
    image_size = PREPROCESSING.size
    interpolation: Interpolation = "bicubic"
    dimension = DIMENSION
    has_text = True

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._pixels = torch.randn((3 * 12 * 12, DIMENSION), generator=generator)
        self._letters = torch.randn((256, DIMENSION), generator=generator)
        self.pictures_seen: list[int] = []
        self.texts_seen: list[int] = []

    def encode_images(self, images: Tensor) -> Tensor:
        self.pictures_seen.append(len(images))
        return self.answer(F.adaptive_avg_pool2d(PREPROCESSING.apply(images), 12).flatten(1) @ self._pixels)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        self.texts_seen.append(len(texts))
        return torch.stack([self._letters[list(text.encode())].mean(dim=0) for text in texts])

    def answer(self, vectors: Tensor) -> Tensor:
        return vectors


class Random(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return vectors + 3 * torch.randn_like(vectors)


class BatchNorm(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        norm = nn.BatchNorm1d(DIMENSION, affine=False).train()
        return vectors - vectors.mean(dim=0) if len(vectors) == 1 else norm(vectors)


class NotANumber(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        vectors[3, 5] = torch.nan
        return vectors


class Int8(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        scale = vectors.abs().amax(dim=1, keepdim=True)
        return F.normalize((vectors / scale * 127).round(), dim=1)


class Binary(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return (vectors > 0).float() * 2 - 1


class Collapsed(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return 0.01 * vectors + 100


class Constant(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return self._letters[:1].repeat(len(vectors), 1)


class TooShort(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return vectors[:, :-1]


class DoublePrecision(Healthy):
    def answer(self, vectors: Tensor) -> Tensor:
        return vectors.double()


class Failing(Healthy):
    def encode_images(self, images: Tensor) -> Tensor:
        raise RuntimeError("expected 5 channels")


class NotEvenASize(Healthy):
    @property
    def image_size(self) -> int:  # type: ignore[override]
        raise MucError("the server does not answer")


class NoSmallPictures(Healthy):
    """Pads what is smaller than it wants, instead of enlarging it."""

    def encode_images(self, images: Tensor) -> Tensor:
        missing = max(self.image_size - images.shape[-1], 0)
        return super().encode_images(F.pad(images, (0, missing, 0, missing)))


class SeesFileFormats(Healthy):
    """Looks at what JPEG leaves out: differences between neighbouring pixels."""

    def encode_images(self, images: Tensor) -> Tensor:
        fine = transforms.resize(images, [48, 48]).float().diff(dim=-1).sign()
        return super().encode_images((fine * 80 + 128).to(torch.uint8))


class NoTextTower(Healthy):
    has_text = False

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        raise MissingTextTower("no text tower")


class DeafToTexts(Healthy):
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.ones(len(texts), DIMENSION)


class TextsOfAnotherLength(Healthy):
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return super().encode_texts(texts)[:, :5]


class TextsDependOnTheBatch(Healthy):
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        vectors = super().encode_texts(texts)
        return vectors - vectors.mean(dim=0)


def by_name(probes: Sequence[Probe]) -> Mapping[str, Probe]:
    return {probe.name: probe for probe in probes}


def failed(probes: Sequence[Probe]) -> list[str]:
    return [probe.name for probe in probes if probe.passed is False]


def test_a_healthy_encoder_passes_all() -> None:
    probes = check_encoder(Healthy())
    assert {probe.name: probe.passed for probe in probes} == {
        probe.name: None if probe.name in NOT_JUDGED else True for probe in probes
    }
    assert all(probe.meaning.endswith(".") and probe.title and probe.value for probe in probes)
    assert by_name(probes)["numbers"].value == "float32"
    assert by_name(probes)["speed"].value.endswith("pictures/s")


def test_the_demos_encoder_passes_all(tmp_path: Path) -> None:
    probes = check_encoder(Workspace(tmp_path).load("demo-clip"))
    assert failed(probes) == []
    assert by_name(probes)["text"].passed


@pytest.mark.parametrize(
    ("faulty", "probe"),
    [
        (Random, "same-twice"),
        (BatchNorm, "batch"),
        (NotANumber, "finite"),
        (Int8, "numbers"),
        (Binary, "numbers"),
        (Collapsed, "collapse"),
        (Constant, "collapse"),
        (TooShort, "shapes"),
        (DoublePrecision, "shapes"),
        (NoSmallPictures, "small"),
        (SeesFileFormats, "jpeg"),
        (DeafToTexts, "text"),
        (TextsOfAnotherLength, "text"),
        (TextsDependOnTheBatch, "text"),
    ],
)
def test_a_fault_is_found_by_its_probe_and_no_other(faulty: Callable[[], Healthy], probe: str) -> None:
    probes = check_encoder(faulty())
    assert failed(probes) == [probe]
    assert [found.name for found in probes] == [found.name for found in check_encoder(Healthy())]


def test_a_vector_of_zeros_fails_the_norm() -> None:
    zeroed = Healthy()
    drawings = tiny.dataset(8)
    largest = zeroed.encode_images(drawings.images(48))[:, 0].argmax()
    limit = zeroed.encode_images(drawings.images(48))[:, 0].sort().values[-2]

    def answer(vectors: Tensor) -> Tensor:
        return torch.where(vectors[:, :1] > limit + 1e-3, 0.0, vectors)

    zeroed.answer = answer  # type: ignore[method-assign]
    assert zeroed.encode_images(drawings.images(48))[largest].abs().sum() == 0
    assert "norm" in failed(check_encoder(zeroed, pictures=drawings))


def test_what_an_earlier_fault_makes_pointless_is_not_measured(tmp_path: Path) -> None:
    probes = by_name(check_encoder(NotANumber(), canaries=tmp_path / "a.npz"))
    assert not (tmp_path / "a.npz").exists()
    for name in ("same-twice", "batch", "norm", "numbers", "collapse", "small", "jpeg", "drift", "speed"):
        assert (probes[name].passed, probes[name].value) == (None, "not measured")
        assert "not finite" in probes[name].meaning
    probes = by_name(check_encoder(BatchNorm()))
    assert (probes["jpeg"].passed, probes["jpeg"].value) == (None, "not measured")
    assert "depends on the other pictures" in probes["jpeg"].meaning


@pytest.mark.parametrize(
    ("faulty", "said"), [(Failing, "RuntimeError: expected 5 channels"), (NotEvenASize, "does not answer")]
)
def test_an_encoder_that_fails_gives_a_failed_probe(faulty: Callable[[], Healthy], said: str) -> None:
    probes = check_encoder(faulty())
    assert failed(probes) == ["shapes"]
    assert said in by_name(probes)["shapes"].meaning


def test_an_encoder_without_texts_is_not_judged_for_it() -> None:
    probes = by_name(check_encoder(NoTextTower()))
    assert (probes["text"].passed, probes["text"].value) == (None, "none")
    assert failed(list(probes.values())) == []


def test_a_swapped_model_is_seen(tmp_path: Path) -> None:
    canaries = tmp_path / "canaries" / "abc.npz"
    first = by_name(check_encoder(Healthy(), canaries=canaries))["drift"]
    assert (first.passed, first.value) == (None, "8 vectors kept")
    assert [path.name for path in canaries.parent.iterdir()] == ["abc.npz"]
    again = by_name(check_encoder(Healthy(), canaries=canaries))["drift"]
    assert (again.passed, again.value) == (True, "0 %")

    class Drifted(Healthy):
        def answer(self, vectors: Tensor) -> Tensor:
            return vectors + 0.1 * vectors.roll(1, dims=1)

    kept = canaries.read_bytes()
    assert failed(check_encoder(Drifted(), canaries=canaries)) == ["drift"]
    assert canaries.read_bytes() == kept  # or the next check would find nothing

    class Longer(Healthy):
        dimension = 2 * DIMENSION

        def answer(self, vectors: Tensor) -> Tensor:
            return torch.cat([vectors, vectors.flip(1)], dim=1)

        def encode_texts(self, texts: Sequence[str]) -> Tensor:
            return self.answer(super().encode_texts(texts))

    probes = check_encoder(Longer(), canaries=canaries)
    assert failed(probes) == ["drift"]
    assert by_name(probes)["drift"].value == "24 → 48 numbers"


def test_small_rounding_is_no_drift(tmp_path: Path) -> None:
    class Half(Healthy):
        def answer(self, vectors: Tensor) -> Tensor:
            return vectors.half().float()

    check_encoder(Healthy(), canaries=tmp_path / "a.npz")
    assert by_name(check_encoder(Half(), canaries=tmp_path / "a.npz"))["drift"].passed


def test_canaries_of_other_drawings_are_taken_anew(tmp_path: Path) -> None:
    canaries = tmp_path / "a.npz"
    np.savez(canaries, vectors=np.ones((8, DIMENSION), np.float32), drawings=np.array("others"))
    assert by_name(check_encoder(Healthy(), canaries=canaries))["drift"].passed is None
    assert by_name(check_encoder(Healthy(), canaries=canaries))["drift"].passed


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"something else"])
def test_damaged_canaries_are_said_to_be_and_kept(tmp_path: Path, content: bytes) -> None:
    canaries = tmp_path / "a.npz"
    canaries.write_bytes(content)
    probe = by_name(check_encoder(Healthy(), canaries=canaries))["drift"]
    assert probe.passed is False
    assert "a.npz are damaged" in probe.meaning
    assert canaries.read_bytes() == content


def test_what_an_encoder_remembers_is_not_asked_of_its_memory() -> None:
    class Cached(Healthy):
        def uncached(self) -> Healthy:
            return Random()

    assert failed(check_encoder(Cached())) == ["same-twice"]


def test_as_much_is_sent_as_was_said(tmp_path: Path) -> None:
    encoder = Healthy()
    check_encoder(encoder, canaries=tmp_path / "a.npz")
    assert sorted(encoder.pictures_seen) == sorted(PICTURE_BATCHES)
    assert sorted(encoder.texts_seen) == sorted(TEXT_BATCHES)


def test_own_pictures_can_be_given() -> None:
    encoder = Healthy()
    assert "shapes" not in failed(check_encoder(encoder, pictures=tiny.dataset(3)))
    assert sum(encoder.pictures_seen) == 3 + 3 + 3 + 3 * 3
    with pytest.raises(MucError, match="at least 2"):
        check_encoder(Healthy(), pictures=tiny.dataset(1))


def test_it_can_be_cancelled() -> None:
    class Impatient:
        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            if step == 3:
                raise Cancelled

    with pytest.raises(Cancelled):
        check_encoder(Healthy(), progress=Impatient())


def test_the_number_format_is_recognised() -> None:
    vectors = torch.randn((6, 64), generator=torch.Generator().manual_seed(0))
    scales = torch.arange(1, 7)[:, None] / 3
    assert number_step(vectors) == "float32"
    assert number_step(vectors.half().float()) == "float16"
    assert number_step(vectors.bfloat16().float()) == "bfloat16"
    assert number_step((vectors * 30).round() * scales) == "int8"
    assert number_step(vectors.sign() * scales) == "binary"
    assert number_step(torch.zeros(2, 4)) == "binary"
