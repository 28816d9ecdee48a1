"""From encoders and pictures to an audit: embeds what `muc_core.audit` compares, and looks at the controls first.

from muc_core.auditing import audit_encoders
result = audit_encoders(after, owner, controls, before=before)
print(*result.explain(), sep="\\n")
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.collateral import BYSTANDERS, Bystander, collateral
from muc_core.audit.gap import FEWEST_VIEWS, GapInference, gap_inference
from muc_core.audit.guard import control_guard
from muc_core.audit.honesty import not_probed, singled_out
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import STAND_INS, AuditResult, Bystanders, Check
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors
from muc_core.comparison import ModeChoice
from muc_core.data.controls import TRANSFORMED, strongly_changed
from muc_core.data.copies import copies_among, without
from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.data.splits import DataSplit
from muc_core.encoders.asking import Asking
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.decoys import Decoys, OfOthers, captions_of
from muc_core.encoders.embed import KeptViews, embed_views
from muc_core.errors import MissingTextTower, MucError
from muc_core.near_duplicates import honesty_checks
from muc_core.progress import SILENT, Progress

NOT_PROBED = "The encoder's answers were not probed: one that hides what it knows instead of forgetting it would pass."
VIEWS = 8
GUARD_SIZE = 32
RETAINED = 100
"""Retained pictures that are looked at when nobody says which."""

UNEVEN_CAPTIONS = 0.02
"""Share of the others that have an item's caption, too: how far owner's items and controls may differ in it. Scores are
then moved by 2 % of a similarity at most, a tenth of their usual spread."""


@dataclass(frozen=True, eq=False)
class Audited:
    """What an audit is computed from, and the pictures it counted: without copies, in the order of the vectors.

    Attributes:
        retained: vectors by encoder of the pictures that were looked at for collateral beside the controls.
    """

    inputs: AuditInputs
    owner: ImageTextDataset
    controls: ImageTextDataset
    retained: Mapping[str, Vectors] = field(default_factory=dict)
    retained_ids: tuple[str, ...] = ()


def audit_encoders(
    after: Encoder,
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    *,
    before: Encoder | None = None,
    retrained: Encoder | None = None,
    retained: ImageTextDataset | None = None,
    mode: ModeChoice = "auto",
    views: int = VIEWS,
    probes: bool = True,
    decoys: Decoys | None = None,
    settings: AuditSettings | None = None,
    warnings: Sequence[str] = (),
    keep: Callable[[Audited], object] | None = None,
    progress: Progress = SILENT,
) -> AuditResult:
    """Audit the encoder after unlearning on the owner's pictures against controls.

    Copies of one picture count once, among the owner's and among the controls.

    Args:
        owner: the pictures that were to be forgotten.
        controls: like them, and never trained on. With those of the last resort (`data.controls.transformed_controls`)
            the verdict is always "cannot tell".
        before: the encoder before; without it, whether there was anything to forget is not asked.
        retrained: one trained anew without the owner's pictures; its figures are put beside.
        retained: pictures that were trained on and not to be forgotten, to see what became of them; it takes the
            encoder before, and of more than `BYSTANDERS` so many are drawn.
        mode: "image-text" compares pictures with captions, "two-view" views of pictures with one another; "auto" takes
            captions when every item has one of its own and every encoder reads text.
        views: random views of each picture, >= 2.
        probes: ask near-duplicates of the pictures, too: they show an encoder that hides what it knows. Without them
            the verdict is never "forgotten".
        decoys: pictures that encoders of others are asked about together with the owner's, which changes no result.
        settings: of the tests.
        warnings: what is known of the pictures already, to be passed on.
        keep: is given what the result is computed from, for an evidence pack.

    Raises:
        MucError: as `muc_core.audit.audit.audit`; a picture that is both the owner's and a control; captions that are
            missing or the same for too many.
        MissingTextTower: image-text mode with an encoder that reads no text.
        Cancelled: from `progress`.
    """
    settings = settings or AuditSettings()
    encoders = {"before": before, "after": after, "retrained": retrained}
    present = {name: encoder for name, encoder in encoders.items() if encoder is not None}
    if views < 2:
        raise MucError(f"views is {views}; an audit needs at least 2 views of each picture")
    checks: list[Check] = [stand_ins()] if strongly_changed(controls) else []
    owner, of_owner = _each_once(owner, "your pictures")
    controls, of_controls = _each_once(controls, "the controls")
    with_text, of_captions = _reads_captions(present, owner, controls, mode)
    owner_ids, control_ids = _distinct_ids(owner, controls)
    check_counts(owner_ids, control_ids)
    _refuse_the_same_pictures(owner, controls)
    checks.append(
        control_guard(owner.images(GUARD_SIZE).numpy(), controls.images(GUARD_SIZE).numpy(), seed=settings.seed)
    )
    look = _Look(with_text, views, settings.seed)
    others = _draw(retained, settings.seed) if retained is not None and before is not None else None
    stages = _Stages(progress, len(present) + (1 if probes else 0) + (2 if others else 0))
    vectors = {
        name: look.embed(encoder, [owner, controls], stages.next(), decoys=decoys) for name, encoder in present.items()
    }
    checks.append(
        singled_out(
            vectors["after"], vectors.get("before"), [*owner_ids, *control_ids], len(owner_ids), seed=settings.seed
        )
    )
    if probes:
        checks += honesty_checks(
            before, after, owner, controls, seed=settings.seed, decoys=decoys, progress=stages.next()
        )
    else:
        checks += not_probed("no probes were made")
    notes = [*warnings, *of_owner, *of_controls, *of_captions, *_told_others(present.values(), decoys)]
    if not probes:
        notes.append(NOT_PROBED)
    bystanders = None
    of_others: dict[str, Vectors] = {}
    if before is not None:
        mine = len(owner)
        rows = np.arange(mine, mine + min(len(controls), BYSTANDERS))
        known = [vectors[name].take(rows) for name in ("before", "after")]
        if others is not None:
            of_others = {
                name: look.embed(encoder, [others], stages.next())
                for name, encoder in (("before", before), ("after", after))
            }
            known = [some.join(more) for some, more in zip(known, of_others.values(), strict=True)]
        bystanders = collateral(known[0], known[1], _bystanders(controls, others))
    inputs = AuditInputs(
        vectors, tuple(owner_ids), tuple(control_ids), settings, tuple(checks), bystanders, tuple(notes)
    )
    if keep is not None:
        keep(Audited(inputs, owner, controls, of_others, others.ids if others else ()))
    return inputs.result()


def infer_gap(
    before: Encoder,
    after: Encoder,
    items: ImageTextDataset,
    *,
    with_text: bool,
    views: int = VIEWS,
    seed: int = 0,
    permutations: int = 10_000,
    progress: Progress = SILENT,
) -> GapInference:
    """The gap matrix of some items with intervals over views, the cells that stand out, and an omnibus test.

    Args:
        with_text: compare pictures with captions rather than views with one another.
        seed: of views and permutations.

    Raises:
        MucError: as `muc_core.audit.gap.gap_inference`.
        Cancelled: from `progress`.
    """
    if not views >= FEWEST_VIEWS:
        raise MucError(f"views is {views}; intervals over views need at least {FEWEST_VIEWS}")
    look, stages = _Look(with_text, views, seed), _Stages(progress, 2)
    first, second = (look.embed(encoder, [items], stages.next()) for encoder in (before, after))
    return gap_inference(first, second, permutations=permutations, seed=seed)


def most_asked(pictures: int, controls: int, *, decoys: int, views: int) -> tuple[int, int]:
    """How many pictures and texts an audit sends to an encoder at most.

    Args:
        decoys: of each picture.
    """
    items = pictures * (1 + decoys) + controls
    # of pictures besides views: themselves twice and four changed copies; of captions: three times, and changed twice
    return (views + 6) * items, 5 * items


def _told_others(encoders: Iterable[Encoder], decoys: Decoys | None) -> tuple[str, ...]:
    """What the questions gave away to those who run an encoder, a sentence."""
    names = list(dict.fromkeys(repr(encoder.name) for encoder in encoders if isinstance(encoder, OfOthers)))
    if not names:
        return ()
    who = f"Whoever runs {' and '.join(names)}"
    if decoys is None:
        return (
            f"{who} saw your pictures in this audit, and which of all they were: they came before the others, without "
            "decoys.",
        )
    return (
        f"{who} saw each of your pictures among {decoys.per_picture:,} decoys, in an order shuffled with the seed "
        f"{decoys.seed}. Which ones are yours can still be told by who holds your pictures, or those that the decoys "
        "are taken from, or who compares what both encoders make of each.",
    )


def stand_ins() -> Check:
    """The check that fails for controls of the last resort: none of the verdicts would be sound on them.

    Measured on the demo (docs/calibration.md): on such controls an honest Retrain is accused in nearly every audit, and
    an encoder may look forgetful that is not.
    """
    return Check(
        name=STAND_INS,
        passed=False,
        value="other people's pictures, strongly changed",
        meaning=TRANSFORMED,
    )


def _each_once(dataset: ImageTextDataset, whose: str) -> tuple[ImageTextDataset, tuple[str, ...]]:
    """The pictures without copies of one another: one picture counted often makes an audit surer than it is."""
    copies = copies_among(dataset)
    if not copies:
        return dataset, ()
    copy, first = next(iter(copies.items()))
    return without(dataset, copies), (
        f"Of {whose} {len(copies):,} {'is a copy' if len(copies) == 1 else 'are copies'} of another and left out, "
        f"such as {copy!r} of {first!r}: a picture counts once.",
    )


def some_retained(
    dataset: ImageTextDataset, split: DataSplit, owner: ImageTextDataset, *, seed: int
) -> ImageTextDataset | None:
    """`RETAINED` pictures of a split that were trained on and are not the owner's; None when there is none."""
    others = [item_id for item_id in split.retain if owner.find(item_id) is None]
    if not others:
        return None
    drawn = np.random.default_rng(seed).permutation(len(others))[:RETAINED]
    return dataset.subset([others[place] for place in np.sort(drawn)], name="retain")


