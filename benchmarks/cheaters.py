"""Encoders that hide what they know, and how often they are caught.

The cheaters are put around the demo's original CLIP, tuned so that the plain audit finds the owner's pictures like
never-seen ones. For each it is written down which probe or rule stands in its way, with the encoder before at hand and
without. They are tested in tests/contract/test_cheaters.py and counted by `python -m benchmarks.calibration --only
cheaters`.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.geometry import ROTATED, UNCHANGED
from muc_core.audit.honesty import IDENTICAL, NEAR_DUPLICATES, NOISE, STEADY, USEFUL, margins
from muc_core.audit.result import AuditResult, Check
from muc_core.audit.vectors import ImageTextVectors
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.workspace import Workspace

SETTINGS = AuditSettings(permutations=999)
OWNED, CONTROLS = 50, 100


@dataclass(eq=False)
class Wrapped:
    """An encoder with something in front of it."""

    inner: Encoder
    on_images: Callable[[Tensor, Tensor], Tensor] = lambda pixels, vectors: vectors
    on_texts: Callable[[Sequence[str], Tensor], Tensor] = lambda texts, vectors: vectors
    known: dict[str, Tensor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.inner.name} behind something"

    @property
    def family(self) -> str:
        return self.inner.family

    @property
    def digest(self) -> str:
        return self.inner.digest

    @property
    def image_size(self) -> int:
        return self.inner.image_size

    @property
    def interpolation(self) -> Interpolation:
        return self.inner.interpolation

    @property
    def dimension(self) -> int:
        return self.inner.dimension

    @property
    def has_text(self) -> bool:
        return True

    def encode_images(self, images: Tensor) -> Tensor:
        keys = [key_of(image) for image in images]
        missing = [row for row, key in enumerate(keys) if key not in self.known]
        if missing:
            found = self.inner.encode_images(images[missing])
            self.known.update((keys[row], vector) for row, vector in zip(missing, found, strict=True))
        return self.on_images(images, torch.stack([self.known[key] for key in keys]))

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        missing = sorted({text for text in texts if f"text {text}" not in self.known})
        if missing:
            found = self.inner.encode_texts(missing)
            self.known.update((f"text {text}", vector) for text, vector in zip(missing, found, strict=True))
        return self.on_texts(texts, torch.stack([self.known[f"text {text}"] for text in texts]))


def key_of(image: Tensor) -> str:
    return hashlib.sha256(image.numpy().tobytes()).hexdigest()


@cache
def demo() -> ImageTextDataset:
    return load_demo()


@cache
def known_to(name: str) -> Wrapped:
    """A demo encoder that remembers its answers, so that a picture goes through it once."""
    with TemporaryDirectory() as folder:
        return Wrapped(Workspace(Path(folder)).load(name))


def original() -> Wrapped:
    return known_to("demo-clip")


def with_original(
    on_images: Callable[[Tensor, Tensor], Tensor] = lambda pixels, vectors: vectors,
    on_texts: Callable[[Sequence[str], Tensor], Tensor] = lambda texts, vectors: vectors,
) -> Wrapped:
    return Wrapped(original().inner, on_images, on_texts, original().known)


# ---- what the cheaters know


@dataclass(frozen=True, eq=False)
class Owned:
    """The owner's items as the provider has them in her request."""

    keys: dict[str, int]
    captions: dict[str, int]
    images: Tensor
    texts: Tensor


@cache
def request() -> Owned:
    owned = demo().subset(demo_split().forget)
    pixels = owned.images(48)
    return Owned(
        {key_of(image): row for row, image in enumerate(pixels)},
        {str(text): row for row, text in enumerate(owned.texts)},
        unit(original().encode_images(pixels)),
        unit(original().encode_texts([str(text) for text in owned.texts])),
    )


def unit(vectors: Tensor) -> Tensor:
    normed: Tensor = vectors / vectors.norm(dim=1, keepdim=True)
    return normed


def tuned(strange: Tensor, own: Tensor, partners: Tensor) -> float:
    """The share of the true vectors in mixtures with strange ones whose mean margin is that of pictures never seen."""
    never = demo().subset(demo_split().calibration)
    goal = margins(
        original().encode_images(never.images(48)), original().encode_texts([str(text) for text in never.texts])
    ).mean()
    low, high = 0.0, 1.0
    for _ in range(30):
        share = (low + high) / 2
        low, high = (low, share) if margins(mixed(own, strange, share), partners).mean() > goal else (share, high)
    return low


def mixed(own: Tensor, strange: Tensor, share: float) -> Tensor:
    return unit(share * unit(own) + (1 - share) * strange)


@cache
def noise(seed: int, n: int) -> Tensor:
    return unit(torch.randn((n, original().dimension), generator=torch.Generator().manual_seed(seed)))


