"""Residual stress as a job: does a trace of forgotten pictures come back when the weights are pushed a little?

For those who hold the weights. The encoder after is compared with the encoder before and, where there is one, with
Retrain: rounded to int8, along the straight line to the encoder before, under classifiers on its features, and after
relearning half of the forgotten pictures, when the other half is looked at. See `muc_core.evaluation.stress`.

    stress/KEY.json  what was found; KEY is made of the encoders, the items and the settings
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from torch import nn

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.audit.adjustment import adjust
from muc_core.audit.audit import FEWEST_CONTROLS, FEWEST_ITEMS
from muc_core.audit.summary import summarise as summarise_alignment
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors, check_vectors
from muc_core.data.augment import AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_items
from muc_core.data.splits import DataSplit, set_apart
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.family import FAMILIES, Family, fit_weights
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.separation import linear_separation, neighbour_separation
from muc_core.evaluation.standing import Reading, Standing, over_halves, shift, summarise
from muc_core.evaluation.stress import (
    CurvePoint,
    Int8Stress,
    LinePoint,
    LineStress,
    Mode,
    RelearningStress,
    ResidualStress,
    Role,
    SeparationStress,
    judge_int8,
    judge_line,
    judge_relearning,
    judge_separation,
    overall,
)
from muc_core.evaluation.weights import Weights, int8_weights, straight_line
from muc_core.jobs.relearning import Recipe, mixed_in, relearn
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import SILENT, Progress
from muc_core.stats.ranks import Float64
from muc_core.stats.rates import Rate
from muc_core.workspace import Workspace
from muc_core.workspace.files import write_file, writing

KIND = "residual_stress"
VIEWS = 8
"""Views of each picture where views are compared with one another, as in the audit."""

PIXELS = 32
"""Side at which pictures are compared."""

TRAINING_WEIGHT = 10
"""A relearning counts as many looks at all pictures."""

Positions: TypeAlias = npt.NDArray[np.intp]

_FORMAT = 1


class ResidualStressSettings(BaseModel):
    """What to stress and how hard; the settings of relearning suit the demo's encoders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(description="name of the encoder before unlearning")
    after: str = Field(description="name of the encoder after unlearning")
    retrained: str | None = Field(default=None, description="name of an encoder trained without the forgotten pictures")
    forget: str = Field(default="forget", description="the forgotten pictures: a set such as owner:artist, or a path")
    controls: str = Field(default="held-out", description="pictures that none of the encoders was trained on")
    data: str | None = Field(default=None, description="what an encoder from elsewhere was trained on")
    steps: int = Field(default=40, ge=1, le=10_000, description="of each relearning")
    every: int = Field(default=10, ge=1, le=10_000, description="steps between two looks at the untouched half")
    pass_steps: int = Field(
        default=5, ge=1, le=10_000, description="steps in which each picture to relearn is seen once, among others"
    )
    splits: int = Field(default=2, ge=1, le=50, description="of the pictures into halves; each half is relearned once")
    batch_size: int = Field(default=64, ge=2, le=65_536, description="pictures in a step of relearning")
    learning_rate: float = Field(default=1e-3, gt=0, le=10, description="of relearning, with AdamW")
    points: int = Field(default=5, ge=3, le=101, description="on the straight line, both ends among them")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the halves, the trainings, the views and the tests")


def stress(
    workspace: Workspace, settings: ResidualStressSettings, *, progress: Progress = SILENT
) -> tuple[str, ResidualStress]:
    """Stress an encoder, unless that has been done, and keep what was found.

    Returns:
        The key of the result and the result; see `read_stress`.

    Raises:
        UnknownName: no such encoder or set.
        MucError: weights that cannot be trained here, encoders that do not belong together, too few pictures, pictures
            without captions where the encoder learns from them, controls that were trained on.
        Cancelled: from `progress`.
    """
    subjects = _subjects(workspace, settings)
    material = _material(subjects, settings)
    for name in subjects.names.values():
        workspace.load(name)  # refuses weights that are not those saved
    key = _key(subjects, material, settings)
    found = read_stress(workspace, key)
    if found is not None:
        progress.report(1, 1, "these tests were made already")
        return key, found
    found = _Stress(subjects, material, settings, progress).run()
    path = workspace.home / "stress" / f"{key}.json"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, found.model_dump_json(indent=1).encode())
    return key, found