def _draw(retained: ImageTextDataset, seed: int) -> ImageTextDataset:
    if len(retained) <= BYSTANDERS:
        return retained
    places = np.sort(np.random.default_rng(seed).choice(len(retained), BYSTANDERS, replace=False))
    return retained.subset([retained.item_ids[place] for place in places])


def _bystanders(controls: ImageTextDataset, retained: ImageTextDataset | None) -> list[Bystander]:
    """The controls that are looked at, then the retained pictures."""

    def of(group: Bystanders, items: Sequence[Item]) -> list[Bystander]:
        return [Bystander(item.id, group, item.label, item.text) for item in items]

    return of("controls", controls.items[:BYSTANDERS]) + of("retained", retained.items if retained else ())


@dataclass(frozen=True)
class _Look:
    """How pictures are shown to an encoder; views of a set are drawn once for all encoders."""

    with_text: bool
    views: int
    seed: int
    kept: dict[ImageTextDataset, KeptViews] = field(default_factory=dict)

    def embed(
        self,
        encoder: Encoder,
        parts: Sequence[ImageTextDataset],
        progress: Progress,
        *,
        decoys: Decoys | None = None,
    ) -> Vectors:
        """Vectors of all items, those of the first part first; the first part is hidden among the decoys."""
        hide = decoys if isinstance(encoder, OfOthers) else None
        seen = [
            embed_views(
                encoder,
                part,
                views=self.views,
                seed=self.seed,
                decoys=among,
                kept=self.kept.setdefault(part, {}),
                progress=progress,
            )
            for part, among in zip(parts, [hide, *[None] * (len(parts) - 1)], strict=True)
        ]
        views = torch.cat(seen, dim=1).numpy()
        if not self.with_text:
            return ViewVectors(views, similarity_of(encoder))
        texts = [item.text or "" for part in parts for item in part.items]
        others = [] if hide is None else captions_of(hide)
        asking = Asking(len(texts), len(others), torch.Generator() if hide is None else hide.generator())
        captions = asking.texts(encoder, [*texts, *others], range(len(texts)), progress).numpy()
        return ImageTextVectors(views, captions, similarity_of(encoder))


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
    if (uneven := _uneven_captions(owner, controls)) is None:
        return True, ()
    if mode == "image-text":
        raise MucError(f"{uneven}; give each picture a caption of its own, or use the mode two-view")
    return False, (f"{uneven}, so that only views of pictures are compared.",)


def _uneven_captions(owner: ImageTextDataset, controls: ImageTextDataset) -> str | None:
    """Why captions cannot be used: those of one group are shared by more others than those of the other group.

    A picture whose caption others have, too, stands out less from them, remembered or not.
    """
    count = Counter(item.text for item in _all_items(owner, controls))
    mine, theirs = (
        np.mean([count[item.text] - 1 for item in part.items]) / (count.total() - 1) for part in (owner, controls)
    )
    if abs(mine - theirs) <= UNEVEN_CAPTIONS:
        return None
    part, whose = (owner, "your pictures") if mine > theirs else (controls, "the controls")
    text, often = Counter(item.text for item in part.items).most_common(1)[0]
    return f"many of {whose} share a caption ({often:,} are called {text!r}) and the others do not"


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
