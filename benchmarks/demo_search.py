"""The search behind the demo's settings: tries settings of every method on one of the demo's original encoders.

    python -m benchmarks.demo_search ORIGINAL OUT.jsonl [METHOD ...]

Needs the original and its Retrain (`muc demo build --only ...`). Each line of OUT.jsonl is one run: method, settings,
figures, the gap to Retrain, the mean absolute difference over the figures named in `MEASURED`, and the miss, the same
difference to an aim that needs neither Retrain nor any audit's controls. Results are in docs/demo-search.md.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

import muc_core.encoders.load  # (registers the families)
import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.audit.summary import summarise_views
from muc_core.data.demo import load_demo
from muc_core.data.splits import DataSplit
from muc_core.encoders.base import Encoder
from muc_core.encoders.checkpoint import full, load_weights
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.family import FAMILIES
from muc_core.jobs.presets import suited_settings
from muc_core.unlearning.engine import Trainer, TrainingDiverged, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from muc_core.workspace import Workspace

MEASURED = {
    True: ("forget cosine", "forget top-1", "retain cosine", "retain top-1"),
    False: ("forget similarity", "forget AUC", "retain similarity", "retain AUC"),
}
"""By whether the encoder has a text tower."""


def two_view_candidates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Methods and settings to try on SimCLR and MoCo, beside those that their preset has."""
    for tied in (0.0, 1.0):
        for beta in (0.0, 2.0, 8.0, 20.0):
            for learning_rate in (3e-4, 1e-3):
                yield "ac", {"learning_rate": learning_rate, "alpha": tied, "gamma": tied, "beta": beta}
    for learning_rate in (1e-3, 3e-3):
        yield "finetune", {"learning_rate": learning_rate}
    for learning_rate in (3e-5, 1e-4, 3e-4):
        yield "gradient-ascent", {"learning_rate": learning_rate}
    for learning_rate in (1e-4, 3e-4, 1e-3):
        yield "neggrad", {"learning_rate": learning_rate}
    for penalty in (1e-4, 1e-3):
        yield "l1", {"penalty": penalty}
    for pull in (20.0, 100.0):
        yield "ac-matched", {"pull": pull, "keep": 20.0}


def clip_candidates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Methods and settings to try on CLIP."""
    for tied in (0.0, 1.0):
        for beta in (0.0, 1.0, 2.0, 4.0):
            for learning_rate in (1e-3, 2e-3):
                strength = {"alpha": tied, "gamma": tied, "beta": beta}
                yield "ac", {"epochs": 8, "learning_rate": learning_rate, "schedule": "cosine", **strength}
    for learning_rate in (2e-3, 4e-3):
        yield "finetune", {"epochs": 10, "learning_rate": learning_rate, "schedule": "cosine"}
    for learning_rate in (1e-4, 2e-4, 3e-4):
        yield "gradient-ascent", {"epochs": 5, "learning_rate": learning_rate}
    for learning_rate in (5e-4, 1e-3):
        yield "neggrad", {"epochs": 5, "learning_rate": learning_rate}
    for penalty in (1e-5, 1e-4):
        yield "l1", {"epochs": 10, "learning_rate": 2e-3, "penalty": penalty, "schedule": "cosine"}
    for pull in (2.0, 5.0, 20.0):
        yield "ac-matched", {"pull": pull, "keep": 2.0}
    for keep in (0.0, 8.0):
        yield "ac-matched", {"pull": 5.0, "keep": keep}
    yield "ac-matched", {"pull": 2.0, "keep": 2.0, "match": "mmd"}
    yield "ac-matched", {"pull": 5.0, "keep": 2.0, "match": "hinge"}
    for learning_rate in (5e-4, 2e-3):
        yield "ac-matched", {"pull": 5.0, "keep": 8.0, "learning_rate": learning_rate}
    yield "ac-matched", {"pull": 2.0, "keep": 8.0}


def measure(encoder: Encoder, split: DataSplit) -> dict[str, float]:
    """Figures of the parts of a split: how much each is remembered."""
    return _measure_captions(encoder, split) if encoder.has_text else _measure_views(encoder, split)


def _measure_captions(encoder: Encoder, split: DataSplit) -> dict[str, float]:
    """Matched cosine and top-1 retrieval among all captions of the demo."""
    dataset = load_demo()
    captions = F.normalize(embed_texts(encoder, [text or "" for text in dataset.texts]), dim=1)
    figures = {}
    for part, ids in (("forget", split.forget), ("retain", split.retain), ("held-out", split.held_out)):
        own = torch.tensor([dataset.index_of(item_id) for item_id in ids])
        similarity = F.normalize(embed_images(encoder, dataset.subset(ids)), dim=1) @ captions.T
        figures[f"{part} cosine"] = float(similarity[torch.arange(len(own)), own].mean())
        figures[f"{part} top-1"] = float((similarity.argmax(dim=1) == own).float().mean())
    return figures


def _measure_views(encoder: Encoder, split: DataSplit) -> dict[str, float]:
    """Mean similarity among a picture's own views, and how well its margin tells a part from the held-out pictures."""
    ids = (*split.forget, *split.retain, *split.held_out)
    _, scores = summarise_views(embed_views(encoder, load_demo().subset(ids)).numpy())
    sizes = [len(split.forget), len(split.retain)]
    positive, margin = (np.split(values, np.cumsum(sizes)) for values in (scores.positive, scores.margin))
    figures = {}
    for part, own, margins in zip(("forget", "retain", "held-out"), positive, margin, strict=True):
        figures[f"{part} similarity"] = float(own.mean())
        member = np.repeat([1, 0], [len(margins), len(margin[-1])])
        figures[f"{part} AUC"] = float(roc_auc_score(member, np.concatenate([margins, margin[-1]])))
    return figures