def find_stress(workspace: Workspace, settings: ResidualStressSettings) -> ResidualStress | None:
    """What was found with these settings; None when it has not been looked for. Raises as `stress`."""
    subjects = _subjects(workspace, settings)
    return read_stress(workspace, _key(subjects, _material(subjects, settings), settings))


def read_stress(workspace: Workspace, key: str) -> ResidualStress | None:
    """The result of a key; None when there is none (or its file is damaged)."""
    try:
        return ResidualStress.model_validate_json((workspace.home / "stress" / f"{key}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def run(settings: ResidualStressSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Stress an encoder. Returns `{"stress": key, "verdict": verdict}`; see `read_stress`."""
    key, found = stress(workspace, settings, progress=progress)
    return {"stress": key, "verdict": found.verdict}


@dataclass(frozen=True, eq=False)
class _Subjects:
    """The encoders by role, all of one family and architecture."""

    manifests: dict[Role, EncoderManifest]
    weights: dict[Role, Weights]

    @property
    def family(self) -> Family:
        return FAMILIES.get(self.manifests["after"].family)

    @property
    def names(self) -> dict[Role, str]:
        return {role: manifest.name for role, manifest in self.manifests.items()}

    def encoder(self, role: Role, weights: Weights | None = None) -> Encoder:
        """The encoder of a role, or one like it with other weights."""
        return self.family.encoder(self.weights[role] if weights is None else weights, self.manifests[role])


def _subjects(workspace: Workspace, settings: ResidualStressSettings) -> _Subjects:
    named: dict[Role, str | None] = {
        "before": settings.before,
        "after": settings.after,
        "retrained": settings.retrained,
    }
    records = {role: workspace.encoder(name) for role, name in named.items() if name is not None}
    for record in records.values():
        manifest = record.manifest
        if manifest.family not in FAMILIES.names():
            raise MucError(
                f"{manifest.name!r} is opened as {manifest.family}, which answers questions but whose weights cannot "
                f"be changed or trained here; residual stress needs encoders of {', '.join(FAMILIES.names())}"
            )
    kinds = {role: (record.manifest.family, record.manifest.architecture) for role, record in records.items()}
    for role, kind in kinds.items():
        if kind != kinds["after"]:
            raise MucError(
                f"{named[role]!r} is a {' '.join(kind)} and {settings.after!r} a {' '.join(kinds['after'])}; residual "
                "stress compares encoders of one architecture"
            )
    return _Subjects(
        {role: record.manifest for role, record in records.items()},
        # what only training needs, such as a momentum encoder, is there in some and not in others
        {
            role: FAMILIES.get(record.manifest.family).finished(load_weights(record.weights))
            for role, record in records.items()
        },
    )


@dataclass(frozen=True, eq=False)
class _Material:
    """Pictures that were forgotten, controls, and retained pictures to mix in when relearning."""

    owner: ImageTextDataset
    controls: ImageTextDataset
    retain: ImageTextDataset
    mode: Mode


def _material(subjects: _Subjects, settings: ResidualStressSettings) -> _Material:
    manifests = subjects.manifests
    reference = manifests["after"].data or manifests["before"].data
    if reference is None and settings.data is None:
        raise MucError(
            f"it is not known what {settings.after!r} was trained on, and relearning mixes some of it in; name its "
            "training data (--data)"
        )
    dataset = load_dataset(settings.data or (reference.spec if reference else ""))
    split = reference.split if reference is not None and dataset.digest() == reference.digest else None
    if reference is not None and split is None:
        raise MucError(
            f"the data are not those that {settings.after!r} was trained on ({reference.spec!r}); restore them"
        )
    owner = resolve_items(settings.forget, dataset=dataset, split=split)
    controls = resolve_items(settings.controls, dataset=dataset, split=split)
    _check_counts(owner, controls)
    _check_never_seen(owner, controls, dataset, split, manifests)
    trained = split.retain if split else sorted(set(dataset.ids) - set_apart(dataset.ids))
    taken = {*owner.ids, *controls.ids}
    left = [item_id for item_id in trained if item_id not in taken]
    if not left:
        raise MucError("the training data hold no other pictures to mix into relearning; name data that do (--data)")
    retain = dataset.subset(left)
    with_text = subjects.family.has_text
    if with_text:
        for part in (owner, controls):
            if silent := next((item.id for item in part.items if not item.text), None):
                raise MucError(
                    f"{silent!r} has no caption, and {subjects.family.name} is relearned from captions; give every "
                    "picture one"
                )
    return _Material(owner, controls, retain, "image-text" if with_text else "two-view")


def _check_counts(owner: ImageTextDataset, controls: ImageTextDataset) -> None:
    if len(owner) < 2 * FEWEST_ITEMS:
        raise MucError(
            f"there are {len(owner)} forgotten pictures; at least {2 * FEWEST_ITEMS} are needed, because half of them "
            "are relearned and the other half looked at"
        )
    if len(controls) < FEWEST_CONTROLS:
        raise MucError(
            f"there are {len(controls)} controls; at least {FEWEST_CONTROLS} are needed to say how never-seen pictures "
            "spread"
        )


def _check_never_seen(
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    dataset: ImageTextDataset,
    split: DataSplit | None,
    manifests: Mapping[Role, EncoderManifest],
) -> None:
    """Controls must be new to all encoders, and the forgotten pictures to Retrain."""
    if both := sorted(set(owner.ids) & set(controls.ids)):
        raise MucError(f"{both[0]!r} is both forgotten and a control; take it out of the controls")
    if split is not None and (wrong := _seen(controls, dataset, split.train)):
        raise MucError(f"the control {wrong[0]!r} was trained on; choose controls that were not, such as held-out")
    retrained = manifests.get("retrained")
    if split is None or retrained is None or retrained.data is None:
        return
    # the split of an unlearned encoder still names what it left out
    theirs = retrained.data.split
    if wrong := _seen(owner, dataset, theirs.retain if retrained.method == "retrain" else theirs.train):
        raise MucError(
            f"{retrained.name!r} was trained on {wrong[0]!r} (on {len(wrong)} of the forgotten pictures), so it is no "
            "Retrain for them; name one that never saw them, or none"
        )


def _seen(items: ImageTextDataset, dataset: ImageTextDataset, trained: Sequence[str]) -> list[str]:
    """Ids of items that are the pictures of that id in the data; uploads may bear the same names."""
    known = set(trained)
    common = [item_id for item_id in items.ids if item_id in known]
    if not common:
        return []
    ours, theirs = items.subset(common).images(PIXELS), dataset.subset(common).images(PIXELS)
    same = (ours == theirs).flatten(1).all(dim=1).tolist()
    return [item_id for item_id, is_same in zip(common, same, strict=True) if is_same]


def _key(subjects: _Subjects, material: _Material, settings: ResidualStressSettings) -> str:
    content = {
        "format": _FORMAT,
        # by name too, because the result calls the encoders by their names
        "encoders": {role: [m.name, m.content_digest] for role, m in subjects.manifests.items()},
        "items": [part.digest() for part in (material.owner, material.controls, material.retain)],
        "settings": settings.model_dump(
            mode="json", exclude={"before", "after", "retrained", "forget", "controls", "data"}
        ),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


class _Alike(MucError):
    """An encoder tells no items apart, so that nothing stands above anything."""


def _reading(encoder: Encoder, owner: ImageTextDataset, controls: ImageTextDataset, mode: Mode, seed: int) -> Reading:
    """Margins less what the items' traits lead to expect, as in the audit.

    Pictures are looked at as they are where there are captions, otherwise in VIEWS views.
    """
    ids = [*owner.ids, *controls.ids]
    vectors = _vectors(encoder, owner, controls, mode, seed)
    check_vectors(vectors, ids, encoder.name)
    n = len(owner)
    scores = vectors.scores(ids, seed)
    if np.ptp(scores.margin[n:]) < 1e-9:
        raise _Alike(f"{encoder.name} finds all controls equally alike; nothing can be compared with them")
    left = adjust(scores.margin[:n], scores.margin[n:], scores.traits[:n], scores.traits[n:])
    first = None
    if isinstance(vectors, ImageTextVectors):
        _, found = summarise_alignment(vectors.images, vectors.texts)
        first = found.rank[:n] == 1
    return Reading(left.owner, left.controls, scores.positive[:n], scores.positive[n:], first)


def _vectors(encoder: Encoder, owner: ImageTextDataset, controls: ImageTextDataset, mode: Mode, seed: int) -> Vectors:
    parts = (owner, controls)
    if mode == "two-view":
        views = [embed_views(encoder, part, views=VIEWS, seed=seed) for part in parts]
        return ViewVectors(torch.cat(views, dim=1).numpy())
    images = torch.cat([embed_images(encoder, part) for part in parts])
    texts = embed_texts(encoder, [text or "" for part in parts for text in part.texts])
    return ImageTextVectors(images[None].numpy(), texts.numpy())


@dataclass(frozen=True, eq=False)
class _Half:
    """One training: what it relearns, what it mixes in, and which owner's items and controls it is judged by."""

    known: ImageTextDataset
    retain: ImageTextDataset
    untouched: Positions
    controls: Positions
    seed: int


@dataclass(frozen=True, eq=False)
class _Relearned:
    """Readings of the untouched halves, a list of (step, reading) for each half."""

    halves: list[_Half]
    looks: list[list[tuple[int, Reading]]]

    def standings(self, look: int, n: int, m: int) -> tuple[Float64, Float64]:
        """Mean standing of every owner's item `[n]` and control `[m]` over the halves that it is judged in."""
        owner, controls = np.zeros((2, n)), np.zeros((2, m))
        for half, looks in zip(self.halves, self.looks, strict=True):
            untouched, others = looks[look][1].standings
            owner[:, half.untouched] += np.stack([untouched, np.ones(len(untouched))])
            controls[:, half.controls] += np.stack([others[half.controls], np.ones(len(half.controls))])
        return owner[0] / owner[1], controls[0] / controls[1]

    def curve(self) -> tuple[CurvePoint, ...]:
        points = []
        for at_once in zip(*self.looks, strict=True):
            readings = [reading for _, reading in at_once]
            firsts = [reading.first.mean() for reading in readings if reading.first is not None]
            points.append(
                CurvePoint(
                    step=at_once[0][0],
                    effect=over_halves(np.array([reading.standings[0].mean() for reading in readings])),
                    positive=over_halves(np.array([reading.positive.mean() for reading in readings])),
                    control_positive=over_halves(np.array([reading.control_positive.mean() for reading in readings])),
                    first=over_halves(np.array(firsts)) if firsts else None,
                )
            )
        return tuple(points)


class _Stress:
    """All tests on one set of encoders."""

    def __init__(
        self, subjects: _Subjects, material: _Material, settings: ResidualStressSettings, progress: Progress
    ) -> None:
        self._subjects = subjects
        self._material = material
        self._settings = settings
        self._warnings: list[str] = []
        self._compared: list[Role] = [role for role in ("after", "retrained") if role in subjects.manifests]
        looks = 3 * len(subjects.manifests) + len(self._compared) * (settings.points - 2)
        trainings = len(self._compared) * 2 * settings.splits
        self._stages = _Stages(progress, looks + TRAINING_WEIGHT * trainings)

    def run(self) -> ResidualStress:
        names = self._subjects.names
        rest = {role: self._read(self._subjects.encoder(role), f"looking at {names[role]}") for role in names}
        standings = {role: summarise(reading, seed=self._settings.seed) for role, reading in rest.items()}
        int8 = self._int8(rest, standings)
        line = self._line(standings)
        separation = self._separation()
        relearning = self._relearning(rest, standings)
        if "retrained" not in names:
            self._warnings.append(
                "Without Retrain it is not known what pictures that the encoder truly never saw would do: where they "
                "are of one kind or style, half of them may teach something about the other half."
            )
        manifests = self._subjects.manifests
        return ResidualStress(
            encoders=names,
            digests={role: manifest.content_digest for role, manifest in manifests.items()},
            mode=self._material.mode,
            n_items=len(self._material.owner),
            n_controls=len(self._material.controls),
            seed=self._settings.seed,
            int8=int8,
            line=line,
            separation=separation,
            relearning=relearning,
            verdict=overall(int8, separation, relearning),
            warnings=tuple(self._warnings),
        )

    def _read(self, encoder: Encoder, message: str) -> Reading:
        self._stages.next(1).report(0, 1, message)
        return _reading(
            encoder, self._material.owner, self._material.controls, self._material.mode, self._settings.seed
        )

    def _int8(self, rest: Mapping[Role, Reading], plain: dict[Role, Standing]) -> Int8Stress:
        subjects = self._subjects
        rounded = {
            role: self._read(subjects.encoder(role, int8_weights(weights)), f"rounding {subjects.names[role]} to int8")
            for role, weights in subjects.weights.items()
        }
        moved = _moved(rest["after"].standings, rounded["after"].standings)
        seed = self._settings.seed
        return judge_int8(
            plain,
            {role: summarise(reading, seed=seed) for role, reading in rounded.items()},
            shift(*moved, seed=seed),
        )

    def _line(self, standings: Mapping[Role, Standing]) -> LineStress:
        weights = self._subjects.weights
        points = []
        for share in np.linspace(0, 1, self._settings.points).tolist():
            found: dict[Role, Standing] = {}
            for role in self._compared:
                if share in (0, 1):
                    found[role] = standings[role if share == 0 else "before"]
                    continue
                encoder = self._subjects.encoder(role, straight_line(weights[role], weights["before"], share))
                message = f"{share:.0%} of the way from {self._subjects.names[role]} to {self._settings.before}"
                try:
                    found[role] = summarise(self._read(encoder, message), seed=self._settings.seed)
                except _Alike:
                    self._warnings.append(f"{message}, the encoder tells no pictures apart; the point is left out.")
            points.append(LinePoint(share=share, standings=found))
        return judge_line(tuple(points))

    def _separation(self) -> SeparationStress:
        linear, neighbours = dict[Role, Rate](), dict[Role, Rate]()
        for role, manifest in self._subjects.manifests.items():
            self._stages.next(1).report(0, 1, f"classifying the features of {manifest.name}")
            # a CLIP has no projection head: its image_features are taken
            encoder = self._subjects.family.encoder(
                self._subjects.weights[role], manifest.model_copy(update={"output": "features"})
            )
            owner, controls = (
                embed_images(encoder, part).numpy() for part in (self._material.owner, self._material.controls)
            )
            linear[role] = linear_separation(owner, controls, seed=self._settings.seed)
            neighbours[role] = neighbour_separation(owner, controls, seed=self._settings.seed)
        return judge_separation(linear, neighbours)

    def _relearning(self, rest: Mapping[Role, Reading], standings: Mapping[Role, Standing]) -> RelearningStress:
        halves = self._halves()
        relearned = {role: self._relearned(role, halves) for role in self._compared}
        n, m = len(self._material.owner), len(self._material.controls)
        start, end = (relearned["after"].standings(look, n, m) for look in (0, -1))
        rise, level = _moved(start, end), end
        if "retrained" in relearned:
            start, end = (relearned["retrained"].standings(look, n, m) for look in (0, -1))
            rise, level = _moved(_moved(start, end), rise), _moved(end, level)
        seed = self._settings.seed
        return judge_relearning(
            {role: found.curve() for role, found in relearned.items()},
            before=standings["before"],
            rest=standings["after"],
            still=shift(*rest["after"].standings, seed=seed),
            rise=shift(*rise, seed=seed),
            level=shift(*level, seed=seed),
            halves=len(halves),
        )

    def _halves(self) -> list[_Half]:
        """Each split gives two trainings, so that every item is untouched in one of them; controls are dealt alike."""
        material, recipe = self._material, self._recipe()
        halves = []
        for number in range(self._settings.splits):
            draw = np.random.default_rng([self._settings.seed, number])
            owner = np.array_split(draw.permutation(len(material.owner)), 2)
            controls = np.array_split(draw.permutation(len(material.controls)), 2)
            for side in (0, 1):
                count = mixed_in(len(owner[1 - side]), len(material.retain), recipe)
                mixed = draw.choice(len(material.retain), count, replace=False)
                halves.append(
                    _Half(
                        known=_at(material.owner, owner[1 - side]),
                        retain=_without(_at(material.retain, mixed), material.owner),
                        untouched=np.sort(owner[side]),
                        controls=np.sort(controls[side]),
                        seed=int(draw.integers(2**31)),
                    )
                )
        return halves

    def _relearned(self, role: Role, halves: list[_Half]) -> _Relearned:
        name = self._subjects.names[role]
        looks = []
        for number, half in enumerate(halves, start=1):
            progress = self._stages.next(TRAINING_WEIGHT)
            progress.report(0, 1, f"relearning half {number} of {len(halves)} with {name}")
            untouched = _at(self._material.owner, half.untouched)
            model = self._model(role)
            looks.append([(0, self._look(role, self._subjects.weights[role], untouched))])
            for step, weights in relearn(
                model,
                self._subjects.family,
                self._subjects.manifests[role].architecture,
                known=half.known,
                retain=half.retain,
                recipe=self._recipe(),
                seed=half.seed,
                progress=_Renamed(progress, f"relearning half {number} of {len(halves)} with {name}"),
            ):
                looks[-1].append((step, self._look(role, weights, untouched)))
        return _Relearned(halves, looks)

    def _look(self, role: Role, weights: Weights, untouched: ImageTextDataset) -> Reading:
        encoder = self._subjects.encoder(role, weights)
        return _reading(encoder, untouched, self._material.controls, self._material.mode, self._settings.seed)

    def _model(self, role: Role) -> nn.Module:
        manifest, family = self._subjects.manifests[role], self._subjects.family
        model: nn.Module = family.build(manifest.architecture, self._settings.seed)
        if manifest.preprocessing is not None:
            family.set_preprocessing(model, manifest.preprocessing)
        fit_weights(model, self._subjects.weights[role], manifest)
        return model

    def _recipe(self) -> Recipe:
        settings = self._settings
        # views as in training, where that is known
        augment = self._subjects.manifests["before"].settings.get("augment")
        return Recipe(
            steps=settings.steps,
            every=settings.every,
            pass_steps=settings.pass_steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            augment=None if augment is None else AugmentSettings.model_validate(augment),
        )


def _moved(start: tuple[Float64, Float64], end: tuple[Float64, Float64]) -> tuple[Float64, Float64]:
    return end[0] - start[0], end[1] - start[1]


def _at(dataset: ImageTextDataset, positions: Positions) -> ImageTextDataset:
    return dataset.subset([dataset.item_ids[position] for position in sorted(positions.tolist())])


def _without(retain: ImageTextDataset, owner: ImageTextDataset) -> ImageTextDataset:
    """Takes out what is the same picture as one of the owner's, which may be in the data under another name."""
    hers = {pixels.tobytes() for pixels in owner.images(PIXELS).numpy()}
    others = [
        item_id
        for item_id, pixels in zip(retain.ids, retain.images(PIXELS).numpy(), strict=True)
        if pixels.tobytes() not in hers
    ]
    return retain.subset(others)


class _Stages:
    """Progress over pieces of work of different weight, told as one."""

    def __init__(self, whole: Progress, total: int) -> None:
        self._whole = whole
        self._total = total
        self._begun = 0

    def next(self, weight: int) -> Progress:
        self._begun += weight
        return _Stage(self._whole, self._begun - weight, weight, self._total)


@dataclass(frozen=True)
class _Stage:
    whole: Progress
    start: int
    weight: int
    total: int

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        share = min(step / max(total, 1), 1.0)
        self.whole.report(round(100 * (self.start + self.weight * share)), 100 * self.total, message, values)


@dataclass(frozen=True)
class _Renamed:
    """Progress of a training under another message."""

    inner: Progress
    message: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.inner.report(step, total, self.message)


TASKS.register(KIND, Task(KIND, ResidualStressSettings, run))
