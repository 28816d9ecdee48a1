"""Two encoders, one set of items: what the alignment matrices looked like before and after, with controls beside them.

Ties encoders and data to the black-box audit. Every picture and text is embedded once per encoder; from there on only
vectors are used. A comparison describes, it does not judge: a drop alone does not show that something was forgotten,
which is why controls (pictures the encoder never trained on) go through the same encoders and the same formulas.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from muc_core.audit.alignment import Factors, alignment_gap, diagonal_of, image_text_factors, view_factors
from muc_core.audit.ordering import Order, order_by_cluster, order_by_diagonal, order_given
from muc_core.audit.picture import MAX_CELLS, AlignmentPicture, Layout, Reduction, draw, lay_out
from muc_core.audit.summary import AlignmentSummary, ItemScores, summarise_factors
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.errors import MissingTextTower, MucError
from muc_core.progress import SILENT, Progress

Mode: TypeAlias = Literal["image-text", "two-view"]
ModeChoice: TypeAlias = Literal["auto", "image-text", "two-view"]
OrderChoice: TypeAlias = Literal["given", "diagonal", "cluster"]

FORMAT = "muc-comparison/1"


@dataclass(frozen=True)
class EncoderReference:
    """Which encoder it was; `digest` changes whenever its vectors may change."""

    name: str
    family: str
    digest: str
    dimension: int


@dataclass(frozen=True)
class ComparisonSettings:
    """What was asked for; see `compare`."""

    mode: ModeChoice
    views: int
    seed: int
    order: OrderChoice
    max_cells: int
    reduction: Reduction


@dataclass(frozen=True, eq=False)
class Alignment:
    """The alignment of the items in one encoder. High = more alike.

    Attributes:
        summary: of the alignment matrix among the items alone.
        items: one number per item, `[n]`. Negatives, margin and rank are taken over the pool of items **and** controls,
            so that they can be held against those of the controls.
        picture: the matrix among the items, or what of it can be shown.
    """

    summary: AlignmentSummary
    items: ItemScores
    picture: AlignmentPicture


@dataclass(frozen=True, eq=False)
class Controls:
    """Pictures the encoders never trained on, scored in the same pool as the items."""

    ids: tuple[str, ...]
    texts: tuple[str | None, ...]
    before: ItemScores
    after: ItemScores

    @property
    def gap(self) -> npt.NDArray[np.float64]:
        """Positive alignment lost by each control `[m]`, positive = lost."""
        return self.before.positive - self.after.positive


@dataclass(frozen=True, eq=False)
class Comparison:
    """What an encoder before and one after make of the same items.

    Attributes:
        before_encoder, after_encoder: which encoders.
        mode: "image-text" (picture against caption) or "two-view" (two changed copies of a picture).
        ids, texts: of the items, in the order of the per-item arrays (pictures may have another, see their `ids`).
        before, after: the alignment in each encoder.
        controls: scored the same way, or None when there were none.
        settings: what was asked for.
        warnings: what a reader must know, in sentences.
    """

    before_encoder: EncoderReference
    after_encoder: EncoderReference
    mode: Mode
    ids: tuple[str, ...]
    texts: tuple[str | None, ...]
    before: Alignment
    after: Alignment
    controls: Controls | None
    settings: ComparisonSettings
    warnings: tuple[str, ...]

    @property
    def gap(self) -> AlignmentPicture:
        """The gap matrix AM(before) - AM(after) of what the pictures show; positive = alignment was lost."""
        matrix = alignment_gap(self.before.picture.matrix, self.after.picture.matrix)
        return replace(self.before.picture, matrix=matrix)

    @property
    def gap_per_item(self) -> npt.NDArray[np.float64]:
        """Positive alignment lost by each item `[n]`, positive = lost."""
        return self.before.items.positive - self.after.items.positive

    @property
    def means(self) -> dict[str, float | None]:
        """Mean positive alignment and mean margin of items and controls, by name; None where there is none."""
        groups = {
            "items_before": self.before.items,
            "items_after": self.after.items,
            "controls_before": self.controls.before if self.controls else None,
            "controls_after": self.controls.after if self.controls else None,
        }
        positive = {f"{name}_positive": _mean(scores.positive) if scores else None for name, scores in groups.items()}
        margin = {f"{name}_margin": _mean(scores.margin) if scores else None for name, scores in groups.items()}
        return positive | margin

    @property
    def finding(self) -> str:
        """One plain sentence with the numbers, without a verdict."""
        what = "own-caption similarity" if self.mode == "image-text" else "similarity between views of the same picture"
        whose = "The items'" if len(self.ids) > 1 else "The item's"
        items = f"{whose} {what} {_course(self.before.items, self.after.items, down='fell', up='rose')}"
        if self.controls is None:
            return f"{items}; there are no controls to hold it against."
        controls = _course(self.controls.before, self.controls.after, down="went", up="went")
        return f"{items}; that of the controls {controls}."

    def to_json(self) -> str:
        """JSON with exact numbers and null for what is missing; gap, means and finding are added for readers."""
        content = _plain(self)
        extra = {"format": FORMAT, "finding": self.finding, "means": self.means}
        gaps = {"gap": _plain(self.gap), "gap_per_item": _plain(self.gap_per_item)}
        return json.dumps(extra | content | gaps, ensure_ascii=False, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> "Comparison":
        """The comparison `to_json` wrote. Raises `MucError` when the text is something else."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise MucError(f"this comparison has the format {content['format']!r}; this version reads {FORMAT!r}")
            return _comparison(content)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise MucError(
                f"this is not a comparison as JSON ({error!r}); write one with Comparison.to_json"
            ) from error


