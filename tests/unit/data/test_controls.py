"""Controls matched by looks and class, and those of the last resort."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from muc_core.audit.guard import control_guard
from muc_core.data.controls import TRANSFORMED, matched_controls, transformed_controls
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.demo import load_demo
from muc_core.errors import MucError

SIZE = 64


@pytest.fixture(scope="module")
def drawings() -> Tensor:
    return load_demo().images(SIZE)[np.random.default_rng(0).permutation(len(load_demo()))]


def dataset(pixels: Tensor, name: str, labels: list[str | None] | None = None) -> ImageTextDataset:
    items = [Item(f"{name}-{row}", label=None if labels is None else labels[row]) for row in range(len(pixels))]
    return ImageTextDataset(name, items, TensorImages(pixels.contiguous()))


def darker(pixels: Tensor) -> Tensor:
    return (pixels.float() * 0.6).to(torch.uint8)


def test_controls_look_like_the_owners_pictures(drawings: Tensor) -> None:
    owner = dataset(darker(drawings[:30]), "mine")
    pool = dataset(torch.cat([drawings[30:330], darker(drawings[330:480])]), "pool")
    found = matched_controls(owner, pool, most=100, seed=0)
    dark = sum(int(item_id.split("-")[1]) >= 300 for item_id in found.dataset.ids)
    assert dark >= 98
    assert all("copies" in warning for warning in found.warnings)

    def fair(controls: ImageTextDataset) -> bool | None:
        return control_guard(owner.images(32).numpy(), controls.images(32).numpy(), seed=0).passed

    assert fair(pool.subset(pool.ids[200:300])) is False
    assert fair(found.dataset) is True


def test_each_is_taken_once_and_the_nearest_first(drawings: Tensor) -> None:
    owner = dataset(drawings[:5], "mine")
    near = drawings[:5].flip(2)  # upside down: the same colours and edges, no copy
    pool = dataset(torch.cat([drawings[100:140], near]), "pool")
    found = matched_controls(owner, pool, most=20, seed=0).dataset
    assert len(set(found.ids)) == 20
    assert set(found.ids[:5]) == {f"pool-{row}" for row in range(40, 45)}


def jpeg(pixels: Tensor) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=85)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def test_copies_of_the_owners_pictures_are_no_controls(drawings: Tensor) -> None:
    owner = dataset(drawings[:4], "mine")
    copies = [drawings[0], drawings[1].flip(2), jpeg(drawings[2])]
    pool = dataset(torch.cat([drawings[100:130], torch.stack(copies)]), "pool")
    found = matched_controls(owner, pool, most=33, seed=0)
    assert set(found.dataset.ids) == {f"pool-{row}" for row in range(30)}
    assert found.warnings[0].startswith("3 of the pictures")
    assert "33 controls were asked for and only 30" in found.warnings[1]


def test_the_owners_own_ids_are_no_controls(drawings: Tensor) -> None:
    everything = dataset(drawings[:40], "all")
    found = matched_controls(everything.subset(everything.ids[:10]), everything, most=30, seed=0)
    assert set(found.dataset.ids) == set(everything.ids[10:])


def test_the_same_class_is_preferred(drawings: Tensor) -> None:
    owner = dataset(drawings[:10], "mine", ["bird"] * 10)
    labels: list[str | None] = ["bird" if row % 3 == 0 else "car" for row in range(90)]
    found = matched_controls(owner, dataset(drawings[100:190], "pool", labels), most=30, seed=0)
    assert sum(item.label == "bird" for item in found.dataset.items) >= 27
    without = matched_controls(owner, dataset(drawings[100:190], "pool"), most=30, seed=0)
    assert sum(labels[int(item_id.split("-")[1])] == "bird" for item_id in without.dataset.ids) < 20


def test_fair_pictures_stay_fair(drawings: Tensor) -> None:
    """Choosing by looks must not make controls that differ otherwise."""
    passed = 0
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(drawings))
        owner, pool = dataset(drawings[order[:30]], "mine"), dataset(drawings[order[30:330]], "pool")
        controls = matched_controls(owner, pool, most=100, seed=seed).dataset
        passed += control_guard(owner.images(32).numpy(), controls.images(32).numpy(), seed=seed).passed is True
    assert passed >= 9


def test_the_same_seed_gives_the_same_controls(drawings: Tensor) -> None:
    owner, pool = dataset(drawings[:10], "mine"), dataset(drawings[100:200], "pool")
    first, again = (matched_controls(owner, pool, most=40, seed=1).dataset.ids for _ in range(2))
    assert first == again


def test_nothing_to_choose_from_is_said(drawings: Tensor) -> None:
    owner = dataset(drawings[:4], "mine")
    with pytest.raises(MucError, match="not one of the owner's"):
        matched_controls(owner, dataset(drawings[:3], "pool"), most=20, seed=0)
    with pytest.raises(MucError, match="at least 1"):
        matched_controls(owner, dataset(drawings[10:30], "pool"), most=0, seed=0)
    with pytest.raises(MucError, match="at least 1"):
        transformed_controls(owner, most=0, seed=0)


def test_controls_of_the_last_resort_are_other_pictures_and_warned_about(drawings: Tensor) -> None:
    others = dataset(drawings[:40], "others", ["bird"] * 40)
    found = transformed_controls(others, most=30, seed=0)
    assert found.warnings == (TRANSFORMED,)
    assert len(found.dataset) == 30
    assert set(found.dataset.ids) <= set(others.ids)
    assert all(item.label == "bird" for item in found.dataset.items)
    changed, plain = found.dataset.images(SIZE), others.subset(found.dataset.ids).images(SIZE)
    assert changed.shape == plain.shape
    differences = (changed.float() - plain.float()).flatten(1).square().mean(dim=1).sqrt()
    assert differences.min() > 10
    assert torch.equal(changed, transformed_controls(others, most=30, seed=0).dataset.images(SIZE))
    assert torch.equal(changed[3:5], found.dataset.images(SIZE, [3, 4]))
    assert len(transformed_controls(others, most=99, seed=0).dataset) == 40


def test_a_strong_change_is_a_cut_a_turn_and_other_colours() -> None:
    red = torch.zeros((1, 3, SIZE, SIZE), dtype=torch.uint8)
    red[:, 0] = torch.arange(SIZE).to(torch.uint8) * 3
    changed = transformed_controls(dataset(red, "one"), most=1, seed=3).dataset.images(SIZE)[0].float()
    used = [channel for channel in range(3) if changed[channel].any()]
    assert len(used) == 1
    ramp = changed[used[0]]
    # a ramp across became one down, over 40 % of its range
    assert ramp.std(dim=1).max() < 1
    assert float(ramp.max() - ramp.min()) == pytest.approx(0.4 * 3 * SIZE, rel=0.15)
