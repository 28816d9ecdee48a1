"""Changed copies of pictures and captions, and the questions that show whether an encoder's answers are honest.

An encoder that forgot a picture has forgotten its mirror image too; a filter in front of an encoder has not. The copies
are mild: who sees them says that they are the same picture.
"""

import io
import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from muc_core.audit.geometry import compare_encoders, not_compared
from muc_core.audit.honesty import MOST_CONTROLS, MOST_OWNED, Copies, margins, noise_filter, steady, useful
from muc_core.audit.honesty import near_duplicates as compare_copies
from muc_core.audit.result import Check
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.asking import Asking
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.decoys import Decoys, captions_of
from muc_core.encoders.probes import Remembering
from muc_core.errors import MucError
from muc_core.progress import SILENT, Progress
from muc_core.similarity import Similarity

JPEG_QUALITY = 85
CROP = 0.9
"""Share of each side that a cropped copy keeps."""

DEGREES = 4.0
PICTURE_KINDS = ("cropped", "mirrored", "saved again as JPEG", "rotated")
CAPTION_KINDS = ("captions punctuated", "captions reworded")


def near_duplicates(dataset: ImageTextDataset, seed: int) -> dict[str, ImageTextDataset]:
    """Copies of every picture, by what was done to them, and, if every item has a caption, of every caption.

    A copy depends on the seed, its item's id and the size asked for. Pictures are changed when they are asked for.

    Returns:
        Sets with the same ids in the same order: `PICTURE_KINDS`, with captions as they were, and `CAPTION_KINDS`, with
        pictures as they were.
    """
    changes: tuple[Change, ...] = (_crop, _mirror, _save_again, _rotate)
    copies = {
        kind: ImageTextDataset(f"{dataset.name}: {kind}", dataset.items, _ChangedImages(dataset, change, seed))
        for kind, change in zip(PICTURE_KINDS, changes, strict=True)
    }
    if all(dataset.texts):
        for kind, rewrite in zip(CAPTION_KINDS, (punctuate, reword), strict=True):
            items = [replace(item, text=rewrite(item.text or "")) for item in dataset.items]
            copies[kind] = ImageTextDataset(f"{dataset.name}: {kind}", items, dataset.source)
    return copies


def punctuate(caption: str) -> str:
    """The caption as a sentence: a capital at its beginning and a full stop at its end, or without them if it has both.

    Other words for nothing; but no text that is compared letter by letter stays the same.
    """
    text = caption.strip()
    bare = text.rstrip(".!?… ") or text
    if bare != text and text[:1].isupper():
        return bare[:1].lower() + bare[1:]
    return f"{bare[:1].upper()}{bare[1:]}."


def reword(caption: str) -> str:
    """The caption with another article, or other words for "picture"; without any of them, "a picture of" before it."""
    text = caption.strip()
    for pattern, other in _REWORDINGS:
        if pattern.match(text):
            return pattern.sub(other, text, count=1)
    return f"a picture of {text}"


_REWORDINGS = (
    (re.compile(r"(?:an?|the)?\s*(?:photo|photograph|image)\s+of\b", re.IGNORECASE), "a picture of"),
    (re.compile(r"(?:an?|the)?\s*picture\s+of\b", re.IGNORECASE), "an image of"),
    (re.compile(r"an?\s+", re.IGNORECASE), "the "),
    (re.compile(r"the\s+", re.IGNORECASE), "a "),
)


