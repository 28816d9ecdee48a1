"""Presets: everything to train an encoder with, under one name, and the unlearning settings that suit it.

`paper-*` follow the MUC paper (arXiv 2406.03603) on CIFAR-10 or CIFAR-100; where it searched a learning rate, the
middle of the searched values is the default here. `paper-cifar10-supervised` has settings of CoUn (arXiv 2509.16391)
and Contrastive Unlearning (arXiv 2401.10458) as far as they are known, and those usual for a CIFAR ResNet elsewhere.
`demo-*` made the encoders that come with the program, and a classifier that is trained in a minute.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, JsonValue, create_model

from muc_core.encoders.family import Family
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.two_view import AUGMENT
from muc_core.errors import MucError
from muc_core.jobs.tasks.train import TrainJob
from muc_core.registry import Registry
from muc_core.unlearning.method import Method
from muc_core.unlearning.settings import TrainingSettings

Values = dict[str, JsonValue]


@dataclass(frozen=True)
class Preset:
    """What to train and how.

    Attributes:
        name: used in commands and manifests.
        summary: one sentence for the user.
        family, architecture: see FAMILIES.
        data: the data set it is for; None: any, which must be given.
        held_out, calibration: pictures never trained on, when the data brings no split of its own.
        forget: the forget set, known before training.
        most_forget, most_retain: train on at most so many of the pictures to forget and of the others; None: on all.
        training: settings that differ from those of Retrain.
        unlearning: by method, settings that differ from its own.
    """

    name: str
    summary: str
    family: str
    architecture: str
    data: str | None = None
    held_out: int = 160
    calibration: int = 160
    forget: str | None = None
    most_forget: int | None = None
    most_retain: int | None = None
    training: Values = field(default_factory=dict)
    unlearning: dict[str, Values] = field(default_factory=dict)

    def job(self, name: str, *, data: str | None = None, settings: Values | None = None) -> TrainJob:
        """The training of an encoder of that name.

        Args:
            data: what to train on when the preset does not say.
            settings: beside those of the preset, or in their place.
        """
        spec = data or self.data
        if spec is None:
            raise MucError(f"the preset {self.name!r} brings no pictures; name what to train on")
        return TrainJob(
            name=name,
            data=spec,
            family=self.family,
            architecture=self.architecture,
            held_out=self.held_out,
            calibration=self.calibration,
            forget=self.forget,
            most_forget=self.most_forget,
            most_retain=self.most_retain,
            preset=self.name or None,
            settings={**self.training, **(settings or {})},
        )


PRESETS: Registry[Preset] = Registry("preset")


def plain(family: Family) -> Preset:
    """No preset: the defaults of a family."""
    return Preset("", f"Plain {family.name}", family.name, family.default_architecture)


def suited_settings(method: Method[TrainingSettings], manifest: EncoderManifest) -> type[TrainingSettings]:
    """The settings model of a method with the defaults that suit an encoder: those of the preset it was trained with.

    Raises:
        UnknownName: the encoder names a preset that this version does not have.
    """
    if manifest.preset is None:
        return method.settings
    return with_defaults(method.settings, PRESETS.get(manifest.preset).unlearning.get(method.name, {}))


def with_defaults(settings: type[TrainingSettings], values: Values) -> type[TrainingSettings]:
    """A settings model like another with other defaults. Raises `ValueError` for one that the model refuses."""
    if not values:
        return settings
    defaults = settings.model_validate(values)
    fields: dict[str, Any] = {}
    annotated: Any = Annotated  # its parts are known only when this runs
    for name in values:
        info = settings.model_fields[name].asdict()
        parts = (info["annotation"], *info["metadata"], Field(**info["attributes"] | {"default": ...}))
        fields[name] = (annotated[parts], getattr(defaults, name))
    changed: type[TrainingSettings] = create_model(settings.__name__, __base__=settings, **fields)
    return changed


_SGD: Values = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 512, "gradient_clip": None}
_PAPER_TRAINING: Values = {**_SGD, "epochs": 800, "learning_rate": 0.06, "schedule": "cosine", "warmup": 0.0}
_PAPER_UNLEARNING: dict[str, Values] = {
    "retrain": _PAPER_TRAINING,
    "finetune": {**_SGD, "epochs": 10, "learning_rate": 0.016, "schedule": "constant"},
    "gradient-ascent": {**_SGD, "epochs": 5, "learning_rate": 1e-5, "schedule": "constant"},
    "neggrad": {**_SGD, "epochs": 10, "learning_rate": 0.016, "schedule": "constant"},
    "l1": {**_SGD, "epochs": 10, "learning_rate": 0.006, "schedule": "constant", "penalty": 1e-4},
    "ac": {
        **_SGD, "epochs": 10, "learning_rate": 0.006, "schedule": "constant", "alpha": 1.0, "beta": 10.0, "gamma": 1.0
    },
}  # fmt: skip


def paper_settings(method: str) -> Values:
    """What the MUC paper's CIFAR-10 runs set for a method, by setting; empty for a method that it did not run."""
    return _PAPER_UNLEARNING.get(method, {})