def miss(encoder: Encoder, original: Encoder, split: DataSplit) -> float:
    """How far an encoder is from the aim: the forget set like calibration pictures, the retained as in the original.

    The mean absolute difference over the figures named in `MEASURED`. The model owner can take it without Retrain, and
    no control of an audit is looked at.
    """
    split = split.model_copy(update={"held_out": split.calibration})
    found, before = measure(encoder, split), measure(original, split)
    names = MEASURED[encoder.has_text]
    aims = [found[name.replace("forget", "held-out")] if "forget" in name else before[name] for name in names]
    return sum(abs(found[name] - aim) for name, aim in zip(names, aims, strict=True)) / len(names)


def main(original_name: str, out: Path, methods: Sequence[str]) -> None:
    workspace = Workspace()
    original, target = (workspace.encoder(name) for name in (original_name, f"{original_name}-retrain"))
    manifest = original.manifest
    assert target.manifest.data is not None
    split, dataset, family = target.manifest.data.split, load_demo(), FAMILIES.get(manifest.family)
    start = full(load_weights(original.weights))
    wanted = measure(workspace.load(target.manifest.name), split)
    with out.open("a", encoding="utf-8") as file:
        before = workspace.load(original_name)
        for name, figures in (("original", measure(before, split)), ("retrain", wanted)):
            print(json.dumps({"method": name, **figures}), file=file, flush=True)
        for name, given in clip_candidates() if family.has_text else two_view_candidates():
            if methods and name not in methods:
                continue
            method = METHODS.get(name)
            model = family.build(manifest.architecture, seed=0)
            model.load_state_dict(start)
            data = TrainingSet.of(dataset, split, method)
            settings = suited_settings(method, manifest)(**given, checkpoints=1)
            record: dict[str, Any] = {"method": name, "settings": given, "epochs": settings.epochs}
            try:
                run = Trainer(model, family, manifest.architecture, method, data, settings, Seeds.from_one(0))
                (last,) = run.run()
            except TrainingDiverged as error:
                record["error"] = str(error)
            else:
                after = family.encoder(last.weights, manifest)
                found = measure(after, split)
                gap = sum(abs(found[key] - wanted[key]) for key in MEASURED[family.has_text]) / 4
                record |= {"run_time_s": round(last.run_time_s, 1), **found, "gap": gap}
                record["miss"] = miss(after, before, split)
            print(json.dumps(record), file=file, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