def honesty_checks(
    before: Encoder | None,
    after: Encoder,
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    *,
    seed: int,
    decoys: Decoys | None = None,
    progress: Progress = SILENT,
) -> tuple[Check, ...]:
    """Ask the encoder after, and the one before if there is one, what shows that something hides or replaces answers.

    Captions are used when every item has one and the encoders read text.

    Args:
        owner, controls: of more than `MOST_OWNED` and `MOST_CONTROLS` pictures, so many are drawn.
        seed: of that draw, the copies, the order of questions and the permutations.
        decoys: asked about besides, where an encoder is somebody else's; what is found is the same.

    Returns:
        Changed copies; noise instead of answers; one answer for many pictures; the same encoder throughout; still an
        encoder; the same encoder (before and after); rotated encoder. `passed` is None for the last two without an
        encoder before, or with one of another dimension.

    Raises:
        MucError: fewer than two pictures on either side; vectors that are not finite.
        Cancelled: from `progress`.
    """
    if min(len(owner), len(controls)) < 2:
        raise MucError(
            f"there are {len(owner)} pictures of the owner's and {len(controls)} controls; probing an encoder's "
            "honesty takes at least 2 of each"
        )
    generator = np.random.default_rng(seed)
    mine, theirs = _draw(owner, MOST_OWNED, generator), _draw(controls, MOST_CONTROLS, generator)
    pool = _join({"owner": mine, "control": theirs})
    n, everyone = len(mine), range(len(pool))
    # the same ids in the same places, so that what is done to an item does not depend on decoys
    asked, asking = pool, Asking(len(pool), 0, torch.Generator())
    openly = asking
    if decoys is not None:
        some = decoys.pictures.subset(decoys.pictures.ids[: n * decoys.per_picture])
        asked = _join({"owner": mine, "control": theirs, "decoy": some})
        asking = Asking(len(pool), len(some), decoys.generator())
    reads = after.has_text and (before is None or before.has_text) and all(pool.texts)
    if reads and decoys is not None:
        captions_of(decoys)
    copies = near_duplicates(asked, seed)
    # the owner's pictures first on their own, later among the others: an honest answer does not depend on that
    alone = (asking, everyone[:n]), (openly, everyone[n:])
    images = _cat([way.images(after, asked, rows, progress) for way, rows in alone])
    # popped, so that the pixels of one kind at a time are held
    of_copies = {kind: asking.images(after, copies.pop(kind), everyone, progress).numpy() for kind in PICTURE_KINDS}
    texts: np.ndarray | None = None
    of_captions: dict[str, np.ndarray] = {}
    if reads:
        texts = _cat([way.texts(after, _texts(asked), rows, progress) for way, rows in alone])
        of_captions = {
            kind: asking.texts(after, _texts(copies[kind]), everyone, progress).numpy() for kind in CAPTION_KINDS
        }
    order = generator.permutation(len(pool))
    fresh = after.uncached() if isinstance(after, Remembering) else after
    places = order.tolist()
    first, again = {"picture": images[order]}, {"picture": asking.images(fresh, asked, places, progress).numpy()}
    if texts is not None:
        first["caption"] = texts[order]
        again["caption"] = asking.texts(fresh, _texts(asked), places, progress).numpy()

    answers = {"picture": images} | ({} if texts is None else {"caption": texts})
    different = {
        "picture": _first_of_each(pool.images(after.image_size, None, after.interpolation)),
        "caption": _first_of_each(_texts(pool)),
    }
    towers = {
        name: tuple(vectors[[place for place in different[name] if (place < n) == mine]] for mine in (True, False))
        for name, vectors in answers.items()
    }
    return (
        compare_copies(_kinds(images, of_copies, texts, of_captions, similarity_of(after)), n, seed=seed),
        *noise_filter({name: (groups[0], groups[1]) for name, groups in towers.items()}),
        steady(first, again),
        *_against_before(before, asked, asking, n, seed, images, texts, of_copies, similarity_of(after), progress),
    )


def _kinds(
    images: np.ndarray,
    of_copies: Mapping[str, np.ndarray],
    texts: np.ndarray | None,
    of_captions: Mapping[str, np.ndarray],
    how: Similarity,
) -> dict[str, Copies]:
    """Scores of copies beside those of originals; changed pictures also with changed captions, as both may be filtered.

    Copies of one picture are also compared with one another: where the original is answered differently, they agree
    with one another and not with it. That takes no captions.
    """
    pairs = [margins(of_copies[a], of_copies[b], similarity=how) for a, b in combinations(of_copies, 2)]
    to_original = [margins(images, copy, similarity=how) for copy in of_copies.values()]
    kinds = {"compared with one another": Copies(np.mean(to_original, axis=0), np.mean(pairs, axis=0))}
    if texts is None:
        return kinds
    plain = margins(images, texts, similarity=how)
    changed_pictures = {"": images, **of_copies}
    changed_captions = {"": texts, **of_captions}
    for picture, left in changed_pictures.items():
        for caption, right in changed_captions.items():
            if picture or caption:
                kinds[", ".join(filter(None, (picture, caption)))] = Copies(plain, margins(left, right, similarity=how))
    return kinds


