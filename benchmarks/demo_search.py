"""The search behind the demo's settings: trains the original and Retrain, then tries settings of every method.

    python -m benchmarks.demo_search OUT.jsonl

Each line of OUT.jsonl is one run: method, settings, figures before and after, and the gap to Retrain, which is the mean
absolute difference over the figures of `MEASURED`. Results are written down in docs/demo-search.md.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import muc_core.encoders.load
import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.splits import training_subset
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.family import FAMILIES
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds

MEASURED = ("forget cosine", "forget top-1", "retain cosine", "retain top-1")
PRETRAINING = {"epochs": 60, "learning_rate": 2e-3}


def candidates() -> Iterator[tuple[str, dict[str, Any]]]:
    """Methods and settings to try."""
    for learning_rate in (5e-4, 1e-3, 2e-3, 4e-3):
        yield "finetune", {"epochs": 10, "learning_rate": learning_rate}
    for learning_rate in (1e-4, 3e-4, 1e-3, 3e-3):
        yield "gradient-ascent", {"epochs": 5, "learning_rate": learning_rate}
    for learning_rate in (1e-4, 2e-4, 5e-4, 1e-3):
        yield "neggrad", {"epochs": 5, "learning_rate": learning_rate}
    for penalty in (1e-6, 1e-5, 1e-4):
        for learning_rate in (1e-3, 2e-3):
            yield "l1", {"epochs": 10, "learning_rate": learning_rate, "penalty": penalty}
    for tied in (0.0, 1.0):
        for beta in (0.0, 2.0, 4.0, 8.0, 16.0):
            for learning_rate in (5e-4, 1e-3):
                yield (
                    "ac",
                    {"epochs": 8, "learning_rate": learning_rate, "alpha": tied, "gamma": tied, "beta": beta},
                )


def measure(weights: dict[str, Tensor]) -> dict[str, float]:
    """Matched cosine and top-1 retrieval among all captions of the demo, per part of the split."""
    encoder = FAMILIES.get("clip").encoder("muc-tiny", weights, name="candidate", digest="")
    dataset, split = load_demo(), demo_split()
    captions = F.normalize(embed_texts(encoder, [text or "" for text in dataset.texts]), dim=1)
    figures = {}
    for part, ids in (("forget", split.forget), ("retain", split.retain), ("held-out", split.held_out)):
        own = torch.tensor([dataset.index_of(item_id) for item_id in ids])
        similarity = F.normalize(embed_images(encoder, dataset.subset(ids)), dim=1) @ captions.T
        figures[f"{part} cosine"] = float(similarity[torch.arange(len(own)), own].mean())
        figures[f"{part} top-1"] = float((similarity.argmax(dim=1) == own).float().mean())
    return figures


def main(out: Path) -> None:
    dataset, split, family = load_demo(), demo_split(), FAMILIES.get("clip")
    retain, forget = (training_subset(dataset, split, part) for part in ("retain", "forget"))  # type: ignore[arg-type]
    train = training_subset(dataset, split, "train")

    def attempt(name: str, given: dict[str, Any], data: TrainingSet, start: dict[str, Tensor] | None) -> dict[str, Tensor]:
        method = METHODS.get(name)
        settings = method.settings(**given, checkpoints=1)
        seeds = Seeds.from_one(0)
        model = family.build("muc-tiny", seeds.weights)
        if start is not None:
            model.load_state_dict(start)
        (last,) = Trainer(model, family, "muc-tiny", method, data, settings, seeds).run()
        record["run_time_s"] = round(last.run_time_s, 1)
        return last.weights

    with out.open("a", encoding="utf-8") as file:

        def write() -> None:
            file.write(json.dumps(record) + "\n")
            file.flush()

        record: dict[str, Any] = {"method": "original", "settings": PRETRAINING}
        original = attempt("retrain", PRETRAINING, TrainingSet(train, None), None)
        record |= measure(original)
        write()
        record = {"method": "retrain", "settings": PRETRAINING}
        target = measure(attempt("retrain", PRETRAINING, TrainingSet(retain, None), None))
        record |= target
        write()
        for name, given in candidates():
            method = METHODS.get(name)
            data = TrainingSet(
                retain if method.uses != "forget" else None, forget if method.uses != "retain" else None
            )
            record = {"method": name, "settings": given}
            try:
                found = measure(attempt(name, given, data, original))
            except ValueError as error:
                record["error"] = str(error)
            else:
                record |= found
                record["gap"] = sum(abs(found[key] - target[key]) for key in MEASURED) / len(MEASURED)
            write()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