def compare(
    before: Encoder,
    after: Encoder,
    items: ImageTextDataset,
    *,
    controls: ImageTextDataset | None = None,
    mode: ModeChoice = "auto",
    views: int = 8,
    seed: int = 0,
    order: OrderChoice = "given",
    max_cells: int = MAX_CELLS,
    reduction: Reduction = "sampled",
    progress: Progress = SILENT,
) -> Comparison:
    """Embed items and controls with both encoders and put their alignment side by side.

    Args:
        before: the original encoder.
        after: the unlearned one.
        items: what is asked about.
        controls: pictures neither encoder trained on, as like the items as can be had; none of the items among them.
        mode: "image-text" compares pictures with captions, "two-view" changed copies of each picture with one another;
            "auto" takes captions when both encoders and every item have them, and says so when it does not.
        views: changed copies of each picture, >= 2, used in two-view mode.
        seed: of the changes and of the sample a large picture shows.
        order: of the pictures: "given", "diagonal" (those that lost most first) or "cluster" (items alike side by side,
            by the matrix before).
        max_cells: cells along one side of a picture, >= 2; with more items it is thinned and says so.
        reduction: how it is thinned, see `muc_core.audit.picture.lay_out`.

    Raises:
        MucError: an item among the controls, missing captions in image-text mode, fewer than two views, vectors that
            cannot be compared.
        MissingTextTower: image-text mode with an encoder that cannot embed texts.
        Cancelled: from `progress`.
    """
    settings = ComparisonSettings(mode, views, seed, order, max_cells, reduction)
    if order not in ("given", "diagonal", "cluster"):
        raise MucError(f"there is no order {order!r}; known: given, diagonal, cluster")
    chosen, warnings = _choose_mode(before, after, items, mode)
    if chosen == "two-view" and views < 2:
        raise MucError(f"views is {views}; the two-view mode needs at least 2")
    if controls is not None:
        controls, more = _usable_controls(items, controls, chosen)
        warnings += more
    warnings += _further_warnings(before, after, items, controls)

    sets = [items] if controls is None else [items, controls]
    stages = _Stages(progress, count=4 * len(sets))
    embedded = [_embed(encoder, sets, chosen, settings, stages) for encoder in (before, after)]
    lost = diagonal_of(embedded[0].items) - diagonal_of(embedded[1].items)
    layout = _layout(embedded[0].items, lost, settings)

    alignments, control_scores = [], []
    for vectors in embedded:
        summary, own = summarise_factors(vectors.items, progress=stages.next())
        pooled = own if vectors.pool is vectors.items else summarise_factors(vectors.pool, progress=stages.next())[1]
        alignments.append(Alignment(summary, pooled[: len(items)], draw(vectors.items, layout, items.ids)))
        control_scores.append(pooled[len(items) :])
    return Comparison(
        before_encoder=_reference(before),
        after_encoder=_reference(after),
        mode=chosen,
        ids=items.ids,
        texts=items.texts,
        before=alignments[0],
        after=alignments[1],
        controls=Controls(controls.ids, controls.texts, control_scores[0], control_scores[1]) if controls else None,
        settings=settings,
        warnings=warnings,
    )


