"""A strength beside the original as a `Comparison`, so that a dial is drawn like any pair of encoders."""

import numpy as np

from muc_core.audit.picture import AlignmentPicture, PictureKind
from muc_core.audit.summary import AlignmentSummary, ItemScores
from muc_core.comparison import Alignment, Comparison, ComparisonSettings, Controls, EncoderReference
from muc_core.encoders.manifest import EncoderManifest
from muc_core.jobs.tuning.measure import Figures, Material


def side_by_side(
    original: EncoderManifest, before: Figures, unlearned: EncoderManifest, after: Figures, material: Material
) -> Comparison:
    """Forget pictures and controls in the original and at a strength; the matrix holds those that were kept of it.

    Args:
        original, unlearned: which encoders; the latter stands at strength 1.
        before, after: their figures, both with the same yardstick and material.
    """
    audit = after.audit
    return Comparison(
        before_encoder=_reference(original, before),
        after_encoder=_reference(unlearned, after),
        mode=audit.mode,
        ids=material.forget.ids,
        texts=material.forget.texts,
        before=_alignment(before),
        after=_alignment(after),
        controls=Controls(material.controls.ids, material.controls.texts, _controls(before), _controls(after)),
        settings=ComparisonSettings(audit.mode, audit.views, audit.seed, "given", len(after.shown), "sampled"),
        warnings=(),
    )


def _reference(manifest: EncoderManifest, figures: Figures) -> EncoderReference:
    return EncoderReference(manifest.name, manifest.family, manifest.content_digest, figures.dimension)


def _alignment(figures: Figures) -> Alignment:
    items = _scores(figures.positive, figures.margin, figures.rank)
    n = len(items)
    summary = AlignmentSummary(
        n=n,
        positive_mean=float(items.positive.mean()),
        positive_sd=float(items.positive.std(ddof=1)),
        negative_mean=None,
        negative_sd=None,
        negative_max=None,
        top1_left=figures.forget.top1,
        top1_right=None,
    )
    kind: PictureKind = "full"
    note = f"Shows all {n:,} pictures."
    if len(figures.shown) < n:
        kind, note = "sampled", f"Shows {len(figures.shown):,} of the {n:,} pictures, drawn at random."
    picture = AlignmentPicture(np.array(figures.matrix), kind, note, figures.shown)
    return Alignment(summary, items, picture)


def _controls(figures: Figures) -> ItemScores:
    return _scores(figures.control_positive, figures.control_margin, figures.control_rank)


def _scores(positive: tuple[float, ...], margin: tuple[float, ...], rank: tuple[float, ...]) -> ItemScores:
    own, above = np.array(positive), np.array(margin)
    return ItemScores(own, own - above, above, np.array(rank))
