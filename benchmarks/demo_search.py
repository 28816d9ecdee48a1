"""The search behind the demo's settings: tries settings of every method on the demo's original encoder.

    python -m benchmarks.demo_search OUT.jsonl [METHOD ...]

Needs `demo-clip` and `demo-clip-retrain` (`muc demo build --only ...`). Each line of OUT.jsonl is one run: method,
settings, figures, and the gap to Retrain, the mean absolute difference over the figures of `MEASURED`. The results are
written down in docs/demo-search.md.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import muc_core.encoders.load  # (registers the families)
import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.checkpoint import full, load_weights
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import EncoderManifest
from muc_core.unlearning.engine import Trainer, TrainingDiverged, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from muc_core.workspace import Workspace

MEASURED = ("forget cosine", "forget top-1", "retain cosine", "retain top-1")


def candidates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Methods and settings to try."""
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


CANDIDATE = EncoderManifest(name="candidate", title="candidate", family="clip", architecture="muc-tiny")


def measure(weights: dict[str, Tensor]) -> dict[str, float]:
    """Matched cosine and top-1 retrieval among all captions of the demo, per part of the split."""
    encoder = FAMILIES.get("clip").encoder(weights, CANDIDATE)
    dataset, split = load_demo(), demo_split()
    captions = F.normalize(embed_texts(encoder, [text or "" for text in dataset.texts]), dim=1)
    figures = {}
    for part, ids in (("forget", split.forget), ("retain", split.retain), ("held-out", split.held_out)):
        own = torch.tensor([dataset.index_of(item_id) for item_id in ids])
        similarity = F.normalize(embed_images(encoder, dataset.subset(ids)), dim=1) @ captions.T
        figures[f"{part} cosine"] = float(similarity[torch.arange(len(own)), own].mean())
        figures[f"{part} top-1"] = float((similarity.argmax(dim=1) == own).float().mean())
    return figures


def main(out: Path, methods: Sequence[str]) -> None:
    dataset, split, family = load_demo(), demo_split(), FAMILIES.get("clip")
    retain = training_subset(dataset, split, "retain")
    forget = training_subset(dataset, split, "forget")
    workspace = Workspace()
    original, target = (
        full(load_weights(workspace.encoder(name).weights)) for name in ("demo-clip", "demo-clip-retrain")
    )
    wanted = measure(target)
    with out.open("a", encoding="utf-8") as file:
        for name, figures in (("original", measure(original)), ("retrain", wanted)):
            print(json.dumps({"method": name, **figures}), file=file, flush=True)
        for name, given in candidates():
            if methods and name not in methods:
                continue
            method = METHODS.get(name)
            model = family.build("muc-tiny", seed=0)
            model.load_state_dict(original)
            data = TrainingSet(retain if method.uses != "forget" else None, forget if method.uses != "retain" else None)
            record: dict[str, Any] = {"method": name, "settings": given}
            try:
                run = Trainer(
                    model, family, "muc-tiny", method, data, method.settings(**given, checkpoints=1), Seeds.from_one(0)
                )
                (last,) = run.run()
            except TrainingDiverged as error:
                record["error"] = str(error)
            else:
                found = measure(last.weights)
                gap = sum(abs(found[key] - wanted[key]) for key in MEASURED) / len(MEASURED)
                record |= {"run_time_s": round(last.run_time_s, 1), **found, "gap": gap}
            print(json.dumps(record), file=file, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
