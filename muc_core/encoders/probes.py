"""What can be seen of a black box before it is audited: each probe measures one thing that an audit takes for granted.

Distances between vectors are taken after normalising them, and told as a share of the median distance between two
different pictures: "2 %" means the same in a wide encoder and in a narrow one. A probe that cannot be measured, because
an earlier one failed, says so instead of failing too; so the failed ones name the fault.
"""

import io
import os
import secrets
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import load_demo
from muc_core.encoders.base import Encoder
from muc_core.errors import Cancelled, MucError
from muc_core.progress import SILENT, Progress

PICTURES = 16
"""Pictures that are looked at, at most."""

COMPARED = 8
"""Of these, so many are looked at again in another form, and so many drawings are the canaries."""

SINGLE = 4
"""Pictures sent one by one."""

SAME = 0.02
"""What counts as the same vector: half-precision arithmetic stays below, a forgotten picture does not."""

LITTLE = 0.35
"""How far the means may move when only the file format, or who resizes a picture, changed."""

COLLAPSED = 0.99
"""Mean cosine between different pictures above which they can hardly be told apart."""

SHORTEST = 0.01
"""Shortest vector as a share of the median one; a shorter one has no reliable direction."""

ROUNDING = 0.0002
"""Error of a similarity by rounding that is still below anything an audit reports."""

SMALL_SIDE = 32
JPEG_QUALITY = 90
TEXTS = ("a bird", "a red car", "the moon over a house", "two people holding hands")

PICTURE_BATCHES = (PICTURES, PICTURES, *(1,) * SINGLE, *(COMPARED,) * 4)
"""Pictures that one check sends at most, by batch: what it costs where they are paid for."""

TEXT_BATCHES = (len(TEXTS), len(TEXTS), *(1,) * len(TEXTS))
"""The same of texts."""

NumberStep = Literal["float32", "float16", "bfloat16", "int8", "binary"]


@dataclass(frozen=True)
class Probe:
    """The result of one probe.

    Attributes:
        name: stable, for programs.
        title: for people.
        passed: None for what was only measured, or could not be.
        value: what was measured, with its unit.
        meaning: one sentence: what that means, and the tolerance.
    """

    name: str
    title: str
    passed: bool | None
    value: str
    meaning: str


@runtime_checkable
class Remembering(Protocol):
    """An encoder that keeps vectors it was given once. A probe that asks twice must be answered twice."""

    def uncached(self) -> Encoder: ...


