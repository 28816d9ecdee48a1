"""One encoder's white-box figures: embeds its forget, retain and held-out pictures once and asks every metric.

Nothing is replaced: a metric that the data or the encoder do not allow is missing, with the reason in a sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from muc_core.data.augment import AugmentSettings
from muc_core.data.classes import FEWEST
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.paths import name_some
from muc_core.encoders.base import Classifier, Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.errors import MucError
from muc_core.evaluation.classes import Classes, choose_classes
from muc_core.evaluation.classifier import ACCURACIES, ask, classifier_figures
from muc_core.evaluation.cmia import cmia
from muc_core.evaluation.emia import VIEWS, emia_from_likeness, view_likeness
from muc_core.evaluation.hierarchy import hierarchy
from muc_core.evaluation.probe import Solver, linear_probe, neighbour_accuracy
from muc_core.evaluation.resemblance import neighbour_overlap
from muc_core.evaluation.retrieval import PARTS, recall
from muc_core.evaluation.similarity import matched_membership, matched_similarity
from muc_core.evaluation.zero_shot import TEMPLATES, class_vectors, prompts, zero_shot_accuracy
from muc_core.progress import SILENT, Progress
from muc_core.similarity import Similarity
from muc_core.stats.cka import linear_cka
from muc_core.stats.ranks import Float64

Features = npt.NDArray[np.float32]


class EvaluationSettings(BaseModel):
    """What is asked and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    views: int = Field(default=VIEWS, ge=2, le=100, description="random views of each picture in EMIA")
    most: int = Field(default=10_000, ge=2, description="retained pictures in the attacks, at most")
    fewest: int = Field(default=FEWEST, ge=1, description="retained pictures that a class must have")
    probe: Solver = Field(default="lbfgs", description="how the linear probe is trained: lbfgs, or the paper's sgd")
    templates: tuple[str, ...] = Field(default=TEMPLATES, min_length=1, description="zero-shot sentences, {} = class")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of views and draws")


