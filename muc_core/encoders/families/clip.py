"""The CLIP family: any open_clip architecture by name, and `muc-tiny`, a preset small enough to train on two cores.

open_clip brings the models, the tokenizers and the loss (arXiv 2103.00020). `muc-tiny` has a small timm ResNet for
pictures of 48 x 48 pixels and two transformer layers over the first merges of open_clip's own byte-pair vocabulary.
"""

import gzip
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, default_bpe
from torch import Tensor, nn

import muc_core.encoders.meru_vit
import muc_core.encoders.tiny_resnet  # noqa: F401  (the same)
from muc_core.data.augment import AugmentSettings
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.device import compute_device
from muc_core.encoders.family import Batch, fit_weights
from muc_core.encoders.loaders import register_family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.threads import in_shares
from muc_core.errors import MucError, UnknownName
from muc_core.losses.contrast import Contrast, two_sided

TINY = "muc-tiny"
BYTE_TOKENS = 512  # 256 bytes, each inside a word and at its end
Tokenizer = Callable[[list[str]], Tensor]
MAX_LOGIT_SCALE = 4.6052  # ln 100, as in CLIP


open_clip.add_model_config(Path(__file__).parents[1] / "open_clip_configs")


@lru_cache(maxsize=8)
def tokenizer_of(architecture: str) -> Tokenizer:
    """open_clip's tokenizer of an architecture; for `muc-tiny` its byte-pair merges are cut to the small vocabulary."""
    text_config = _config(architecture)["text_cfg"]
    if architecture != TINY:
        try:
            tokenizer: Tokenizer = open_clip.get_tokenizer(architecture)
        except OSError as error:
            raise MucError(
                f"the tokenizer of {architecture!r} is not part of open_clip and cannot be fetched without a network; "
                f"use an architecture with open_clip's own tokenizer, such as {TINY} or ViT-B-32"
            ) from error
        return tokenizer
    merges = text_config["vocab_size"] - BYTE_TOKENS - 2
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        lines = [next(file).rstrip("\n") for _ in range(merges + 1)]
    vocabulary = io.BytesIO(gzip.compress("\n".join(lines).encode(), mtime=0))
    small: Tokenizer = SimpleTokenizer(bpe_path=vocabulary, context_length=text_config["context_length"])
    return small


def tokens_of(architecture: str, texts: Sequence[str]) -> Tensor:
    """Token ids `[n, context length]`, kept: an audit and its probes ask for the same captions again and again."""
    return torch.stack([_tokens_of(architecture, text) for text in texts])


@lru_cache(maxsize=10_000)
def _tokens_of(architecture: str, text: str) -> Tensor:
    return tokenizer_of(architecture)([text])[0]


def _config(architecture: str) -> dict[str, Any]:
    if architecture not in open_clip.list_models():
        raise UnknownName(
            f"open_clip has no architecture {architecture!r}; known are {TINY}, RN50, ViT-B-32 and the others that "
            "open_clip.list_models() names"
        )
    config: dict[str, Any] = open_clip.get_model_config(architecture)
    return config


@contextmanager
def _without_advice() -> Iterator[None]:
    """open_clip warns through the root logger that a fresh model has no pretrained weights; here that is the wish."""

    def keep(record: logging.LogRecord) -> bool:
        return "No pretrained weights" not in record.getMessage()

    logging.getLogger().addFilter(keep)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(keep)