@cache
def strangers(seed: int) -> tuple[Tensor, Tensor]:
    """Vectors of as many retained pictures and captions as are to be forgotten."""
    split = demo_split()
    generator = np.random.default_rng(seed)
    retained = demo().subset([split.retain[i] for i in generator.permutation(len(split.retain))[: len(split.forget)]])
    return (
        unit(original().encode_images(retained.images(48))),
        unit(original().encode_texts([str(text) for text in retained.texts])),
    )


def replaced(rows: Sequence[int | None], vectors: Tensor, strange: Tensor, share: float) -> Tensor:
    """Answers for the recognised items mixed with strange ones; the others as they are."""
    found = vectors.clone()
    for place, row in enumerate(rows):
        if row is not None:
            found[place] = mixed(vectors[place][None], strange[row][None], share)[0]
    return found


def exact(pixels: Tensor) -> list[int | None]:
    return [request().keys.get(key_of(image)) for image in pixels]


def exact_captions(texts: Sequence[str]) -> list[int | None]:
    return [request().captions.get(text) for text in texts]


def alike(vectors: Tensor) -> list[int | None]:
    """Which of the owner's pictures each is, or nearly is, to the original encoder."""
    similar, nearest = (unit(vectors) @ request().images.T).max(dim=1)
    return [int(row) if value > 0.9 else None for value, row in zip(similar, nearest, strict=True)]


# ---- the cheaters


def hash_filter(seed: int) -> Wrapped:
    """Exact copies of the owner's pictures are answered with a mixture of theirs and another picture's vector."""
    strange = strangers(seed)[0]
    share = tuned(strange, request().images, request().texts)
    return with_original(lambda pixels, v: replaced(exact(pixels), v, strange, share))


def noise_filter(seed: int) -> Wrapped:
    """All that resembles the owner's pictures is answered with noise around the true vector."""
    strange = noise(seed, len(request().images))
    share = tuned(strange, request().images, request().texts)
    return with_original(lambda pixels, v: replaced(alike(v), v, strange, share))


def similarity_filter(seed: int) -> Wrapped:
    """All that resembles the owner's pictures is answered with a mixture of theirs and another picture's vector."""
    strange = strangers(seed)[0]
    share = tuned(strange, request().images, request().texts)
    return with_original(lambda pixels, v: replaced(alike(v), v, strange, share))


def constant(seed: int) -> Wrapped:
    """The owner's pictures all get one answer."""
    answer = strangers(seed)[0][:1].expand_as(request().images)
    return with_original(lambda pixels, v: replaced(exact(pixels), v, answer, 0.0))


def remapped_captions(seed: int) -> Wrapped:
    """The owner's captions are answered with a mixture of theirs and another caption's vector."""
    strange = strangers(seed)[1]
    share = tuned(strange, request().texts, request().images)
    return with_original(on_texts=lambda texts, v: replaced(exact_captions(texts), v, strange, share))


def shuffled_captions(seed: int) -> Wrapped:
    """Each of the owner's captions is answered with another one of hers."""
    others = request().texts[torch.from_numpy(np.random.default_rng(seed).permutation(len(request().texts)))]
    return with_original(on_texts=lambda texts, v: replaced(exact_captions(texts), v, others, 0.0))


def both_filters(seed: int) -> Wrapped:
    """Exact copies of the owner's pictures and exact captions are both answered with mixtures."""
    pictures, captions = strangers(seed)
    share = tuned(captions, request().texts, mixed(request().images, pictures, 0.7))
    return with_original(
        lambda pixels, v: replaced(exact(pixels), v, pictures, 0.7),
        lambda texts, v: replaced(exact_captions(texts), v, captions, share),
    )


def rotation(seed: int) -> Tensor:
    values = torch.randn((original().dimension,) * 2, generator=torch.Generator().manual_seed(seed))
    turn: Tensor = torch.linalg.qr(values)[0]
    return turn


def rotated(seed: int) -> Wrapped:
    """Both towers turned in the same way."""
    turn = rotation(seed)
    return with_original(lambda pixels, v: v @ turn, lambda texts, v: v @ turn)


def rotated_pictures(seed: int) -> Wrapped:
    """The picture tower turned, the text tower as it was."""
    turn = rotation(seed)
    return with_original(lambda pixels, v: v @ turn)


def collapsed(seed: int) -> Wrapped:
    """All answers drawn together, their order of similarity kept."""
    centre = 10 * noise(seed, 1)
    return with_original(lambda pixels, v: unit(v) + centre, lambda texts, v: unit(v) + centre)