@dataclass(frozen=True)
class _Embedded:
    """Factors of the matrix among the items, and of that among items and controls together."""

    items: Factors
    pool: Factors


class _Stages:
    """Reports the progress of several pieces of work as that of one."""

    _STEPS = 1000

    def __init__(self, progress: Progress, *, count: int) -> None:
        self._progress = progress
        self._count = count
        self._current = -1
        self._done = 0

    def next(self) -> Progress:
        self._current += 1
        return self

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        # A piece may count anew for each of its rounds; the whole never goes back.
        self._done = max(self._done, self._STEPS * self._current + self._STEPS * step // total)
        self._progress.report(self._done, self._STEPS * self._count, message, values)


def _choose_mode(
    before: Encoder, after: Encoder, items: ImageTextDataset, mode: ModeChoice
) -> tuple[Mode, tuple[str, ...]]:
    if mode not in ("auto", "image-text", "two-view"):
        raise MucError(f"there is no mode {mode!r}; known: auto, image-text, two-view")
    if mode == "two-view":
        return "two-view", ()
    without_tower = [encoder.name for encoder in (before, after) if not encoder.has_text]
    without_caption = _without_caption(items)
    if mode == "image-text":
        if without_tower:
            raise MissingTextTower(
                f"the encoder {without_tower[0]!r} has no text tower; use the mode two-view or an encoder with one"
            )
        if without_caption:
            raise MucError(
                f"the item {without_caption[0]!r} has no caption ({len(without_caption)} of {len(items)} lack one); "
                "give every item a caption, or use the mode two-view"
            )
        return "image-text", ()
    if without_tower:
        reason = f"the encoder {without_tower[0]!r} cannot read captions"
    elif without_caption:
        reason = f"{len(without_caption)} of {len(items)} items have no caption (the first is {without_caption[0]!r})"
    else:
        return "image-text", ()
    return "two-view", (f"Pictures were compared with changed copies of themselves, because {reason}.",)


def _without_caption(dataset: ImageTextDataset) -> list[str]:
    return [name for name, text in zip(dataset.ids, dataset.texts, strict=True) if not (text or "").strip()]


def _usable_controls(
    items: ImageTextDataset, controls: ImageTextDataset, mode: Mode
) -> tuple[ImageTextDataset | None, tuple[str, ...]]:
    both = [name for name in controls.ids if name in set(items.ids)]
    if both:
        raise MucError(
            f"{both[0]!r} is an item and a control ({len(both)} are both); "
            "controls must be other pictures than the items, under other names"
        )
    silent = set(_without_caption(controls)) if mode == "image-text" else set()
    if not silent:
        return controls, ()
    note = f"{len(silent)} of {len(controls)} controls have no caption and were left out."
    if len(silent) == len(controls):
        return None, (note,)
    return controls.subset([name for name in controls.ids if name not in silent]), (note,)


def _further_warnings(
    before: Encoder, after: Encoder, items: ImageTextDataset, controls: ImageTextDataset | None
) -> tuple[str, ...]:
    found = []
    if before.digest == after.digest:
        found.append("Both encoders are the same, so nothing can have changed.")
    if controls is None:
        found.append(
            "There are no controls. A drop may come from the encoder as a whole and not from forgetting; "
            "pictures it never trained on, beside the items, would show it."
        )
    elif len(controls) < 2:
        found.append("There is only one control, so chance cannot be told from a difference.")
    if len(items) < 2:
        found.append(
            "There is only one item, so the matrices have no negative alignment among the items"
            + (
                " and none at all without controls."
                if controls is None
                else "; negatives come from the controls alone."
            )
        )
    return tuple(found)


def _embed(
    encoder: Encoder,
    sets: Sequence[ImageTextDataset],
    mode: Mode,
    settings: ComparisonSettings,
    stages: "_Stages",
) -> _Embedded:
    """Every set through the encoder once; the first set holds the items."""
    vectors = [_vectors(encoder, dataset, mode, settings, stages.next()) for dataset in sets]
    ids = [name for dataset in sets for name in dataset.ids]
    items = _factors(encoder, vectors[0], ids, mode)
    if len(sets) == 1:
        return _Embedded(items, items)
    return _Embedded(items, _factors(encoder, np.concatenate(vectors, axis=1), ids, mode))


def _vectors(
    encoder: Encoder, dataset: ImageTextDataset, mode: Mode, settings: ComparisonSettings, progress: Progress
) -> npt.NDArray[np.float32]:
    """`[V, n, d]`: the views, or the pictures and then the captions."""
    if mode == "two-view":
        vectors = embed_views(encoder, dataset, views=settings.views, seed=settings.seed, progress=progress)
    else:
        images = embed_images(encoder, dataset, progress=progress)
        vectors = torch.stack([images, embed_texts(encoder, [text or "" for text in dataset.texts])])
    return vectors.numpy()


def _factors(encoder: Encoder, vectors: npt.NDArray[np.float32], ids: Sequence[str], mode: Mode) -> Factors:
    try:
        if mode == "two-view":
            return view_factors(vectors, ids=ids, similarity=similarity_of(encoder))
        return image_text_factors(vectors[0], vectors[1], ids=ids, similarity=similarity_of(encoder))
    except MucError as error:
        raise MucError(f"in the encoder {encoder.name!r} {error}") from error


def _layout(before: Factors, lost: npt.NDArray[np.float64], settings: ComparisonSettings) -> Layout:
    order: Order = order_by_diagonal(lost) if settings.order == "diagonal" else order_given(before.n)
    layout = lay_out(order, max_cells=settings.max_cells, reduction=settings.reduction, seed=settings.seed)
    if settings.order == "cluster":
        layout = layout.reordered(order_by_cluster(draw(before, layout).matrix))
    return layout


def _reference(encoder: Encoder) -> EncoderReference:
    return EncoderReference(encoder.name, encoder.family, encoder.digest, encoder.dimension)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    mean = float(values.mean())
    return mean if math.isfinite(mean) else None


def _course(before: ItemScores, after: ItemScores, *, down: str, up: str) -> str:
    # "z" turns -0.00 into 0.00.
    start, end = (f"{scores.positive.mean():z.2f}" for scores in (before, after))
    if start == end:
        return f"stayed at {start}"
    return f"{down if float(end) < float(start) else up} from {start} to {end}"


def _plain(value: object) -> Any:
    """The value in JSON's own types; NaN, which JSON does not know, becomes null."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _array(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _scores(content: Mapping[str, Any]) -> ItemScores:
    return ItemScores(**{field.name: _array(content[field.name]) for field in fields(ItemScores)})


def _picture(content: Mapping[str, Any]) -> AlignmentPicture:
    return AlignmentPicture(_array(content["matrix"]), content["kind"], content["note"], tuple(content["ids"]))


def _alignment(content: Mapping[str, Any]) -> Alignment:
    summary = AlignmentSummary(**content["summary"] | {"notes": tuple(content["summary"]["notes"])})
    return Alignment(summary, _scores(content["items"]), _picture(content["picture"]))


def _comparison(content: Mapping[str, Any]) -> Comparison:
    controls = content["controls"]
    return Comparison(
        before_encoder=EncoderReference(**content["before_encoder"]),
        after_encoder=EncoderReference(**content["after_encoder"]),
        mode=content["mode"],
        ids=tuple(content["ids"]),
        texts=tuple(content["texts"]),
        before=_alignment(content["before"]),
        after=_alignment(content["after"]),
        controls=Controls(
            tuple(controls["ids"]), tuple(controls["texts"]), _scores(controls["before"]), _scores(controls["after"])
        )
        if controls
        else None,
        settings=ComparisonSettings(**content["settings"]),
        warnings=tuple(content["warnings"]),
    )