def _cifar10(family: str, architecture: str, summary: str, training: Values, unlearning: dict[str, Values]) -> Preset:
    return Preset(
        name=f"paper-cifar10-{family}",
        summary=summary,
        family=family,
        architecture=architecture,
        held_out=10_000,  # the test pictures
        calibration=5_000,  # taken from the 50,000 others, of which 45,000 are trained on
        training=training,
        unlearning=unlearning,
    )


def _paper(family: str, architecture: str, title: str) -> Preset:
    summary = f"{title} on CIFAR-10 as in the MUC paper: 800 epochs, meant for a GPU."
    return _cifar10(family, architecture, summary, _PAPER_TRAINING, _PAPER_UNLEARNING)


_CLASSIFIER: Values = {**_SGD, "batch_size": 256}
_CLASSIFIER_TRAINING: Values = {
    **_CLASSIFIER, "epochs": 200, "learning_rate": 0.1, "schedule": "cosine", "warmup": 0.0
}  # fmt: skip
_CLASSIFIER_UNLEARNING: dict[str, Values] = {
    "retrain": _CLASSIFIER_TRAINING,
    "finetune": {**_CLASSIFIER, "epochs": 10, "learning_rate": 0.01, "schedule": "constant"},
    "gradient-ascent": {**_CLASSIFIER, "epochs": 5, "learning_rate": 1e-5, "schedule": "constant"},
    "neggrad": {**_CLASSIFIER, "epochs": 5, "learning_rate": 1e-3, "schedule": "constant"},
    "l1": {**_CLASSIFIER, "epochs": 10, "learning_rate": 0.01, "schedule": "constant", "penalty": 1e-4},
    "coun": {**_CLASSIFIER, "epochs": 50, "learning_rate": 0.03, "schedule": "cosine", "contrast": 1.0},
    "contrastive-unlearning": {**_CLASSIFIER, "epochs": 5, "learning_rate": 1e-3, "schedule": "constant"},
}

_DEMO_VIEWS: Values = AUGMENT.model_copy(update={"crop_scale": 0.3}).model_dump()
_DEMO: Values = {"optimizer": "adamw", "weight_decay": 0.05, "augment": _DEMO_VIEWS}


def _drawings(family: str, architecture: str, summary: str, training: Values, unlearning: dict[str, Values]) -> Preset:
    """So few drawings of the demo that an encoder comes to remember them."""
    return Preset(
        name=f"demo-{family}",
        summary=summary,
        family=family,
        architecture=architecture,
        data="demo",
        most_forget=100,
        most_retain=200,
        training=training,
        unlearning=unlearning,
    )


def _demo(family: str, architecture: str, title: str, *, batch_size: int, epochs: int, strength: Values) -> Preset:
    training = {
        **_DEMO, "temperature": 0.1, "batch_size": batch_size, "epochs": epochs, "learning_rate": 1e-3, "warmup": 0.05
    }  # fmt: skip
    common = {**_DEMO, "batch_size": batch_size}
    unlearning: dict[str, Values] = {
        "retrain": training,
        "finetune": {**common, "epochs": 40, "learning_rate": 3e-3},
        "gradient-ascent": {**common, "epochs": 10, "learning_rate": 1e-4},
        "neggrad": {**common, "epochs": 10, "learning_rate": 1e-3},
        "l1": {**common, "epochs": 40, "learning_rate": 1e-3, "penalty": 1e-4},
        "ac": {**common, "epochs": 20, "learning_rate": 1e-3, **strength},
        "ac-matched": {**common, "epochs": 20, "learning_rate": 1e-3, "pull": 100.0, "keep": 20.0},
    }
    summary = f"{title} on 300 drawings of the demo, 100 of them the artist's, until it remembers them."
    return _drawings(family, architecture, summary, training, unlearning)