class Evaluation(BaseModel):
    """What was found of one encoder with one seed.

    Attributes:
        encoder, digest: its name and what its vectors depend on.
        counts: pictures by set.
        values: by metric, see `METRICS`.
        missing: metrics that could not be computed, by the reason in a sentence.
        notes: what the figures leave out or have by construction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str
    digest: str
    seed: int
    counts: dict[str, int]
    values: dict[str, float]
    missing: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Pictures:
    """The forget set U, the retain set R and held-out pictures H, which no encoder was trained on.

    Raises:
        MucError: a picture in two of them.
    """

    forget: ImageTextDataset
    retain: ImageTextDataset
    held_out: ImageTextDataset

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part, dataset in self.parts.items():
            for item_id in dataset.item_ids:
                if item_id in seen:
                    raise MucError(
                        f"{item_id!r} is in the {seen[item_id]} and the {part} set; each must be in one alone"
                    )
                seen[item_id] = part

    @property
    def parts(self) -> dict[str, ImageTextDataset]:
        return {"forget": self.forget, "retain": self.retain, "held_out": self.held_out}


@dataclass(frozen=True, eq=False)
class Subject:
    """An encoder to evaluate.

    Attributes:
        encoder: gives features h, and reads captions if it is of an image-text family.
        augment: random views it was trained with, for EMIA.
    """

    encoder: Encoder
    augment: AugmentSettings


@dataclass(eq=False)
class WhiteBox:
    """Evaluates encoders on the same pictures; what depends on the pictures alone is done once.

    Args:
        pictures: the three sets.
        settings: see `EvaluationSettings`.
    """

    pictures: Pictures
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    def evaluate(self, subject: Subject, *, progress: Progress = SILENT) -> Evaluation:
        """All metrics of an encoder that need no other.

        Raises:
            MucError: vectors that are not finite.
            Cancelled: from `progress`.
        """
        found = _Found()
        embedded = _Embedded(subject, self.pictures, self.settings, progress)
        self._attack_views(embedded, found)
        self._classify(embedded, found)
        self._ask_classifier(embedded, found)
        self._with_captions(embedded, found)
        return Evaluation(
            encoder=subject.encoder.name,
            digest=subject.encoder.digest,
            seed=self.settings.seed,
            counts={name: len(part) for name, part in self.pictures.parts.items()},
            values=found.values,
            missing={reason: tuple(names) for reason, names in found.missing.items()},
            notes=tuple(found.notes),
        )

    def compare(self, subject: Subject, retrained: Subject, *, progress: Progress = SILENT) -> dict[str, float]:
        """Likeness to Retrain on forgotten and held-out pictures, by metric. Raises as `evaluate`."""
        parts = ("forget", "held_out")
        each = (_Embedded(one, self.pictures, self.settings, progress) for one in (subject, retrained))
        ours, theirs = (np.concatenate([embedded.of(part) for part in parts]) for embedded in each)
        return {"cka": linear_cka(ours, theirs), "neighbours": neighbour_overlap(ours, theirs)}

    @cached_property
    def classes(self) -> Classes:
        """Raises `MucError` when there are none."""
        labels = {name: part.labels for name, part in self.pictures.parts.items()}
        return choose_classes(**labels, fewest=self.settings.fewest)

    @cached_property
    def captions(self) -> dict[str, list[str]]:
        """Raises `MucError` when a picture has none."""
        captions = {}
        for name, part in self.pictures.parts.items():
            if silent := next((item.id for item in part.items if not item.text), None):
                raise MucError(f"{silent!r} has no caption, so that captions are not compared; give every picture one")
            captions[name] = [text or "" for text in part.texts]
        return captions

    def _attack_views(self, embedded: "_Embedded", found: "_Found") -> None:
        likeness = embedded.likeness
        attack = emia_from_likeness(likeness["forget"], likeness["retain"], likeness["held_out"])
        found.values |= {"emia": attack.non_members, "emia_auc": attack.auc}
        found.add_or_miss("emia_tpr", attack.tpr_at_1_percent, _FEW)
        if not embedded.has_text:
            found.values |= {f"similarity_{part}": float(values.mean()) for part, values in likeness.items()}

    def _classify(self, embedded: "_Embedded", found: "_Found") -> None:
        names = ["ra", "ta", "ua", "cmia", "knn_ta", "knn_ua"]
        try:
            classes = self.classes
        except MucError as reason:
            found.miss(str(reason), names + _zero_shot_names(embedded))
            return
        found.notes += [note for note in classes.notes if note not in found.notes]
        codes = {part: getattr(classes, part) for part in PARTS}
        h = {part: embedded.features[part][codes[part] >= 0] for part in PARTS}
        y = {part: values[values >= 0] for part, values in codes.items()}
        probe = linear_probe(h["retain"], y["retain"], solver=self.settings.probe, seed=self.settings.seed)
        found.values["ra"] = probe.accuracy(h["retain"], y["retain"])
        for part, suffix in (("held_out", "ta"), ("forget", "ua")):
            if not len(y[part]):
                found.miss(f"no {PARTS[part]} picture is of a class that a probe can learn", [suffix, f"knn_{suffix}"])
                continue
            found.values[suffix] = probe.accuracy(h[part], y[part])
            found.values[f"knn_{suffix}"] = neighbour_accuracy(h["retain"], y["retain"], h[part], y[part])
        if len(y["forget"]) and len(y["held_out"]):
            sure = [probe.confidence(h[part], y[part]) for part in ("forget", "retain", "held_out")]
            found.values["cmia"] = cmia(*sure, seed=self.settings.seed)
        else:
            found.miss("CMIA needs forgotten and never-trained pictures of classes that a probe can learn", ["cmia"])
        if embedded.has_text:
            sentences = embedded.texts(prompts(classes.names, self.settings.templates))
            how = embedded.similarity
            vectors = class_vectors(sentences, len(self.settings.templates), similarity=how)
            found.values |= {
                f"zero_shot_{part}": zero_shot_accuracy(h[part], y[part], vectors, similarity=how)
                for part in PARTS
                if len(y[part])
            }

    def _ask_classifier(self, embedded: "_Embedded", found: "_Found") -> None:
        encoder = embedded.subject.encoder
        if not isinstance(encoder, Classifier):
            return
        names = [*ACCURACIES.values(), "classifier_mia"]
        if not encoder.classes:
            found.miss("it is not known which classes the encoder's classifier tells apart", names)
            return
        answers = {part: ask(encoder, embedded.features[part], self.pictures.parts[part].labels) for part in PARTS}
        probabilities = {part: answer for part, (answer, _) in answers.items()}
        known = {part: classes for part, (_, classes) in answers.items()}
        found.values |= classifier_figures(probabilities, known, seed=self.settings.seed)
        for part in PARTS:
            if not len(known[part]):
                reason = f"no {PARTS[part]} picture is of a class that the encoder's classifier tells apart"
                found.miss(reason, [ACCURACIES[part]])
        if "classifier_mia" not in found.values:
            found.miss("the attack needs pictures of all three sets that the classifier can name", ["classifier_mia"])
        if unknown := sum(len(self.pictures.parts[part]) - len(known[part]) for part in PARTS):
            found.notes.append(
                f"The encoder's own classifier is not asked about {unknown} pictures: they are of no class that it "
                "tells apart."
            )
        if gone := sorted(set(known["forget"].tolist()) - set(known["retain"].tolist())):
            found.notes.append(
                f"No retained picture is of the classes {name_some([encoder.classes[n] for n in gone])}: Retrain's "
                "classifier never saw any and names those that were forgotten wrongly by construction."
            )

    def _with_captions(self, embedded: "_Embedded", found: "_Found") -> None:
        if not embedded.has_text:
            return
        try:
            captions = self.captions
        except MucError as reason:
            found.miss(str(reason), ["matched_auc", "matched_tpr", *(f"similarity_{part}" for part in PARTS)])
            return
        texts = {part: embedded.texts(values) for part, values in captions.items()}
        how = embedded.similarity
        matched = {part: matched_similarity(embedded.features[part], texts[part], similarity=how) for part in PARTS}
        found.values |= {f"similarity_{part}": float(values.mean()) for part, values in matched.items()}
        if how.curvature is not None:
            for part in PARTS:
                means = hierarchy(embedded.features[part], texts[part], how).means
                found.values |= {f"{name}_{part}": value for name, value in means.items()}
        known = matched_membership(matched["forget"], matched["held_out"])
        found.values["matched_auc"] = known.auc
        found.add_or_miss("matched_tpr", known.tpr_at_1_percent, _FEW)
        images, sentences = (
            np.concatenate([vectors[part] for part in PARTS]) for vectors in (embedded.features, texts)
        )
        start = 0
        for part in PARTS:
            own = np.arange(start, start + len(texts[part]))
            for way, query, gallery in (("i2t", embedded.features[part], sentences), ("t2i", texts[part], images)):
                at = recall(query, gallery, own, similarity=how).at
                found.values |= {f"{way}_r{k}_{part}": value for k, value in at.items()}
            start += len(own)


_FEW = "fewer than 100 held-out pictures set no threshold with 1 % of false alarms"


@dataclass
class _Found:
    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def miss(self, reason: str, names: list[str]) -> None:
        self.missing.setdefault(reason, []).extend(names)

    def add_or_miss(self, name: str, value: float | None, reason: str) -> None:
        if value is None:
            self.miss(reason, [name])
        else:
            self.values[name] = value


@dataclass(eq=False)
class _Embedded:
    """An encoder's vectors of the pictures, each computed when first asked for."""

    subject: Subject
    pictures: Pictures
    settings: EvaluationSettings
    progress: Progress

    @property
    def has_text(self) -> bool:
        return self.subject.encoder.has_text

    @property
    def similarity(self) -> Similarity:
        return similarity_of(self.subject.encoder)

    @cached_property
    def features(self) -> Mapping[str, Features]:
        """h of each set, `[n, d]`."""
        return {part: self.of(part) for part in PARTS}

    @cached_property
    def likeness(self) -> dict[str, Float64]:
        """Likeness of the views of each picture by set, of as many retained pictures as held-out ones.

        Retained pictures are drawn, so that no threshold favours the larger set.
        """
        draw = np.random.default_rng(self.settings.seed)
        retain, held_out = self.pictures.retain, self.pictures.held_out
        size = min(len(retain), max(len(held_out), 2), self.settings.most)
        rows = np.sort(draw.choice(len(retain), size, replace=False))
        chosen = retain.subset([retain.item_ids[row] for row in rows])
        return {
            "forget": self._views(self.pictures.forget),
            "retain": self._views(chosen),
            "held_out": self._views(held_out),
        }

    def of(self, part: str) -> Features:
        if part not in self._known:
            self._known[part] = embed_images(
                self.subject.encoder, self.pictures.parts[part], progress=self.progress
            ).numpy()
        return self._known[part]

    def texts(self, sentences: list[str]) -> Features:
        vectors: Features = embed_texts(self.subject.encoder, sentences, progress=self.progress).numpy()
        return vectors

    def _views(self, part: ImageTextDataset) -> Float64:
        views = embed_views(
            self.subject.encoder,
            part,
            views=self.settings.views,
            seed=self.settings.seed,
            augment=self.subject.augment,
            progress=self.progress,
        )
        return view_likeness(views.numpy())

    _known: dict[str, Features] = field(default_factory=dict)


def _zero_shot_names(embedded: _Embedded) -> list[str]:
    return [f"zero_shot_{part}" for part in PARTS] if embedded.has_text else []
