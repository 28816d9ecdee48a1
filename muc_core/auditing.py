"""From encoders and pictures to an audit: embeds what `muc_core.audit` compares, and looks at the controls first.

from muc_core.auditing import audit_encoders
result = audit_encoders(after, owner, controls, before=before)
print(*result.explain(), sep="\\n")
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.guard import control_guard
from muc_core.audit.result import AuditResult, Check
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.comparison import ModeChoice
from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_texts, embed_views
from muc_core.errors import MissingTextTower, MucError
from muc_core.near_duplicates import honesty_checks
from muc_core.progress import SILENT, Progress

VIEWS = 8
GUARD_SIZE = 32


def audit_encoders(
    after: Encoder,
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    *,
    before: Encoder | None = None,
    retrained: Encoder | None = None,
    mode: ModeChoice = "auto",
    views: int = VIEWS,
    probes: bool = True,
    settings: AuditSettings | None = None,
    progress: Progress = SILENT,
) -> AuditResult:
    """Audit the encoder after unlearning on the owner's pictures against controls.

    Args:
        owner: the pictures that were to be forgotten.
        controls: like them, and never trained on.
        before: the encoder before; without it, whether there was anything to forget is not asked.
        retrained: one trained anew without the owner's pictures; its figures are put beside.
        mode: "image-text" compares pictures with captions, "two-view" views of pictures with one another; "auto" takes
            captions when every item has one and every encoder reads text.
        views: random views of each picture, >= 2.
        probes: ask near-duplicates of the pictures, too: they show an encoder that hides what it knows.
        settings: of the tests.

    Raises:
        MucError: as `muc_core.audit.audit.audit`; a picture that is both the owner's and a control; missing captions.
        MissingTextTower: image-text mode with an encoder that reads no text.
        Cancelled: from `progress`.
    """
    settings = settings or AuditSettings()
    encoders = {"before": before, "after": after, "retrained": retrained}
    present = {name: encoder for name, encoder in encoders.items() if encoder is not None}
    if views < 2:
        raise MucError(f"views is {views}; an audit needs at least 2 views of each picture")
    with_text, warnings = _reads_captions(present, owner, controls, mode)
    owner_ids, control_ids = _distinct_ids(owner, controls)
    _refuse_the_same_pictures(owner, controls)
    checks: list[Check] = [
        control_guard(owner.images(GUARD_SIZE).numpy(), controls.images(GUARD_SIZE).numpy(), seed=settings.seed)
    ]
    pool = _Pool(owner, controls, with_text, views, settings.seed)
    stages = _Stages(progress, len(present) + (1 if probes else 0))
    vectors = {name: pool.vectors(encoder, stages.next()) for name, encoder in present.items()}
    if probes:
        checks += honesty_checks(before, after, owner, controls, seed=settings.seed, progress=stages.next())
    return audit(
        vectors["after"],
        owner_ids=owner_ids,
        control_ids=control_ids,
        before=vectors.get("before"),
        retrained=vectors.get("retrained"),
        checks=checks,
        settings=settings,
        warnings=warnings,
    )


@dataclass(frozen=True)
class _Pool:
    """The owner's items and the controls after them."""

    owner: ImageTextDataset
    controls: ImageTextDataset
    with_text: bool
    views: int
    seed: int

    def vectors(self, encoder: Encoder, progress: Progress) -> Vectors:
        parts = [
            embed_views(encoder, part, views=self.views, seed=self.seed, progress=progress)
            for part in (self.owner, self.controls)
        ]
        views = torch.cat(parts, dim=1).numpy()
        if not self.with_text:
            return ViewVectors(views)
        texts = [item.text or "" for part in (self.owner, self.controls) for item in part.items]
        return ImageTextVectors(views, embed_texts(encoder, texts, progress=progress).numpy())


@dataclass
class _Stages:
    """Progress over several encoders, each an equal part of the whole."""

    whole: Progress
    count: int
    started: int = 0

    def next(self) -> Progress:
        self.started += 1
        return _Stage(self.whole, self.started - 1, self.count)


@dataclass(frozen=True)
class _Stage:
    whole: Progress
    number: int
    count: int

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        done = self.number + step / max(total, 1)
        self.whole.report(round(1000 * done), 1000 * self.count, message, values)


def _reads_captions(
    encoders: Mapping[str, Encoder], owner: ImageTextDataset, controls: ImageTextDataset, mode: ModeChoice
) -> tuple[bool, tuple[str, ...]]:
    if mode not in ("auto", "image-text", "two-view"):
        raise MucError(f"there is no mode {mode!r}; known: auto, image-text, two-view")
    if mode == "two-view":
        return False, ()
    silent = next((item.id for item in _all_items(owner, controls) if not item.text), None)
    blind = next((encoder.name for encoder in encoders.values() if not encoder.has_text), None)
    if mode == "image-text" and blind is not None:
        raise MissingTextTower(f"the encoder {blind!r} reads no text; use the mode two-view")
    if mode == "image-text" and silent is not None:
        raise MucError(f"{silent!r} has no caption; give every picture one, or use the mode two-view")
    if blind is not None:
        return False, ()
    if silent is not None:
        return False, (f"{silent!r} and perhaps others have no caption, so that only views of pictures are compared.",)
    return True, ()


def _all_items(*datasets: ImageTextDataset) -> Iterator[Item]:
    for dataset in datasets:
        yield from dataset.items


def _distinct_ids(owner: ImageTextDataset, controls: ImageTextDataset) -> tuple[list[str], list[str]]:
    """Ids of both; uploads may be called as a control is, which makes them no control."""
    taken = set(owner.ids)
    return list(owner.ids), [f"{item_id} (control)" if item_id in taken else item_id for item_id in controls.ids]


def _refuse_the_same_pictures(owner: ImageTextDataset, controls: ImageTextDataset) -> None:
    seen = {_digest(pixels): item_id for pixels, item_id in _pixels(owner)}
    for pixels, item_id in _pixels(controls):
        if (twin := seen.get(_digest(pixels))) is not None:
            raise MucError(
                f"the control {item_id!r} is the same picture as {twin!r}; controls must not hold the owner's "
                "pictures: take it out"
            )


def _pixels(dataset: ImageTextDataset) -> Iterator[tuple[np.ndarray, str]]:
    yield from zip(dataset.images(GUARD_SIZE).numpy(), dataset.ids, strict=True)


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest()
