"""The search for the settings of each method: as many trials for each, judged by what no test looks at.

A trial unlearns from the first original with other settings. Its *miss* is the mean absolute difference of the forget
set's figures to those of calibration pictures, which nothing was trained on, and of the retain set's to what they were
in the original: how often the own caption is the nearest of all and how near it is, or how often and how surely a
classifier names the true class; without either, the same of a picture's own views. Neither Retrain nor a held-out
picture, which is what the bench evaluates with, has a part in it. Only Control-matched AC looks at calibration pictures
in training, too.

OUT/search.jsonl  a trial a line, see `Trial`
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.encoders.base import Classifier, Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.errors import MucError
from muc_core.evaluation.classifier import set_answers
from muc_core.evaluation.utility import SetFigures, mean_difference, set_retrieval
from muc_core.jobs.bench.plan import ORIGINAL, RETRAIN, Made, Plan, Values, first_original, recipe_of, registered, trial
from muc_core.jobs.bench.pool import Answer, Device, attempt, crew, spread
from muc_core.jobs.bench.results import read_records
from muc_core.jobs.bench.work import make
from muc_core.jobs.tuning.measure import Material, Yardstick, look, pool_figures, set_figures
from muc_core.progress import SILENT, Progress
from muc_core.unlearning.settings import CalibrationSettings
from muc_core.workspace import Workspace

if TYPE_CHECKING:  # optuna brings a database; it is loaded by a search alone
    from optuna import Trial as Asked
    from optuna.distributions import BaseDistribution

TRIALS = "search.jsonl"
NARROW, WIDE = 4.0, 8.0
"""The learning rate is searched within this factor of the recipe's, a method's own strengths within the wider one."""

_YARDSTICK = Yardstick(views=4, seed=1)
_FIRST_AT_RANDOM = 5


class Sets(BaseModel):
    """What an encoder makes of the forget set, of calibration and of retained pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forget: SetFigures
    calibration: SetFigures
    retain: SetFigures

    def miss(self, original: "Sets") -> float:
        """See the module; 0: as if it had never seen the forget set, and the rest as before."""
        return mean_difference([self.forget, self.retain], [self.calibration, original.retain])


