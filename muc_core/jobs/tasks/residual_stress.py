"""Residual stress as a job: does a trace of forgotten pictures come back when the weights are pushed a little?

For those who hold the weights. The encoder after is compared with the encoder before and, where there is one, with
Retrain: rounded to int8, along the straight line to the encoder before, under classifiers on its features, and after
relearning half of the forgotten pictures, when the other half is looked at. See `muc_core.evaluation.stress`.

    stress/KEY.json  what was found; KEY is made of the encoders, the items and the settings
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue, ValidationError
from torch import nn

from muc_core.audit.adjustment import adjust
from muc_core.audit.summary import summarise_factors
from muc_core.audit.vectors import ImageTextVectors, Vectors, ViewVectors, check_vectors
from muc_core.data.augment import AugmentSettings
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.family import fit_weights
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
from muc_core.jobs.fair_controls import PIXELS
from muc_core.jobs.relearning import Recipe, mixed_in, relearn
from muc_core.jobs.stages import Renamed, Stages
from muc_core.jobs.stress_plan import VIEWS, ResidualStressSettings, StressPlan, plan_stress
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import SILENT, Progress
from muc_core.stats.ranks import Float64
from muc_core.stats.rates import Rate
from muc_core.workspace import Workspace
from muc_core.workspace.files import write_file, writing

KIND = "residual_stress"
TRAINING_WEIGHT = 10
"""A relearning counts as many looks at all pictures."""

Positions: TypeAlias = npt.NDArray[np.intp]


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
    plan = plan_stress(workspace, settings)
    for name in plan.subjects.names.values():
        workspace.load(name)  # refuses weights that are not those saved
    key = plan.key
    found = read_stress(workspace, key)
    if found is not None:
        progress.report(1, 1, "these tests were made already")
        return key, found
    found = _Stress(plan, progress).run()
    path = workspace.home / "stress" / f"{key}.json"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, found.model_dump_json(indent=1).encode())
    return key, found


def find_stress(workspace: Workspace, settings: ResidualStressSettings) -> ResidualStress | None:
    """What was found with these settings; None when it has not been looked for. Raises as `stress`."""
    return read_stress(workspace, plan_stress(workspace, settings).key)


def read_stress(workspace: Workspace, key: str) -> ResidualStress | None:
    """The result of a key; None when there is none (or its file is damaged)."""
    try:
        return ResidualStress.model_validate_json((workspace.home / "stress" / f"{key}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


@dataclass(frozen=True)
class SavedStress:
    """A result that was kept, its key, and when it was found (UTC)."""

    key: str
    made: datetime
    result: ResidualStress


def saved_stresses(workspace: Workspace) -> list[SavedStress]:
    """All results that were kept, newest first; what another version wrote is left out."""
    found = []
    for path in (workspace.home / "stress").glob("[!.]*.json"):
        if (result := read_stress(workspace, path.stem)) is not None:
            found.append(SavedStress(path.stem, datetime.fromtimestamp(path.stat().st_mtime, UTC), result))
    return sorted(found, key=lambda one: one.made, reverse=True)


def run(settings: ResidualStressSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Stress an encoder. Returns `{"stress": key, "verdict": verdict}`; see `read_stress`."""
    key, found = stress(workspace, settings, progress=progress)
    return {"stress": key, "verdict": found.verdict}


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
    scores, traits = vectors.scores(ids), vectors.traits(seed)
    if np.ptp(scores.margin[n:]) < 1e-9:
        raise _Alike(f"{encoder.name} finds all controls equally alike; nothing can be compared with them")
    left = adjust(scores.margin[:n], scores.margin[n:], traits[:n], traits[n:])
    first = None
    if isinstance(vectors, ImageTextVectors):
        _, found = summarise_factors(vectors.factors())
        first = found.rank[:n] == 1
    return Reading(left.owner, left.controls, scores.positive[:n], scores.positive[n:], first)


def _vectors(encoder: Encoder, owner: ImageTextDataset, controls: ImageTextDataset, mode: Mode, seed: int) -> Vectors:
    parts = (owner, controls)
    if mode == "two-view":
        views = [embed_views(encoder, part, views=VIEWS, seed=seed) for part in parts]
        return ViewVectors(torch.cat(views, dim=1).numpy(), similarity_of(encoder))
    images = torch.cat([embed_images(encoder, part) for part in parts])
    texts = embed_texts(encoder, [text or "" for part in parts for text in part.texts])
    return ImageTextVectors(images[None].numpy(), texts.numpy(), similarity_of(encoder))


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

    def __init__(self, plan: StressPlan, progress: Progress) -> None:
        self._subjects = plan.subjects
        self._material = plan.material
        self._settings = plan.settings
        self._compared = plan.compared
        self._warnings: list[str] = []
        self._stages = Stages(progress, plan.looks + TRAINING_WEIGHT * plan.trainings)

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
            forget=self._settings.forget,
            controls=self._settings.controls,
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
                classes=self._subjects.manifests[role].classes,
                progress=Renamed(progress, f"relearning half {number} of {len(halves)} with {name}"),
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


TASKS.register(KIND, Task(KIND, ResidualStressSettings, run))