class ClipEncoder:
    """Image and text tower of a trained CLIP model as a black box."""

    family = "clip"
    has_text = True

    def __init__(self, model: open_clip.CLIP, manifest: EncoderManifest) -> None:
        self.name = manifest.name
        self.digest = manifest.content_digest
        self.preprocessing = manifest.preprocessing or preprocessing_of(model)
        self.dimension = int(_config(manifest.architecture)["embed_dim"])
        self._device = compute_device()
        self._model = model.eval().to(self._device, memory_format=torch.channels_last)
        self._architecture = manifest.architecture

    @property
    def image_size(self) -> int:
        return self.preprocessing.size

    @property
    def interpolation(self) -> Interpolation:
        return self.preprocessing.interpolation

    def encode_images(self, images: Tensor) -> Tensor:
        return in_shares(self._image_vectors, images.to(self._device))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return in_shares(self._text_vectors, tokens_of(self._architecture, texts).to(self._device))

    @torch.inference_mode()
    def _image_vectors(self, images: Tensor) -> Tensor:
        vectors: Tensor = self._model.encode_image(self.preprocessing.apply(images))
        return vectors.float().cpu()

    @torch.inference_mode()
    def _text_vectors(self, tokens: Tensor) -> Tensor:
        vectors: Tensor = self._model.encode_text(tokens)
        return vectors.float().cpu()


def tokens_in(batch: Batch) -> Tensor:
    """Its captions."""
    assert batch.tokens is not None  # the engine gives them to families with text
    return batch.tokens


def preprocessing_of(model: open_clip.CLIP) -> Preprocessing:
    """What the image tower names as its own: size, mean and deviation; the interpolation is CLIP's bicubic one."""
    size = model.visual.image_size
    return Preprocessing(
        size=int(size[0] if isinstance(size, tuple | list) else size),
        mean=tuple(model.visual.image_mean),
        std=tuple(model.visual.image_std),
    )


class ClipFamily:
    """Training side of CLIP."""

    name = "clip"
    has_text = True
    has_classes = False
    default_architecture = TINY
    default_augment = AugmentSettings(crop_scale=0.5, flip=0.5)

    def architectures(self) -> tuple[str, ...]:
        return (TINY, *(name for name in open_clip.list_models() if name != TINY))

    def build(self, architecture: str, seed: int) -> nn.Module:
        _config(architecture)
        with torch.random.fork_rng(devices=[]), _without_advice():
            torch.manual_seed(seed)
            model: nn.Module = open_clip.create_model(architecture, load_weights=False, pretrained_text=False)
        return model

    def image_size(self, model: open_clip.CLIP) -> int:
        return preprocessing_of(model).size

    def set_temperature(self, model: open_clip.CLIP, temperature: float) -> None:
        raise MucError("CLIP learns its temperature; leave the setting temperature empty")

    def set_preprocessing(self, model: open_clip.CLIP, preprocessing: Preprocessing) -> None:
        if preprocessing.size != self.image_size(model):
            raise MucError(
                f"this CLIP is built for pictures of {self.image_size(model)} pixels a side and cannot be trained on "
                f"{preprocessing.size}; leave the size as it is"
            )
        model.visual.image_mean, model.visual.image_std = preprocessing.mean, preprocessing.std

    def tokenize(self, architecture: str, texts: Sequence[str]) -> Tensor:
        return tokenizer_of(architecture)(list(texts))

    def _features(self, model: open_clip.CLIP, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        images = preprocessing_of(model).normalise(batch.view())
        image_features = batch.through(model, images, partial(model.encode_image, normalize=True))
        text_features = batch.through(model, tokens_in(batch), partial(model.encode_text, normalize=True))
        return batch.joined(image_features), batch.joined(text_features), model.logit_scale.exp()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        value: Tensor = open_clip.ClipLoss()(*self._features(model, batch))
        return value

    def contrasts(self, model: nn.Module, batch: Batch) -> Sequence[Contrast]:
        return two_sided(*self._features(model, batch))

    def sides(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        image_features, text_features, _ = self._features(model, batch)
        return image_features, text_features

    def alignment(self, model: nn.Module, left: Tensor, right: Tensor) -> Tensor:
        return left @ right.T

    def after_step(self, model: open_clip.CLIP) -> None:
        with torch.no_grad():
            model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)

    def finished(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(weights)

    def encoder(self, weights: Mapping[str, Tensor], manifest: EncoderManifest) -> ClipEncoder:
        model = self.build(manifest.architecture, seed=0)
        fit_weights(model, weights, manifest)
        return ClipEncoder(model, manifest)


register_family(ClipFamily())
