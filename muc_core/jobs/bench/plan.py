"""What a bench makes and evaluates, with which settings and seeds."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.encoders.family import FAMILIES
from muc_core.errors import MucError, UnknownName
from muc_core.jobs.bench.results import Result
from muc_core.jobs.demo import ORIGINALS, UNLEARNED
from muc_core.jobs.presets import PRESETS
from muc_core.jobs.tasks.train import TrainJob
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.unlearning.method import METHODS, Method

ORIGINAL, RETRAIN = "original", "retrain"
FORGET = "owner:artist"
RANDOM_TENTH = "random:10%"
CONTRAST = "+contrast"
"""Behind the name of a method: with CoUn's contrastive term, as strong as in CoUn."""
CONTRASTED = (f"neggrad{CONTRAST}", f"l1{CONTRAST}")
"""Run like methods; Fine-tune with the term is CoUn."""
SEARCH_SEED = 900
"""Of every trial of a search: none of the bench's unlearnings has it."""

Values = dict[str, JsonValue]


class Plan(BaseModel):
    """What to run.

    Attributes:
        families: of the demo's originals, such as "clip", or the name of one preset.
        methods: names of unlearning methods, perhaps with CONTRAST behind them; Retrain is always among them.
        train_seeds, unlearn_seeds, eval_seeds: how many of each, from 0 on.
        epochs_scale: share of every recipe's epochs, at least one epoch: less than 1 is a rehearsal.
        data: what a preset is trained on when it does not say.
        forget: the forget set.
        search: trials by which each method's settings were found; 0: they are the recipes.
        settings: by family and method, what differs from the recipe.
        stress: whether every unlearned encoder is stressed as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    families: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1)
    train_seeds: int = Field(default=3, ge=1, le=100)
    unlearn_seeds: int = Field(default=2, ge=1, le=100)
    eval_seeds: int = Field(default=1, ge=1, le=100)
    epochs_scale: float = Field(default=1.0, gt=0, le=10)
    data: str | None = None
    forget: str = FORGET
    search: int = Field(default=0, ge=0)
    settings: dict[str, dict[str, Values]] = Field(default_factory=dict)
    stress: bool = False

    def methods_of(self, family: str) -> list[str]:
        """The methods that work on a family of the demo, or on that of a preset."""
        return [method for method in self.methods if _suits(method, _encoders_of(family))]

    def changed(self, family: str, method: str) -> Values:
        return self.settings.get(family, {}).get(method, {})


@dataclass(frozen=True)
class Made:
    """An encoder of the plan: how it is made, and the name of the one it is made from."""

    family: str
    method: str
    train_seed: int
    unlearn_seed: int
    job: TrainJob | UnlearnJob

    @property
    def name(self) -> str:
        return self.job.name

    @property
    def original(self) -> str:
        return self.job.original if isinstance(self.job, UnlearnJob) else self.job.name


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of the plan.

    Attributes:
        made: the encoder.
        retrained: Retrain to compare with; None: there is none other.
        seed: of the evaluation.
        stress: whether it is stressed in place of evaluated and audited.
    """

    made: Made
    retrained: Made | None
    seed: int
    stress: bool = False

    @property
    def key(self) -> str:
        retrained = None if self.retrained is None else self.retrained.name
        return _digest([self.made.name, self.made.original, retrained, self.seed, *(["stress"] if self.stress else [])])

    def result(self, **found: Any) -> Result:
        made = self.made
        return Result(
            key=self.key,
            family=made.family,
            method=made.method,
            train_seed=made.train_seed,
            unlearn_seed=made.unlearn_seed,
            eval_seed=self.seed,
            settings=made.job.settings,
            **found,
        )


def known_families() -> tuple[str, ...]:
    """Families of which the demo has an original with unlearned encoders, or a preset that makes some."""
    made_from = {job.original for job in UNLEARNED}
    shipped = [job.family for job in ORIGINALS if job.name in made_from]
    return tuple(dict.fromkeys([*shipped, *(p.family for p in PRESETS if p.name == f"demo-{p.family}")]))


def make_plan(
    *,
    families: Sequence[str] = (),
    preset: str | None = None,
    data: str | None = None,
    forget: str | None = None,
    methods: Sequence[str] = (),
    train_seeds: int = 3,
    unlearn_seeds: int = 2,
    eval_seeds: int = 1,
    epochs_scale: float = 1.0,
    stress: bool = False,
) -> Plan:
    """A plan; no methods: all that work on the family, and on classifiers those of `CONTRASTED`.

    Args:
        families: of the demo; none: all that it has.
        preset: in place of families of the demo; `data` is what to train on when the preset does not say.
        forget: the forget set; None: the artist's drawings in the demo, a tenth at random elsewhere.

    Raises:
        UnknownName: families, methods or a preset that are not known.
        MucError: both families and a preset, data without a preset, or a method that works on none of the families.
    """
    if preset is None:
        if data is not None:
            raise MucError("name the preset that is to be trained on these data; the demo has its own")
        for family in families:
            if family not in known_families():
                raise UnknownName(f"the demo has no family {family!r} to run; known: {', '.join(known_families())}")
    elif families:
        raise MucError("name families of the demo or a preset, not both")
    else:
        PRESETS.get(preset).job("original", data=data)  # refuses a preset without data
    subjects = (preset,) if preset else tuple(dict.fromkeys(families or known_families()))
    for method in methods:
        if not any(_suits(method, _encoders_of(subject)) for subject in subjects):
            registered(method).check_family(_encoders_of(subjects[0]))
            raise MucError(f"{method} is for encoders that learn from classes; take {method.removesuffix(CONTRAST)}")
    chosen = methods or (*METHODS.names(), *CONTRASTED)
    return Plan(
        families=subjects,
        data=data,
        forget=forget or (FORGET if preset is None or PRESETS.get(preset).data == "demo" else RANDOM_TENTH),
        methods=(*(name for name in METHODS.names() if name in {*chosen, RETRAIN}), *_contrasted(chosen)),
        train_seeds=train_seeds,
        unlearn_seeds=unlearn_seeds,
        eval_seeds=eval_seeds,
        epochs_scale=epochs_scale,
        stress=stress,
    )


