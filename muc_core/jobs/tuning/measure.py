"""One encoder in the figures that the strength of unlearning is chosen by: the audit, every picture, and utility.

All encoders of a comparison see the same views of the same pictures, so that their figures differ by the encoders
alone. The audit is that of `muc_core.auditing`; probes, which take as long as the rest, are made where the verdict
would be "forgotten", which no encoder is called without them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.detectability import WANTED_POWER
from muc_core.audit.guard import control_guard
from muc_core.audit.honesty import singled_out
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.ordering import order_given
from muc_core.audit.picture import draw, lay_out
from muc_core.audit.result import GUARD, AuditResult, Check
from muc_core.audit.summary import summarise_factors
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.audit.verdict import SURE_OF_MEMORY
from muc_core.auditing import GUARD_SIZE, VIEWS
from muc_core.data.copies import copies_among, without
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_texts, embed_views
from muc_core.encoders.manifest import DataReference
from muc_core.errors import MucError
from muc_core.evaluation.utility import SetFigures, uniformity
from muc_core.evaluation.weakest import Answer
from muc_core.progress import SILENT, Progress


class Yardstick(BaseModel):
    """How encoders are measured; the same for all that are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: int = Field(VIEWS, ge=2, le=64, description="Random views of each picture.")
    permutations: int = Field(2000, ge=99, le=1_000_000, description="Most permutations of items in each test.")
    cells: int = Field(40, ge=2, le=60, description="Forget pictures in the alignment matrix that is kept.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of views, permutations and the sample of retained pictures.")
    probes: bool = Field(True, description="Probe an encoder before it is called forgotten.")


QUICK = Yardstick(views=2, permutations=999, cells=2, seed=0, probes=False)
"""For a look along the way, at a checkpoint of a run, which judges nothing."""


