"""Unlearning of classifiers: Contrastive Unlearning, CoUn, and the contrastive term of other methods."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import muc_core.unlearning.methods  # noqa: F401
from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.encoders.families.supervised import SupervisedModel
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.errors import MucError
from muc_core.losses.contrastive_unlearning import contrastive_unlearning
from muc_core.losses.cross_view import cross_view
from muc_core.unlearning.batches import ForgetLedPlan
from muc_core.unlearning.engine import Checkpoint, Trainer, TrainingDiverged, TrainingSet
from muc_core.unlearning.method import METHODS, Step
from muc_core.unlearning.settings import Seeds
from tests import tiny

FAMILY = FAMILIES.get("supervised")
RETAIN, FORGET = tiny.dataset(12, seed=1), tiny.dataset(6, seed=2)
METHOD = METHODS.get("contrastive-unlearning")


def labelled(dataset: ImageTextDataset, labels: list[str | None]) -> ImageTextDataset:
    items = [replace(item, label=label) for item, label in zip(dataset.items, labels, strict=True)]
    return ImageTextDataset(dataset.name, items, dataset.source)


def trainer(
    method_name: str,
    *,
    retain: ImageTextDataset = RETAIN,
    forget: ImageTextDataset = FORGET,
    classes: tuple[str, ...] = tiny.CLASSES,
    **given: Any,
) -> Trainer:
    method = METHODS.get(method_name)
    settings = method.settings(**{"epochs": 1, "batch_size": 18, "checkpoints": 1, **given})
    calibration = tiny.dataset(5, seed=3) if method.calibration else None
    used = retain if method.uses != "forget" else None, forget if method.uses != "retain" else None
    model = FAMILY.build(f"demo-resnet@{len(tiny.CLASSES)}", 0)
    data = TrainingSet(*used, calibration, classes)
    return Trainer(model, FAMILY, "demo-resnet@3", method, data, settings, Seeds.from_one(0))


def last(run: Trainer) -> Checkpoint:
    *_, checkpoint = run.run()
    return checkpoint


# the objectives


def a_batch() -> Batch:
    images = torch.cat([RETAIN.images(32)[:5], FORGET.images(32)[:3]])
    labels, forget = torch.tensor([0, 0, 1, 1, 2, 0, 1, 2]), torch.arange(5, 8)
    return Batch(images, None, forget, forget[:0], lambda images, _: images.float() / 255, labels=labels)


def test_contrastive_unlearning_minimises_what_its_docstring_says() -> None:
    model: SupervisedModel = FAMILY.build("demo-resnet@3", 0).eval()
    settings = METHOD.settings(unlearn=2.0, keep=0.5, tau=0.3)
    batch = a_batch()
    with torch.no_grad():
        terms = METHOD.objective(Step(FAMILY, model, batch, settings, 0.4))
        h = model.features(batch.images.float() / 255)
        z = F.normalize(h, dim=1)
        pushed = contrastive_unlearning(z[5:], z[:5], torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1, 1, 2]), 0.3)
        kept = F.cross_entropy(model.classifier(h[:5]), torch.tensor([0, 0, 1, 1, 2]))
    assert float(terms["unlearn"]) == pytest.approx(2 * float(pushed), rel=1e-5)
    assert float(terms["keep"]) == pytest.approx(0.5 * float(kept), rel=1e-5)


@pytest.mark.parametrize("name", ["coun", "finetune", "l1", "neggrad", "contrastive-unlearning"])
def test_the_contrastive_term_is_added_on_retained_pictures(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(name, contrast=2.0, contrast_temperature=0.5)
    seen: list[float] = []

    def watched(first: Tensor, second: Tensor, temperature: float) -> Tensor:
        assert len(first) == len(second) == 12
        assert temperature == 0.5
        value = cross_view(first, second, temperature)
        seen.append(float(value.detach()))
        return value

    monkeypatch.setattr("muc_core.unlearning.engine.cross_view", watched)
    terms = last(run).terms
    assert terms["contrast"] == pytest.approx(2 * sum(seen) / len(seen), rel=1e-5)
    assert "contrast" not in last(trainer(name, contrast=0.0)).terms


def test_coun_is_fine_tuning_with_the_term() -> None:
    same: dict[str, Any] = {"contrast": 1.0, "learning_rate": 1e-3, "schedule": "cosine"}
    first, second = (last(trainer(name, **same)).weights for name in ("coun", "finetune"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gradient-ascent", "Gradient ascent looks at no retained pictures"),
        ("ac", "Alignment Calibration has contrastive terms of its own"),
        ("ac-matched", "Control-matched AC has contrastive terms of its own"),
    ],
)
def test_the_term_is_refused_where_it_has_no_place(name: str, said: str) -> None:
    with pytest.raises(MucError, match=f"{said}.*; set contrast to 0"):
        trainer(name, contrast=1.0)


def test_families_without_classes_refuse_the_term_and_the_methods() -> None:
    clip, finetune = tiny.clip(), METHODS.get("finetune")
    model, tiny_clip = clip.build("muc-tiny", 0), "muc-tiny"
    settings = finetune.settings(contrast=1)
    with pytest.raises(MucError, match="clip contrasts pictures already, and the term is for classifiers"):
        Trainer(model, clip, tiny_clip, finetune, TrainingSet(RETAIN, None), settings, Seeds.from_one(0))
    for name in ("contrastive-unlearning", "coun"):
        method = METHODS.get(name)
        with pytest.raises(MucError, match="works on encoders of the family supervised, and this one is clip"):
            Trainer(model, clip, tiny_clip, method, TrainingSet(RETAIN, FORGET), method.settings(), Seeds.from_one(0))


# steps


def test_every_forget_batch_meets_omega_retain_batches() -> None:
    plan = ForgetLedPlan(retain=10, forget=7, batch_size=4, retain_batches=3)
    steps = list(plan.epoch(torch.Generator().manual_seed(0)))
    assert len(steps) == plan.steps == 2 * 3
    forget = [tuple(part.tolist()) for _, part in steps]
    assert forget[0] == forget[1] == forget[2] != forget[3] == forget[4] == forget[5]
    assert sorted(forget[0] + forget[3]) == list(range(7))
    retain = [number for part, _ in steps for number in part.tolist()]
    assert len(retain) == 6 * 4
    assert sorted(retain[:10]) == sorted(retain[10:20]) == list(range(10))  # none comes again before all have come
    assert retain[:10] != retain[10:20]


def test_fewer_retained_pictures_than_a_batch_are_all_in_each() -> None:
    steps = list(ForgetLedPlan(retain=3, forget=5, batch_size=8, retain_batches=2).epoch(torch.Generator()))
    assert [sorted(part.tolist()) for part, _ in steps] == [[0, 1, 2]] * 2
    for wrong in ({"retain": 0, "forget": 5}, {"retain": 5, "forget": 0}):
        with pytest.raises(MucError, match=r"retain|forget"):
            ForgetLedPlan(**wrong, batch_size=8, retain_batches=2)


# whole classes, small ones, and labels that are missing


def test_a_whole_class_is_forgotten_until_the_classifier_is_at_chance() -> None:
    retain = labelled(RETAIN, ["bird", "car"] * 6)
    forget = labelled(FORGET, ["cup"] * 6)
    given: dict[str, Any] = {"epochs": 30, "learning_rate": 0.02, "checkpoints": 120}  # one after each step
    runs = [trainer("contrastive-unlearning", retain=retain, forget=forget, **given) for _ in range(3)]
    for each in runs:
        model: Any = each.model
        with torch.no_grad():
            model.classifier.bias[2] += 2  # it knows the class at first
    run, first, second = runs
    end = last(run)
    assert end.step < run.total_steps
    assert end.step % run.plan.steps == 0
    assert end.step > run.plan.steps
    with torch.no_grad():
        named = run.model.eval()(FORGET.images(32).float() / 255).argmax(dim=1)
    assert float((named == 2).float().mean()) <= 1 / 3
    checkpoints = first.run()
    for _ in range(run.plan.steps + 1):
        next(checkpoints)
    second.restore(first.state())  # in the middle of an epoch
    *_, resumed = second.run()
    assert resumed.step == end.step
    assert all(torch.equal(resumed.weights[name], value) for name, value in end.weights.items())
    # single pictures have no such level
    some = trainer("contrastive-unlearning", retain=retain, epochs=3, learning_rate=0.1)
    assert last(some).step == some.total_steps


def test_a_class_with_one_picture_can_be_forgotten() -> None:
    retain = labelled(RETAIN, ["bird", "car"] * 6)
    forget = labelled(FORGET, ["cup", "bird", "car", "bird", "car", "bird"])
    for name in ("contrastive-unlearning", "ac", "neggrad", "gradient-ascent"):
        assert all(abs(value) < 1e4 for value in last(trainer(name, retain=retain, forget=forget)).terms.values())


def test_pictures_of_no_class_are_refused_by_name() -> None:
    strange = labelled(FORGET, ["bird", None, "car", "horse", "cup", "cup"])
    with pytest.raises(MucError, match=r"2 pictures are of no class .*'2-1', labelled None.*bird, car, cup"):
        trainer("neggrad", forget=strange)
    with pytest.raises(MucError, match="not known which classes this encoder tells apart"):
        trainer("finetune", classes=())
    nameless = ImageTextDataset("bare", [Item(str(n)) for n in range(12)], RETAIN.source)
    with pytest.raises(MucError, match="12 pictures are of no class"):
        trainer("finetune", retain=nameless)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    broken = trainer("contrastive-unlearning")
    model: Any = broken.model
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="became nan"):
        last(broken)