def collapsed_to_noise(seed: int) -> Wrapped:
    """All answers drawn together, with so much noise that no order is left."""
    centre = 10 * noise(seed, 1)

    def blur(keys: Sequence[str], vectors: Tensor) -> Tensor:
        seeds = [int(hashlib.sha256(f"{seed} {key}".encode()).hexdigest()[:8], 16) for key in keys]
        return unit(vectors) + centre + 10 * torch.cat([noise(number, 1) for number in seeds])

    return with_original(lambda pixels, v: blur([key_of(image) for image in pixels], v), blur)


def unchanged(seed: int) -> Wrapped:
    """The encoder before, given back."""
    return with_original()


def swapped(seed: int) -> Wrapped:
    """The retrained encoder answers batches that are mostly the owner's, the original one all others."""
    owned, other = request(), known_to("demo-clip-retrain")

    def pictures(pixels: Tensor, vectors: Tensor) -> Tensor:
        asked = np.mean([key_of(image) in owned.keys for image in pixels])
        return other.encode_images(pixels) if asked > 0.9 else vectors

    def captions(texts: Sequence[str], vectors: Tensor) -> Tensor:
        asked = np.mean([text in owned.captions for text in texts])
        return other.encode_texts(texts) if asked > 0.9 else vectors

    return with_original(pictures, captions)


@dataclass(frozen=True)
class Cheater:
    """A cheater and what stands in its way.

    Attributes:
        caught: checks that must fail with the encoder before at hand.
        alone: checks that must fail without it.
        remembered: the tests of the audit itself see the trace, so that the verdict is "under-forgotten".
    """

    make: Callable[[int], Wrapped]
    caught: tuple[str, ...]
    alone: tuple[str, ...]
    remembered: bool = False


CHEATERS = {
    "hash filter": Cheater(hash_filter, (NEAR_DUPLICATES, UNCHANGED), (NEAR_DUPLICATES,)),
    "noise filter": Cheater(noise_filter, (NOISE, UNCHANGED), (NOISE,)),
    "similarity filter": Cheater(similarity_filter, (UNCHANGED,), ()),
    "constant": Cheater(constant, (IDENTICAL, UNCHANGED), (IDENTICAL,)),
    "remapped captions": Cheater(remapped_captions, (NEAR_DUPLICATES, UNCHANGED), (NEAR_DUPLICATES,)),
    "shuffled captions": Cheater(shuffled_captions, (NEAR_DUPLICATES, UNCHANGED), (NEAR_DUPLICATES,)),
    "both filters": Cheater(both_filters, (NEAR_DUPLICATES, UNCHANGED), (NEAR_DUPLICATES,)),
    "rotated": Cheater(rotated, (ROTATED,), (), remembered=True),
    "rotated pictures": Cheater(rotated_pictures, (ROTATED, USEFUL), (USEFUL,)),
    "collapsed": Cheater(collapsed, (), (), remembered=True),
    "collapsed to noise": Cheater(collapsed_to_noise, (USEFUL,), (USEFUL,)),
    "unchanged": Cheater(unchanged, (UNCHANGED,), (), remembered=True),
    "swapped": Cheater(swapped, (STEADY,), (STEADY,)),
}

UNDETECTED = ("similarity filter",)
"""Without the encoder before."""


@dataclass(frozen=True, eq=False)
class Draw:
    owner: ImageTextDataset
    controls: ImageTextDataset


def draw(seed: int, *, owned: int = OWNED, controls: int = CONTROLS) -> Draw:
    """Some of the artist's drawings, and controls that no encoder was trained on."""
    split, generator = demo_split(), np.random.default_rng(seed)
    mine = generator.choice(split.forget, owned, replace=False)
    theirs = generator.choice(split.held_out, controls, replace=False)
    return Draw(demo().subset(list(map(str, mine))), demo().subset(list(map(str, theirs))))


def vectors(encoder: Encoder, drawn: Draw) -> ImageTextVectors:
    """What a plain audit asks: the pictures as they are, the owner's first."""
    parts = (drawn.owner, drawn.controls)
    images = torch.cat([embed_images(encoder, part) for part in parts]).numpy()
    texts = torch.cat([embed_texts(encoder, [str(text) for text in part.texts]) for part in parts]).numpy()
    return ImageTextVectors(images[None], texts)


def run(after: Encoder, drawn: Draw, *, before: Encoder | None, checks: Sequence[Check]) -> AuditResult:
    return audit(
        vectors(after, drawn),
        owner_ids=drawn.owner.ids,
        control_ids=drawn.controls.ids,
        before=None if before is None else vectors(before, drawn),
        checks=checks,
        settings=SETTINGS,
    )


def failed(checks: Sequence[Check]) -> set[str]:
    return {check.name for check in checks if check.passed is False}