class Figures(BaseModel):
    """An encoder in figures. The arrays have the order of the material's pictures.

    Attributes:
        audit: of the forget set against the controls, with the original as the encoder before.
        positive, margin, rank: of each forget picture, see `muc_core.audit.summary.ItemScores`; margin and rank are
            taken over the pool of forget pictures and controls.
        control_positive, control_margin, control_rank: the same of each control.
        forget, retain, held_out: each set by itself.
        shown: ids of the forget pictures in the matrix.
        matrix: alignment matrix among them, rounded to 4 decimals.
        dimension: length of the encoder's vectors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    audit: AuditResult
    positive: tuple[float, ...]
    margin: tuple[float, ...]
    rank: tuple[float, ...]
    control_positive: tuple[float, ...]
    control_margin: tuple[float, ...]
    control_rank: tuple[float, ...]
    forget: SetFigures
    retain: SetFigures
    held_out: SetFigures
    shown: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    dimension: int


@dataclass(frozen=True, eq=False)
class Material:
    """The pictures that all encoders of a comparison are shown.

    Attributes:
        forget: the forget set.
        controls: the held-out set.
        retain: retained pictures, as many as controls where there are so many, so that their figures compare.
        with_text: pictures are compared with captions; otherwise views with one another.
    """

    forget: ImageTextDataset
    controls: ImageTextDataset
    retain: ImageTextDataset
    with_text: bool

    @property
    def parts(self) -> tuple[ImageTextDataset, ...]:
        return self.forget, self.controls, self.retain

    @cached_property
    def digests(self) -> tuple[str, ...]:
        return tuple(part.digest() for part in self.parts)

    @cached_property
    def guard(self) -> Check:
        """Whether forget pictures and controls look alike without any encoder; the same for all encoders."""
        pixels = [part.images(GUARD_SIZE).numpy() for part in (self.forget, self.controls)]
        return control_guard(pixels[0], pixels[1], seed=0)


def open_material(reference: DataReference, *, reads_text: bool, seed: int = 0) -> Material:
    """The pictures behind an unlearned encoder.

    Args:
        reference: its training data, with the split that says what was to be forgotten.
        reads_text: whether the encoders read captions.
        seed: of the sample of retained pictures.

    Raises:
        MucError: data that changed, no forget set, or too few pictures for an audit.
    """
    dataset = load_dataset(reference.spec)
    if dataset.digest() != reference.digest:
        raise MucError(f"the data {reference.spec!r} changed since the encoder was trained on it; restore it")
    split = reference.split
    check_counts(split.forget, split.held_out)
    count = min(len(split.held_out), len(split.retain))
    places = np.sort(np.random.default_rng(seed).choice(len(split.retain), count, replace=False))
    parts = (split.forget, split.held_out, [split.retain[place] for place in places])
    forget, controls, retain = (
        dataset.subset(ids, name=name) for ids, name in zip(parts, ("forget", "held-out", "retain"), strict=True)
    )
    # as in the audit, a picture counts once
    forget, controls = (without(part, copies_among(part)) for part in (forget, controls))
    check_counts(forget.ids, controls.ids)
    captions = all(text for part in (forget, controls, retain) for text in part.texts)
    return Material(forget, controls, retain, with_text=reads_text and captions)


@dataclass(frozen=True, eq=False)
class Looks:
    """Vectors of one encoder: forget pictures and controls pooled, and the retained ones."""

    pool: Vectors
    retain: Vectors


def look(encoder: Encoder, material: Material, yardstick: Yardstick, progress: Progress = SILENT) -> Looks:
    """Embed the material. Raises `MucError` for vectors that are not finite; `Cancelled`."""
    views = [
        embed_views(encoder, part, views=yardstick.views, seed=yardstick.seed, progress=progress)
        for part in material.parts
    ]
    pooled, retained = torch.cat(views[:2], dim=1).numpy(), views[2].numpy()
    how = similarity_of(encoder)
    if not material.with_text:
        return Looks(ViewVectors(pooled, how), ViewVectors(retained, how))
    texts = [
        embed_texts(encoder, [text or "" for part in parts for text in part.texts], progress=progress).numpy()
        for parts in (material.parts[:2], material.parts[2:])
    ]
    return Looks(ImageTextVectors(pooled, texts[0], how), ImageTextVectors(retained, texts[1], how))


def audit_inputs(before: Looks, after: Looks, material: Material, yardstick: Yardstick) -> AuditInputs:
    """What the audit among the figures is computed from, without probes."""
    return AuditInputs(
        vectors={"before": before.pool, "after": after.pool},
        owner_ids=tuple(material.forget.ids),
        control_ids=tuple(material.controls.ids),
        settings=AuditSettings(permutations=yardstick.permutations, seed=yardstick.seed),
        checks=(
            material.guard,
            singled_out(
                after.pool,
                before.pool,
                [*material.forget.ids, *material.controls.ids],
                len(material.forget),
                seed=yardstick.seed,
            ),
        ),
    )


def figures(result: AuditResult, after: Looks, material: Material, yardstick: Yardstick) -> Figures:
    """The figures of the encoder that gave `after`, with its audit."""
    n = len(material.forget)
    _, scores = summarise_factors(after.pool.factors())
    layout = lay_out(order_given(n), max_cells=yardstick.cells, seed=yardstick.seed)
    owner, controls = _parts(after.pool, n)
    picture = draw(owner.factors(), layout, material.forget.ids)
    return Figures(
        audit=result,
        positive=_rounded(scores.positive[:n]),
        margin=_rounded(scores.margin[:n]),
        rank=_rounded(scores.rank[:n]),
        control_positive=_rounded(scores.positive[n:]),
        control_margin=_rounded(scores.margin[n:]),
        control_rank=_rounded(scores.rank[n:]),
        forget=set_figures(owner),
        retain=set_figures(after.retain),
        held_out=set_figures(controls),
        shown=picture.ids,
        matrix=tuple(_rounded(row, 4) for row in picture.matrix),
        dimension=after.pool.dimension,
    )


def pool_figures(looks: Looks, n: int) -> tuple[SetFigures, SetFigures]:
    """Each of the two pooled sets by itself; the first has `n` pictures."""
    first, second = _parts(looks.pool, n)
    return set_figures(first), set_figures(second)


def set_figures(vectors: Vectors) -> SetFigures:
    """A set of at least two pictures by itself."""
    summary, scores = summarise_factors(vectors.factors())
    assert summary.top1_left is not None  # two pictures at least
    return SetFigures(
        count=vectors.n,
        top1=summary.top1_left,
        positive=float(scores.positive.mean()),
        uniformity=uniformity(vectors.images),
    )


def answer_of(result: AuditResult) -> Answer:
    """A verdict in the words of the search."""
    answers: dict[str, Answer] = {
        "under-forgotten": "trace left",
        "forgotten": "no trace found",
        "over-forgotten": "pushed below",
        "cannot tell": "cannot tell",
    }
    return answers[result.verdict]


def hopeless(result: AuditResult) -> str | None:
    """Why an audit with these pictures and this original finds no encoder forgotten, a sentence; None if it could."""
    if any(check.passed is False for check in result.checks if check.name == GUARD):
        return result.rule
    if result.findings["memory before"].p >= result.alpha * SURE_OF_MEMORY:
        return result.rule
    if result.detectability.power < WANTED_POWER:
        return (
            f"Too little could be seen with these pictures: a trace would be found with a chance of "
            f"{result.detectability.power:.0%}, and {WANTED_POWER:.0%} is asked for."
        )
    return None


def _parts(pool: Vectors, n: int) -> tuple[Vectors, Vectors]:
    """The first n items and the others."""
    rows = np.arange(pool.n)
    return pool.take(rows[:n]), pool.take(rows[n:])


def _rounded(values: Sequence[float] | np.ndarray, decimals: int = 6) -> tuple[float, ...]:
    return tuple(np.round(np.asarray(values, dtype=np.float64), decimals).tolist())