class Trial(BaseModel):
    """Settings that were tried.

    Attributes:
        number: from 0 within its family and method; 0 is the recipe.
        epochs_scale: of the plan.
        changed: the settings that are searched.
        miss: None when no encoder came of it, for the reason in `error`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    method: str
    number: int
    epochs_scale: float
    changed: dict[str, JsonValue]
    miss: float | None = None
    sets: Sets | None = None
    error: str | None = None


def search(
    plan: Plan,
    out: Path,
    home: Path,
    *,
    trials: int,
    processes: int,
    device: Device,
    deadline: float | None = None,
    progress: Progress = SILENT,
) -> Plan | None:
    """The plan with the settings of the smallest miss among `trials` of each method.

    Trials on record in `out` are not done again. Several methods are searched at a time, each a trial after the other.

    Returns:
        None when the deadline, in seconds of `time.time()`, passed before.

    Raises:
        MucError: no calibration pictures, a damaged record, or a method of which no trial gave an encoder.
        Cancelled: from `progress`.
    """
    known = [each for each in read_records(out / TRIALS, Trial) if each.epochs_scale == plan.epochs_scale]
    methods = {name: [method for method in plan.methods_of(name) if method != RETRAIN] for name in plan.families}
    total = trials * sum(map(len, methods.values()))
    studies = []
    with crew(home, processes=processes, device=device) as pool, (out / TRIALS).open("a", encoding="utf-8") as record:
        for family in plan.families:
            original = first_original(plan, family)
            before = {
                method: [each for each in known if (each.family, each.method) == (family, method)][:trials]
                for method in methods[family]
            }
            at_first: Answer[Sets] = Answer()
            if any(len(each) < trials for each in before.values()):
                progress.report(0, total, f"{family} original")
                at_first = pool.submit(attempt, _try, (original, plan.forget), deadline).result()
                if at_first.stopped:
                    return None
                if at_first.value is None:
                    raise MucError(at_first.error or at_first.defect or "")
            studies += [_Study(plan, original, at_first.value, method, each) for method, each in before.items()]
        for found in _run(studies, trials, pool, processes, deadline):
            record.write(found.model_dump_json() + "\n")
            record.flush()
            done = sum(len(study.trials) for study in studies)
            progress.report(done, total, f"{found.family} {found.method}, trial {found.number + 1} of {trials}")
    if any(len(study.trials) < trials for study in studies):
        return None
    best: dict[str, dict[str, Values]] = {family: {} for family in plan.families}
    for study in studies:
        best[study.family][study.method] = study.best()
    return plan.model_copy(update={"search": trials, "settings": best})


def search_space(family: str, method: str) -> dict[str, "BaseDistribution"]:
    """What is searched around the recipe: learning rate, CoUn's term where it is on, every number of the method's own.

    A number that is 0 in the recipe is tried at 0 and at the method's default (at 1 where that is 0, too). Epochs stay
    as they are, so that the trials of a method cost the same.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    model = registered(method).settings
    recipe = _recipe(family, method)
    rate = recipe["learning_rate"]
    space: dict[str, BaseDistribution] = {
        "learning_rate": FloatDistribution(rate / NARROW, min(rate * NARROW, 10.0), log=True)
    }
    own = [name for name in model.model_fields if name not in CalibrationSettings.model_fields]
    for name in [*own, "contrast"] if recipe["contrast"] else own:
        value, (low, high) = recipe[name], _bounds(model.model_fields[name].metadata)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value == 0:
            space[name] = CategoricalDistribution((0.0, float(model.model_fields[name].default or 1.0)))
        elif isinstance(value, int):
            space[name] = IntDistribution(max(1, math.ceil(low), value // 2), int(min(high, 2 * value)))
        else:
            space[name] = FloatDistribution(max(low, value / WIDE), min(high, value * WIDE), log=True)
    return space


@dataclass
class _Study:
    """The trials of one method on one family; `running` is under way. `at_first`, the original, judges further ones."""

    plan: Plan
    original: Made
    at_first: Sets | None
    method: str
    trials: list[Trial]
    running: "Asked | None" = None

    @property
    def family(self) -> str:
        return self.original.family

    def next(self) -> Made:
        """The encoder of the next trial; after the same trials always the same."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        number, space = len(self.trials), search_space(self.family, self.method)
        digest = hashlib.sha256(f"{self.family} {self.method} {number}".encode()).digest()
        sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=_FIRST_AT_RANDOM)
        study = optuna.create_study(sampler=sampler)
        for each in self.trials:
            state = optuna.trial.TrialState.FAIL if each.miss is None else optuna.trial.TrialState.COMPLETE
            params = dict(each.changed)
            study.add_trial(optuna.trial.create_trial(state=state, value=each.miss, params=params, distributions=space))
        if number == 0:
            recipe = _recipe(self.family, self.method)
            study.enqueue_trial({name: recipe[name] for name in space})
        self.running = study.ask(space)
        return trial(self.original, self.method, self.running.params, self.plan)

    def take(self, answer: Answer[Sets]) -> Trial:
        """What came of the trial that was under way."""
        assert self.running is not None
        assert self.at_first is not None
        sets = answer.value
        found = Trial(
            family=self.family,
            method=self.method,
            number=len(self.trials),
            epochs_scale=self.plan.epochs_scale,
            changed=self.running.params,
            miss=None if sets is None else sets.miss(self.at_first),
            sets=sets,
            error=answer.error,
        )
        self.trials.append(found)
        self.running = None
        return found

    def best(self) -> Values:
        complete = [each for each in self.trials if each.miss is not None]
        if not complete:
            raise MucError(
                f"none of the {len(self.trials)} trials of {self.method} on {self.family} gave an encoder: "
                f"{self.trials[-1].error}"
            )
        return min(complete, key=lambda each: (each.miss, each.number)).changed


def _run(
    studies: Sequence[_Study], trials: int, pool: Executor, processes: int, deadline: float | None
) -> Iterator[Trial]:
    def idle() -> _Study | None:
        """The one with the fewest trials, so that all end together."""
        waiting = (study for study in studies if study.running is None and len(study.trials) < trials)
        return min(waiting, key=lambda study: len(study.trials), default=None)

    def begin(study: _Study) -> Future[Answer[Sets]]:
        return pool.submit(attempt, _try, (study.next(), study.plan.forget), deadline)

    for study, answer in spread(idle, begin, processes):
        if answer.defect is not None:
            raise RuntimeError(answer.defect)
        yield study.take(answer)


def _try(asked: tuple[Made, str], workspace: Workspace, progress: Progress) -> Sets:
    """Make an encoder and look at it, given the forget set; one on trial is deleted then.

    Raises:
        MucError: it cannot be made, or there is too little to look at.
        Cancelled: from `progress`.
    """
    made, forget = asked
    make(made, workspace, progress)
    record = workspace.encoder(made.name)
    assert record.manifest.data is not None  # it was trained here
    dataset = load_dataset(record.manifest.data.spec)
    split = record.manifest.data.split
    split = split.choose_forget(resolve_ids(forget, dataset, split))  # an original has none yet
    parts = split.forget, split.calibration, split.retain
    if any(len(part) < 2 for part in parts):
        raise MucError("a search compares the forget set with calibration pictures; there are fewer than two of a kind")
    found = _look(workspace.load(made.name), [dataset.subset(part) for part in parts], progress)
    if made.method != ORIGINAL:
        workspace.delete_encoder(made.name)
    return found


def _look(encoder: Encoder, parts: Sequence[ImageTextDataset], progress: Progress) -> Sets:
    if isinstance(encoder, Classifier) and encoder.classes:
        forgotten, calibration, retained = (
            set_answers(encoder, embed_images(encoder, part, progress=progress).numpy(), part.labels) for part in parts
        )
    elif encoder.has_text and all(text for part in parts for text in part.texts):
        captions = [text or "" for part in parts for text in part.texts]
        gallery = embed_texts(encoder, captions, progress=progress).numpy()
        starts = np.cumsum([0, *(len(part) for part in parts)])
        forgotten, calibration, retained = (
            set_retrieval(
                embed_images(encoder, part, progress=progress).numpy(),
                gallery,
                start + np.arange(len(part)),
                similarity=similarity_of(encoder),
            )
            for part, start in zip(parts, starts, strict=False)
        )
    else:
        # views are compared with those of the other pictures: as many of each, for figures that compare
        count = min(len(part) for part in parts)
        draw = np.random.default_rng(_YARDSTICK.seed)
        rows = [np.sort(draw.choice(len(part), count, replace=False)) for part in parts]
        drawn = [part.subset([part.item_ids[row] for row in of]) for part, of in zip(parts, rows, strict=True)]
        looks = look(encoder, Material(drawn[0], drawn[1], drawn[2], with_text=False), _YARDSTICK, progress)
        forgotten, calibration = pool_figures(looks, count)
        retained = set_figures(looks.retain)
    return Sets(forget=forgotten, calibration=calibration, retain=retained)


def _recipe(family: str, method: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = registered(method).settings.model_validate(recipe_of(family, method)).model_dump()
    return values


def _bounds(metadata: Sequence[Any]) -> tuple[float, float]:
    low = next((float(each.ge) for each in metadata if hasattr(each, "ge")), 0.0)
    high = next((float(each.le) for each in metadata if hasattr(each, "le")), math.inf)
    return low, high
