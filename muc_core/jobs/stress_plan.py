"""What a residual stress is made of: its settings, the encoders, the pictures, and what it will cost.

Everything that can be refused is refused here, before anything is computed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.audit.audit import FEWEST_CONTROLS, FEWEST_ITEMS
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_items
from muc_core.data.splits import DataSplit, set_apart
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES, Family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.stress import Mode, Role
from muc_core.evaluation.weights import Weights
from muc_core.jobs.fair_controls import refuse_fitted_controls, seen
from muc_core.workspace import EncoderRecord, Workspace

VIEWS = 8
"""Views of each picture where views are compared with one another, as in the audit."""

_COMPARED: tuple[Role, ...] = ("after", "retrained")
_FORMAT = 2


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


@dataclass(frozen=True, eq=False)
class Subjects:
    """The encoders by role, all of one family and architecture."""

    records: dict[Role, EncoderRecord]

    @cached_property
    def weights(self) -> dict[Role, Weights]:
        """By role; loaded when first asked for. Raises `MucError`."""
        # what only training needs, such as a momentum encoder, is there in some and not in others
        return {role: self.family.finished(load_weights(record.weights)) for role, record in self.records.items()}

    @property
    def manifests(self) -> dict[Role, EncoderManifest]:
        return {role: record.manifest for role, record in self.records.items()}

    @property
    def family(self) -> Family:
        return FAMILIES.get(self.manifests["after"].family)

    @property
    def names(self) -> dict[Role, str]:
        return {role: manifest.name for role, manifest in self.manifests.items()}

    def encoder(self, role: Role, weights: Weights | None = None) -> Encoder:
        """The encoder of a role, or one like it with other weights."""
        return self.family.encoder(self.weights[role] if weights is None else weights, self.manifests[role])


def why_untrainable(manifest: EncoderManifest) -> str | None:
    """Why an encoder's weights cannot be stressed, a sentence without its full stop; None when they can."""
    if manifest.family in FAMILIES.names():
        return None
    return (
        f"{manifest.name!r} is opened as {manifest.family}, which answers questions but whose weights cannot be "
        f"changed or trained here; residual stress needs encoders of {', '.join(FAMILIES.names())}"
    )


def _subjects(workspace: Workspace, settings: ResidualStressSettings) -> Subjects:
    named: dict[Role, str | None] = {
        "before": settings.before,
        "after": settings.after,
        "retrained": settings.retrained,
    }
    records = {role: workspace.encoder(name) for role, name in named.items() if name is not None}
    for record in records.values():
        if (why := why_untrainable(record.manifest)) is not None:
            raise MucError(why)
    kinds = {role: (record.manifest.family, record.manifest.architecture) for role, record in records.items()}
    for role, kind in kinds.items():
        if kind != kinds["after"]:
            raise MucError(
                f"{named[role]!r} is a {' '.join(kind)} and {settings.after!r} a {' '.join(kinds['after'])}; residual "
                "stress compares encoders of one architecture"
            )
    return Subjects(records)


@dataclass(frozen=True, eq=False)
class Material:
    """Pictures that were forgotten, controls, and retained pictures to mix in when relearning."""

    owner: ImageTextDataset
    controls: ImageTextDataset
    retain: ImageTextDataset
    mode: Mode


def _material(subjects: Subjects, settings: ResidualStressSettings) -> Material:
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
    _check_neverseen(owner, controls, dataset, split, manifests)
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
    return Material(owner, controls, retain, "image-text" if with_text else "two-view")


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


def _check_neverseen(
    owner: ImageTextDataset,
    controls: ImageTextDataset,
    dataset: ImageTextDataset,
    split: DataSplit | None,
    manifests: Mapping[Role, EncoderManifest],
) -> None:
    """Controls must be new to all encoders, and the forgotten pictures to Retrain."""
    if both := sorted(set(owner.ids) & set(controls.ids)):
        raise MucError(f"{both[0]!r} is both forgotten and a control; take it out of the controls")
    if split is not None and (wrong := seen(controls, dataset, split.train)):
        raise MucError(f"the control {wrong[0]!r} was trained on; choose controls that were not, such as held-out")
    refuse_fitted_controls(controls, dataset, split, manifests.values())
    retrained = manifests.get("retrained")
    if split is None or retrained is None or retrained.data is None:
        return
    # the split of an unlearned encoder still names what it left out
    theirs = retrained.data.split
    if wrong := seen(owner, dataset, theirs.retain if retrained.method == "retrain" else theirs.train):
        raise MucError(
            f"{retrained.name!r} was trained on {wrong[0]!r} (on {len(wrong)} of the forgotten pictures), so it is no "
            "Retrain for them; name one that never saw them, or none"
        )


@dataclass(frozen=True)
class StressCost:
    """What a stress will take.

    Attributes:
        trainings: relearnings, each of a copy of an encoder.
        steps: of each.
        looked: pictures that are turned into vectors.
        trained: pictures, or pairs of views, that are trained on.
        views: random views of each picture, 1 where pictures are looked at as they are.
    """

    trainings: int
    steps: int
    looked: int
    trained: int
    views: int

    def seconds(self, a_picture: float) -> float:
        """A rough estimate from the seconds that one vector takes: a step of training takes three times as long."""
        return a_picture * (self.looked + 3 * self.trained * (2 if self.views > 1 else 1))


@dataclass(frozen=True, eq=False)
class StressPlan:
    """A stress that can be made."""

    subjects: Subjects
    material: Material
    settings: ResidualStressSettings

    @property
    def compared(self) -> list[Role]:
        """Those that are relearned: the encoder after, and Retrain where there is one."""
        return [role for role in _COMPARED if role in self.subjects.records]

    @property
    def trainings(self) -> int:
        """Each half of each split is relearned once with each encoder compared."""
        return len(self.compared) * 2 * self.settings.splits

    @property
    def looks(self) -> int:
        """Looks at all pictures, without those of the relearnings."""
        return 3 * len(self.subjects.records) + len(self.compared) * (self.settings.points - 2)

    @property
    def cost(self) -> StressCost:
        settings, material = self.settings, self.material
        n, m = len(material.owner), len(material.controls)
        views = 1 if material.mode == "image-text" else VIEWS
        looks = 1 + -(-settings.steps // settings.every)
        return StressCost(
            trainings=self.trainings,
            steps=settings.steps,
            looked=views * (self.looks * (n + m) + self.trainings * looks * (n // 2 + m)),
            trained=self.trainings * settings.steps * settings.batch_size,
            views=views,
        )

    @property
    def key(self) -> str:
        """Digest of everything that decides the result."""
        parts = (self.material.owner, self.material.controls, self.material.retain)
        content = {
            "format": _FORMAT,
            "encoders": {role: [m.name, m.content_digest] for role, m in self.subjects.manifests.items()},
            "items": [part.digest() for part in parts],
            # names of encoders and sets are part of the result
            "settings": self.settings.model_dump(mode="json", exclude={"before", "after", "retrained", "data"}),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def plan_stress(workspace: Workspace, settings: ResidualStressSettings) -> StressPlan:
    """What a stress with these settings is made of.

    Raises:
        UnknownName: no such encoder or set.
        MucError: weights that cannot be trained here, encoders that do not belong together, too few pictures, pictures
            without captions where the encoder learns from them, controls that were trained on.
    """
    subjects = _subjects(workspace, settings)
    return StressPlan(subjects, _material(subjects, settings), settings)