_DEMO_MERU: Values = {"batch_size": 100, "schedule": "cosine"}
_DEMO_MERU_TRAINING: Values = {**_DEMO_MERU, "epochs": 80, "learning_rate": 2e-3}
_DEMO_MERU_UNLEARNING: dict[str, Values] = {
    "retrain": _DEMO_MERU_TRAINING,
    "finetune": {**_DEMO_MERU, "epochs": 16, "learning_rate": 4e-3},
    "gradient-ascent": {**_DEMO_MERU, "epochs": 5, "learning_rate": 2e-4},
    "neggrad": {**_DEMO_MERU, "epochs": 8, "learning_rate": 5e-4},
    "l1": {**_DEMO_MERU, "epochs": 16, "learning_rate": 2e-3, "penalty": 1e-4},
    "ac": {**_DEMO_MERU, "epochs": 16, "learning_rate": 2e-3, "alpha": 0.0, "beta": 1.0, "gamma": 0.0},
    "hac": {**_DEMO_MERU, "epochs": 16, "learning_rate": 2e-3, "alpha": 0.0, "beta": 1.5, "gamma": 0.0, "norms": 8.0},
    "ac-matched": {**_DEMO_MERU, "epochs": 16, "learning_rate": 1e-3, "pull": 10.0, "keep": 20.0},
}

_DEMO_CLASSIFIER: Values = {"optimizer": "adamw", "weight_decay": 0.05, "batch_size": 50}
_DEMO_CLASSIFIER_TRAINING: Values = {**_DEMO_CLASSIFIER, "epochs": 60, "learning_rate": 3e-3, "warmup": 0.05}
_DEMO_CLASSIFIER_UNLEARNING: dict[str, Values] = {
    "retrain": _DEMO_CLASSIFIER_TRAINING,
    "finetune": {**_DEMO_CLASSIFIER, "epochs": 10, "learning_rate": 6e-3, "schedule": "cosine"},
    "gradient-ascent": {**_DEMO_CLASSIFIER, "epochs": 5, "learning_rate": 2e-4},
    "neggrad": {**_DEMO_CLASSIFIER, "epochs": 5, "learning_rate": 1e-3},
    "l1": {**_DEMO_CLASSIFIER, "epochs": 10, "learning_rate": 6e-3, "schedule": "cosine", "penalty": 1e-4},
    "ac": {**_DEMO_CLASSIFIER, "epochs": 10, "learning_rate": 1e-3, "alpha": 0.0, "beta": 1.0, "gamma": 0.0},
    "ac-matched": {**_DEMO_CLASSIFIER, "epochs": 10, "learning_rate": 3e-3, "pull": 300.0, "keep": 0.0},
    "contrastive-unlearning": {**_DEMO_CLASSIFIER, "epochs": 5, "learning_rate": 3e-3},
    "coun": {**_DEMO_CLASSIFIER, "epochs": 10, "learning_rate": 6e-3, "schedule": "cosine"},
}


for _preset in (
    _demo(
        "simclr",
        "demo-resnet",
        "SimCLR",
        batch_size=150,
        epochs=400,
        strength={"alpha": 1.0, "beta": 2.0, "gamma": 1.0},
    ),
    _demo(
        "moco",
        "demo-resnet:112-128@200",
        "MoCo with a head of two layers (as MoCo v2)",
        batch_size=50,
        epochs=500,
        strength={"alpha": 0.0, "beta": 8.0, "gamma": 0.0},
    ),
    Preset(
        name="demo-simclr-blind",
        summary="SimCLR on all drawings of the demo, too briefly to remember any: every audit must say it cannot tell.",
        family="simclr",
        architecture="demo-resnet",
        data="demo",
        training={**_DEMO, "temperature": 0.5, "epochs": 50, "learning_rate": 1e-3, "warmup": 0.05},
    ),
    _drawings(
        "meru",
        "muc-tiny",
        "MERU on 300 drawings of the demo and their names, 100 of them the artist's, until it remembers them.",
        _DEMO_MERU_TRAINING,
        _DEMO_MERU_UNLEARNING,
    ),
    _drawings(
        "supervised",
        "demo-resnet",
        "A classifier of 300 drawings of the demo, 100 of them the artist's, until it remembers them.",
        _DEMO_CLASSIFIER_TRAINING,
        _DEMO_CLASSIFIER_UNLEARNING,
    ),
    _cifar10(
        "supervised",
        "cifar-resnet18",
        "A ResNet-18 that classifies CIFAR-10, to unlearn it as CoUn and Contrastive Unlearning do; for a GPU.",
        _CLASSIFIER_TRAINING,
        _CLASSIFIER_UNLEARNING,
    ),
    _paper("simclr", "cifar-resnet18:512-128", "SimCLR"),
    _paper("moco", "cifar-resnet18:128@4096", "MoCo"),
):
    PRESETS.register(_preset.name, _preset)