def _against_before(
    before: Encoder | None,
    asked: ImageTextDataset,
    asking: Asking,
    n: int,
    seed: int,
    images: np.ndarray,
    texts: np.ndarray | None,
    of_copies: Mapping[str, np.ndarray],
    how: Similarity,
    progress: Progress,
) -> tuple[Check, ...]:
    """The probes that look at what became of the controls."""
    copy = of_copies[PICTURE_KINDS[0]]
    margins_after = margins(images, copy if texts is None else texts, similarity=how)[n:]
    if before is None:
        return useful(margins_after), *not_compared("the encoder before was not given")
    everyone = range(asking.items)
    images_before = asking.images(before, asked, everyone, progress).numpy()
    if texts is None:
        partner = asking.images(before, near_duplicates(asked, seed)[PICTURE_KINDS[0]], everyone, progress).numpy()
    else:
        partner = asking.texts(before, _texts(asked), everyone, progress).numpy()
    usefulness = useful(margins_after, margins(images_before, partner, similarity=similarity_of(before))[n:])
    if images_before.shape != images.shape:
        return usefulness, *not_compared(
            f"the encoder before gives {images_before.shape[1]} numbers a picture and the one after {images.shape[1]}"
        )
    towers = {"picture": (images_before[n:], images[n:])}
    if texts is not None:
        towers["caption"] = (partner[n:], texts[n:])
    return usefulness, *compare_encoders(towers)


def _draw(dataset: ImageTextDataset, most: int, generator: np.random.Generator) -> ImageTextDataset:
    if len(dataset) <= most:
        return dataset
    places = np.sort(generator.choice(len(dataset), most, replace=False))
    return dataset.subset([dataset.item_ids[place] for place in places])


def _texts(dataset: ImageTextDataset) -> list[str]:
    return [text or "" for text in dataset.texts]


def _cat(parts: Sequence[Tensor]) -> np.ndarray:
    return torch.cat(list(parts)).numpy()


def _first_of_each(values: Tensor | Sequence[str]) -> list[int]:
    """Positions of the first of each set of equal pictures or captions."""
    keys = [value.numpy().tobytes() if isinstance(value, Tensor) else value for value in values]
    return sorted({key: place for place, key in reversed(list(enumerate(keys)))}.values())


def _join(parts: Mapping[str, ImageTextDataset]) -> ImageTextDataset:
    """The items of all parts, in their order, under ids that cannot clash."""
    items = [replace(item, id=f"{group}/{item.id}") for group, part in parts.items() for item in part.items]
    return ImageTextDataset(" and ".join(parts), items, _JoinedImages(tuple(parts.values())))


@dataclass(frozen=True)
class _JoinedImages:
    parts: tuple[ImageTextDataset, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        places = torch.as_tensor(list(indices), dtype=torch.long)
        pixels = torch.empty((len(places), 3, size, size), dtype=torch.uint8)
        start = 0
        for part in self.parts:
            chosen = (places >= start) & (places < start + len(part))
            if chosen.any():
                pixels[chosen] = part.images(size, (places[chosen] - start).tolist(), interpolation)
            start += len(part)
        return pixels


Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class _ChangedImages:
    """Pictures of another set, each changed in its own seeded way."""

    parent: ImageTextDataset
    change: Change
    seed: int

    def __len__(self) -> int:
        return len(self.parent)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        places = list(indices)
        pixels = self.parent.images(size, places, interpolation)
        changed = torch.empty_like(pixels)
        for row, place in enumerate(places):
            generator = np.random.default_rng([self.seed, zlib.crc32(self.parent.item_ids[place].encode())])
            image = Image.fromarray(pixels[row].permute(1, 2, 0).numpy())
            changed[row] = torch.from_numpy(np.array(self.change(image, generator))).permute(2, 0, 1)
        return changed


def _crop(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    side = CROP * image.width
    left, top = generator.uniform(0, image.width - side, size=2)
    return image.resize(image.size, Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def _mirror(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _save_again(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return Image.open(file).convert("RGB")


def _rotate(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Turned either way, and enlarged just enough that no corner is empty."""
    angle = math.radians(DEGREES) * generator.choice((-1, 1))
    scale = 1 / (math.cos(angle) + abs(math.sin(angle)))
    cos, sin, middle = scale * math.cos(angle), scale * math.sin(angle), image.width / 2
    matrix = (cos, sin, middle * (1 - cos - sin), -sin, cos, middle * (1 + sin - cos))
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