def registered(method: str) -> Method[Any]:
    """The method of a plan's name for it. Raises `UnknownName`."""
    return METHODS.get(method.removesuffix(CONTRAST))


def _contrasted(methods: Sequence[str]) -> Iterator[str]:
    return (method for method in dict.fromkeys(methods) if method.endswith(CONTRAST))


def _suits(method: str, family: str) -> bool:
    return registered(method).works_on(family) and (not method.endswith(CONTRAST) or FAMILIES.get(family).has_classes)


def evaluations(plan: Plan) -> list[Evaluated]:
    """All evaluations of a plan, originals and Retrains first."""
    found: list[Evaluated] = []
    for family in plan.families:
        for train_seed in range(plan.train_seeds):
            original = _original(family, train_seed, plan)
            made = {
                (method, seed): _unlearned(original, method, seed, plan)
                for method in plan.methods_of(family)
                for seed in range(plan.unlearn_seeds)
            }
            for eval_seed in range(plan.eval_seeds):
                found.append(Evaluated(original, made[RETRAIN, 0], eval_seed))
                for (method, seed), each in made.items():
                    other = made[RETRAIN, (seed + 1) % plan.unlearn_seeds]
                    reference = other if method == RETRAIN else made[RETRAIN, seed]
                    found.append(Evaluated(each, None if reference is each else reference, eval_seed))
    if plan.stress:
        found += [replace(each, stress=True) for each in found if each.made.method != ORIGINAL and each.retrained]
    return sorted(found, key=lambda each: (each.stress, each.seed, each.made.method not in (ORIGINAL, RETRAIN)))


def needed(each: Evaluated) -> Iterator[Made]:
    """The encoders that an evaluation needs, beside its original."""
    yield each.made
    if each.retrained is not None:
        yield each.retrained


def _encoders_of(family: str) -> str:
    return PRESETS.get(family).family if family in PRESETS.names() else family


def first_original(plan: Plan, family: str) -> Made:
    """The original that settings are searched on."""
    return _original(family, 0, plan)


def trial(original: Made, method: str, changed: Values, plan: Plan) -> Made:
    """An encoder unlearned with settings on trial."""
    settings = _scaled({**recipe_of(original.family, method), **changed}, plan.epochs_scale)
    return _made(original, method, 0, settings, plan.forget, SEARCH_SEED)


def _original(family: str, seed: int, plan: Plan) -> Made:
    if family in PRESETS.names():
        recipe = PRESETS.get(family).job(family, data=plan.data)
        epochs = METHODS.get(RETRAIN).settings().epochs
        recipe = recipe.model_copy(update={"settings": {"epochs": epochs, **recipe.settings}})
    else:
        name = f"demo-{family}"
        shipped = next((job for job in ORIGINALS if job.name == name), None)
        recipe = shipped or PRESETS.get(name).job(name)
    settings = _scaled(recipe.settings, plan.epochs_scale)
    content = recipe.model_copy(update={"settings": settings, "seed": seed})
    name = f"{family}-{ORIGINAL}-t{seed}-{_digest(content.model_dump(mode='json'))[:8]}"
    return Made(family, ORIGINAL, seed, 0, content.model_copy(update={"name": name}))


def _unlearned(original: Made, method: str, seed: int, plan: Plan) -> Made:
    family = original.family
    settings = _scaled({**recipe_of(family, method), **plan.changed(family, method)}, plan.epochs_scale)
    # a seed of its own: Retrain must not begin with the original's weights
    return _made(original, method, seed, settings, plan.forget, 1000 + 100 * original.train_seed + seed)


def _made(original: Made, method: str, number: int, settings: Values, forget: str, seed: int) -> Made:
    base = registered(method).name
    job = UnlearnJob(name="unnamed", method=base, original=original.name, forget=forget, settings=settings, seed=seed)
    name = f"{original.family}-{base}-t{original.train_seed}-u{number}-{_digest(job.model_dump(mode='json'))[:8]}"
    return Made(original.family, method, original.train_seed, number, job.model_copy(update={"name": name}))


def recipe_of(family: str, method: str) -> Values:
    """Settings of a method: the demo's, else those that suit the preset, else its defaults."""
    found = {job.method: job.settings for job in UNLEARNED if job.original == f"demo-{family}"}
    preset = family if family in PRESETS.names() else f"demo-{family}"
    suited = PRESETS.get(preset).unlearning if preset in PRESETS.names() else {}
    base = registered(method)
    given = {**found.get(base.name, suited.get(base.name, {})), "checkpoints": 1}
    if method.endswith(CONTRAST):
        given["contrast"] = METHODS.get("coun").settings().contrast
    return {"epochs": base.settings().epochs, **given}


def _scaled(settings: Mapping[str, JsonValue], scale: float) -> Values:
    epochs = settings["epochs"]
    assert isinstance(epochs, int)
    return {**settings, "epochs": max(1, round(epochs * scale)), "checkpoints": 1}


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