def check_encoder(
    encoder: Encoder,
    *,
    pictures: ImageTextDataset | None = None,
    canaries: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[Probe, ...]:
    """Measure what an audit takes for granted.

    Args:
        encoder: any black box; it may fail in any way, which then is the result of a probe.
        pictures: at least 2, of which the first `PICTURES` are used; drawings of the demo when None.
        canaries: file (.npz) that keeps the vectors of fixed drawings; written when it is missing, compared with when
            it is there. None: drift is not looked at.
        progress: told before each probe.

    Returns:
        The probes in a fixed order, whatever the encoder does.

    Raises:
        MucError: fewer than 2 pictures.
        Cancelled: from `progress` or from the encoder's own.
    """
    chosen = _drawings(PICTURES) if pictures is None else pictures
    if len(chosen) < 2:
        raise MucError(f"the set {chosen.name!r} has only one picture; checking an encoder takes at least 2")
    look = _Look(encoder.uncached() if isinstance(encoder, Remembering) else encoder, chosen, canaries)
    probes = []
    for number, (name, title, measure) in enumerate(_PROBES):
        progress.report(number, len(_PROBES), title.lower())
        probes.append(_ask(name, title, measure, look))
    progress.report(len(_PROBES), len(_PROBES), "all probes are done")
    return tuple(probes)


def number_step(vectors: Tensor) -> NumberStep:
    """The coarsest number format that holds `vectors`, float32 `[n, d]`, exactly.

    int8 and binary are recognised under any scale, also under one of its own for each vector.
    """
    if all(len(torch.unique(row)) <= 2 for row in vectors):
        return "binary"
    if all(_on_a_lattice(row) for row in vectors):
        return "int8"
    if torch.equal(vectors.bfloat16().float(), vectors):
        return "bfloat16"
    if torch.equal(vectors.half().float(), vectors):
        return "float16"
    return "float32"


class _NotMeasured(Exception):
    """An earlier probe found what makes this one pointless; the text names it."""


@dataclass(frozen=True)
class _Found:
    passed: bool | None
    value: str
    meaning: str


class _Look:
    """The encoder, what was seen of it so far, and what is wrong with it so far."""

    def __init__(self, encoder: Encoder, pictures: ImageTextDataset, canaries: Path | None) -> None:
        self.encoder = encoder
        self.canaries = canaries
        self.seconds: float | None = None
        self._pictures = pictures
        self._vectors: Tensor | None = None
        self._unsteady: str | None = None
        self._trouble = "The encoder gave no vectors."

    def images(self) -> Tensor:
        """uint8 `[n, 3, s, s]` at the size the encoder wants."""
        return self._pictures.images(
            self.encoder.image_size, range(min(PICTURES, len(self._pictures))), self.encoder.interpolation
        )

    def keep(self, vectors: Tensor) -> None:
        self._vectors = vectors

    def give_up(self, trouble: str) -> None:
        self._vectors, self._trouble = None, trouble

    def doubt(self, reason: str) -> None:
        self._unsteady = self._unsteady or reason

    @property
    def vectors(self) -> Tensor:
        """`[n, d]`, of the right shape and, once that was looked at, finite."""
        if self._vectors is None:
            raise _NotMeasured(self._trouble)
        return self._vectors

    @property
    def steady(self) -> Tensor:
        """The vectors, provided that a second look gives them again."""
        vectors = self.vectors
        if self._unsteady is not None:
            raise _NotMeasured(self._unsteady)
        return vectors

    def moved(self, one: Tensor, other: Tensor) -> Tensor:
        """`[n]` distances between two looks at the same things, as a share of that between two pictures."""
        unit = F.normalize(self.vectors.double(), dim=1)
        between = torch.pdist(unit).median().clamp(min=1e-3)
        distances = (F.normalize(one.double(), dim=1) - F.normalize(other.double(), dim=1)).norm(dim=1)
        shares: Tensor = distances / between
        return shares


def _ask(name: str, title: str, measure: Callable[[_Look], _Found], look: _Look) -> Probe:
    try:
        found = measure(look)
    except Cancelled:
        raise
    except _NotMeasured as reason:
        found = _Found(None, "not measured", str(reason))
    except MucError as error:
        found = _Found(False, "refused", _sentence(str(error)))
    except Exception as error:  # whatever a foreign model does is a finding about it
        found = _Found(False, "error", _sentence(f"the encoder ended with {type(error).__name__}: {error}"))
    return Probe(name, title, found.passed, found.value, found.meaning)


def _shapes(look: _Look) -> _Found:
    encoder, images = look.encoder, look.images()
    vectors = encoder.encode_images(images)
    trouble = _wrong_shape(vectors, len(images), encoder.dimension)
    if trouble:
        return _Found(False, _shape(vectors), f"{trouble} An audit cannot use them.")
    look.keep(vectors)
    side = encoder.image_size
    return _Found(
        True,
        f"{encoder.dimension:,} numbers",
        f"Each picture, given at {side} x {side} pixels, becomes one vector of the length the encoder names.",
    )


def _finite(look: _Look) -> _Found:
    vectors = look.vectors
    bad = int((~torch.isfinite(vectors)).any(dim=1).sum())
    if bad:
        look.give_up("The vectors hold numbers that are not finite.")
        return _Found(
            False,
            f"{bad} of {len(vectors)} not finite",
            "Vectors must hold ordinary numbers; these hold infinities or what is not a number, so the weights or the "
            "preprocessing may be damaged.",
        )
    return _Found(True, "all finite", "No number is infinite or undefined.")


def _same_twice(look: _Look) -> _Found:
    vectors, images = look.vectors, look.images()
    start = time.perf_counter()
    answer = look.encoder.encode_images(images)
    look.seconds = time.perf_counter() - start
    again = _shaped(look, answer, len(images))
    moved = float(look.moved(vectors, again).max())
    if moved > SAME:
        look.doubt("The same picture twice gives different vectors.")
        return _Found(
            False,
            _share(moved),
            f"The same picture twice should give the same vector (up to {_share(SAME)} of the distance between two "
            "pictures); random layers such as dropout may still be switched on.",
        )
    return _Found(
        True,
        "identical" if torch.equal(vectors, again) else _share(moved),
        f"The same picture twice gives the same vector, up to {_share(SAME)} of the distance between two pictures.",
    )


def _single(look: _Look) -> _Found:
    vectors, images = look.steady[:SINGLE], look.images()[:SINGLE]
    alone = torch.cat([_shaped(look, look.encoder.encode_images(image[None]), 1) for image in images])
    moved = float(look.moved(vectors, alone).max())
    if moved > SAME:
        look.doubt("A vector depends on the other pictures sent with it.")
        return _Found(
            False,
            _share(moved),
            f"A picture alone should give the vector it has among others (up to {_share(SAME)} of the distance between "
            "two pictures); batch norm may still be in training mode.",
        )
    return _Found(
        True,
        "identical" if torch.equal(vectors, alone) else _share(moved),
        f"A picture alone gives the vector it has among others, up to {_share(SAME)} of the distance between two "
        "pictures.",
    )


def _norm(look: _Look) -> _Found:
    norms = look.vectors.double().norm(dim=1)
    middle, shortest = float(norms.median()), float(norms.min())
    if shortest <= SHORTEST * middle or middle == 0:
        return _Found(
            False,
            f"shortest {shortest:.3g}, median {middle:.3g}",
            f"A vector shorter than {_share(SHORTEST)} of the median has no reliable direction, and similarities are "
            "about directions.",
        )
    if float((norms - 1).abs().max()) < 0.01:
        return _Found(True, "1.00, normalised", "The encoder normalises its vectors; similarities do not mind.")
    return _Found(
        True,
        f"{middle:.3g}, from {shortest:.3g} to {float(norms.max()):.3g}",
        f"The vectors are not normalised, which similarities do not mind; none is shorter than {_share(SHORTEST)} of "
        "the median.",
    )


def _numbers(look: _Look) -> _Found:
    vectors = look.vectors
    kind = number_step(vectors)
    unit = F.normalize(vectors.double(), dim=1)
    if kind in ("int8", "binary"):
        steps = [float(torch.unique(row).diff().min()) for row in unit if len(torch.unique(row)) > 1]
        # An error that is uniform within a step has its length / sqrt(12); a similarity sums those of two vectors.
        error = max(steps, default=0.0) * 6**-0.5
        return _Found(
            error <= ROUNDING,
            f"{kind}, ±{error:.4f}",
            f"The numbers come rounded to a few steps, which changes a similarity by about {error:.4f}; up to "
            f"{ROUNDING} is too little to matter. Ask the encoder's owner for float32.",
        )
    digits = {"float32": 24, "float16": 11, "bfloat16": 8}[kind]
    return _Found(
        True,
        kind,
        f"The numbers carry {digits} binary digits each; rounding changes a similarity by less than {ROUNDING}.",
    )


def _collapse(look: _Look) -> _Found:
    unit = F.normalize(look.vectors.double(), dim=1)
    n = len(unit)
    mean = float((unit @ unit.T).sum() - (unit * unit).sum()) / (n * (n - 1))
    if mean > COLLAPSED:
        return _Found(
            False,
            f"{mean:.3f}",
            f"Different pictures have nearly one direction (mean cosine above {COLLAPSED}); an audit could not tell "
            "them apart. The preprocessing may be wrong or the model untrained.",
        )
    return _Found(True, f"{mean:z.2f}", f"Mean cosine between different pictures; above {COLLAPSED} they would merge.")


def _small(look: _Look) -> _Found:
    vectors, images = look.steady[:COMPARED], look.images()[:COMPARED]
    side = look.encoder.image_size
    small = transforms.resize(images, [SMALL_SIDE, SMALL_SIDE], InterpolationMode.BICUBIC, antialias=True)
    enlarged = transforms.resize(small, [side, side], InterpolationMode.BICUBIC, antialias=True)
    as_sent = _shaped(look, look.encoder.encode_images(small), len(small))
    resized = _shaped(look, look.encoder.encode_images(enlarged), len(small))
    moved, detail = float(look.moved(as_sent, resized).mean()), float(look.moved(vectors, resized).mean())
    form = f"{SMALL_SIDE} x {SMALL_SIDE} pixels"
    if moved > LITTLE:
        return _Found(
            False,
            _share(moved),
            f"A picture of {form} should give nearly the vector of its enlargement (up to {_share(LITTLE)} of the "
            "distance between two pictures); send pictures at the size the encoder wants.",
        )
    lost = f"against the full picture it moves by {_share(detail)}"
    return _Found(
        True,
        _share(moved),
        f"A picture of {form} gives nearly the vector of its enlargement (up to {_share(LITTLE)}); {lost}.",
    )


def _jpeg(look: _Look) -> _Found:
    vectors, images = look.steady[:COMPARED], look.images()[:COMPARED]
    coded = torch.stack([_as_jpeg(image) for image in images])
    moved = float(look.moved(vectors, _shaped(look, look.encoder.encode_images(coded), len(coded))).mean())
    passed = moved <= LITTLE
    meaning = (
        f"JPEG at quality {JPEG_QUALITY} moves a vector by this share of the distance between two pictures; up to "
        f"{_share(LITTLE)} is little."
    )
    return _Found(passed, _share(moved), meaning if passed else f"{meaning} Compare files of one format only.")


def _text(look: _Look) -> _Found:
    encoder = look.encoder
    if not encoder.has_text:
        return _Found(None, "none", "It cannot read captions: pictures are compared with changed copies of themselves.")
    vectors, again = encoder.encode_texts(TEXTS), encoder.encode_texts(TEXTS)
    alone = torch.cat([encoder.encode_texts([text]) for text in TEXTS])
    for found in (vectors, again, alone):
        if trouble := _wrong_shape(found, len(TEXTS), encoder.dimension):
            return _Found(False, _shape(found), f"{trouble} Captions cannot be compared with pictures.")
        if not torch.isfinite(found).all():
            return _Found(False, "not finite", "Vectors of captions must hold ordinary numbers; these do not.")
    unit = F.normalize(vectors.double(), dim=1)
    between = float(torch.pdist(unit).median())
    if between < 1e-3:
        return _Found(False, "all alike", "Different captions have the same vector; the tokenizer may be wrong.")
    moved = max(float((unit - F.normalize(other.double(), dim=1)).norm(dim=1).max()) for other in (again, alone))
    passed = moved / between <= SAME
    expected = f"up to {_share(SAME)} of the distance between two captions"
    if passed:
        return _Found(
            True, f"{encoder.dimension:,} numbers", f"A caption gives one vector, again and alone, {expected}."
        )
    return _Found(False, _share(moved / between), f"A caption should give one vector, again and alone, {expected}.")


def _drift(look: _Look) -> _Found:
    if look.canaries is None:
        return _Found(None, "not asked for", "No earlier vectors are kept to compare with.")
    look.steady  # noqa: B018  (raises when there is nothing to compare)
    drawings = _drawings(COMPARED)
    vectors = _shaped(look, look.encoder.encode_images(drawings.images(look.encoder.image_size)), COMPARED)
    kept = _read_canaries(look.canaries, drawings.digest())
    if kept is None:
        _write_canaries(look.canaries, vectors, drawings.digest())
        return _Found(
            None,
            f"{COMPARED} vectors kept",
            "The first check: the vectors of some fixed drawings are kept, and later checks say how far they moved.",
        )
    if kept.shape != vectors.shape:
        return _Found(
            False,
            f"{kept.shape[1]:,} → {vectors.shape[1]:,} numbers",
            "Since the first check the length of the vectors changed: this is another model.",
        )
    moved = float(look.moved(kept, vectors).max())
    if moved > SAME:
        return _Found(
            False,
            _share(moved),
            f"Since the first check the vectors of fixed drawings moved by more than {_share(SAME)} of the distance "
            "between two pictures: the model behind this name was changed.",
        )
    return _Found(
        True,
        _share(moved),
        f"Fixed drawings give the vectors of the first check, up to {_share(SAME)} of the distance between two "
        "pictures.",
    )


def _speed(look: _Look) -> _Found:
    count = len(look.vectors)
    if look.seconds is None:
        raise _NotMeasured("The second look at the same pictures failed.")
    return _Found(
        None,
        f"{count / look.seconds:,.0f} pictures/s",
        f"{count} pictures at once, on this machine as busy as it is now: a rough figure.",
    )


def _drawings(count: int) -> ImageTextDataset:
    """Drawings of the demo spread over all its subjects, the same ones each time."""
    demo = load_demo()
    every = len(demo) // count
    return demo.subset([demo.ids[every * place] for place in range(count)], name="drawings of the demo")


def _wrong_shape(vectors: object, count: int, dimension: int) -> str | None:
    """What is wrong with the form of an encoder's answer, a sentence; None when nothing is."""
    if not isinstance(vectors, Tensor):
        return f"Expected a tensor of float32, got {type(vectors).__name__}."
    if tuple(vectors.shape) != (count, dimension):
        return f"Expected {count} vectors of {dimension:,} numbers, got {' x '.join(map(str, vectors.shape)) or 'one'}."
    if vectors.dtype != torch.float32 or vectors.device.type != "cpu":
        return f"Expected float32 numbers on the CPU, got {vectors.dtype} on {vectors.device}."
    return None


def _shaped(look: _Look, vectors: Tensor, count: int) -> Tensor:
    if trouble := _wrong_shape(vectors, count, look.encoder.dimension):
        raise MucError(trouble)
    return vectors


def _shape(vectors: object) -> str:
    return " x ".join(map(str, vectors.shape)) if isinstance(vectors, Tensor) else type(vectors).__name__


def _on_a_lattice(row: Tensor) -> bool:
    """Whether all numbers are whole multiples of one step, and at most 256 steps apart."""
    levels = torch.unique(row.double())
    gap = float(levels.diff().min())
    # Steps next to each other may not both occur, so the step can be a fraction of the smallest gap.
    for step in (gap, gap / 2, gap / 3):
        multiples = levels / step
        whole = (multiples - multiples.round()).abs().max() < 0.01
        if whole and (levels[-1] - levels[0]) / step < 256:
            return True
    return False


def _as_jpeg(image: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, format="JPEG", quality=JPEG_QUALITY)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def _read_canaries(path: Path, drawings: str) -> Tensor | None:
    """The vectors kept, `[n, d]`; None when there are none, or those of other drawings. Raises `MucError`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept = torch.from_numpy(arrays["vectors"].astype(np.float32))
            return kept if arrays["drawings"].item() == drawings and kept.ndim == 2 else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise MucError(
            f"the vectors of the first check in {path.name} are damaged; delete them to begin anew"
        ) from error


def _write_canaries(path: Path, vectors: Tensor, drawings: str) -> None:
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(temporary, allow_pickle=False, vectors=vectors.numpy(), drawings=np.array(drawings))
        os.replace(temporary, path)
    except OSError as error:
        raise MucError(f"the vectors to compare with later could not be kept in {path} ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _share(value: float) -> str:
    """A share for people: 2 %, 0.3 %, 140 %."""
    percent = 100 * value
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.0f} %" if percent >= 9.5 or percent == round(percent) else f"{percent:.2g} %"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


_PROBES: tuple[tuple[str, str, Callable[[_Look], _Found]], ...] = (
    ("shapes", "Shape of the vectors", _shapes),
    ("finite", "Finite numbers", _finite),
    ("same-twice", "Same picture twice", _same_twice),
    ("batch", "Batch against single", _single),
    ("norm", "Length of the vectors", _norm),
    ("numbers", "Number format", _numbers),
    ("collapse", "Pictures told apart", _collapse),
    ("small", "Small pictures", _small),
    ("jpeg", "PNG against JPEG", _jpeg),
    ("text", "Text tower", _text),
    ("drift", "Drift since the first check", _drift),
    ("speed", "Speed", _speed),
)
