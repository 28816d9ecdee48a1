"""Relearning: how much is mixed in, when it is looked at, and that it learns what it is shown."""

import pytest
import torch

from muc_core.errors import MucError
from muc_core.jobs.relearning import Recipe, mixed_in, relearn
from tests.tiny import clip, dataset

RECIPE = Recipe(steps=6, every=2, pass_steps=2, batch_size=8, learning_rate=1e-3, augment=None)


@pytest.mark.parametrize(
    ("known", "retain", "expected"),
    [(6, 100, 10), (6, 4, 4), (30, 100, 30), (16, 100, 16)],
    ids=["fills the pass", "all there are", "as many as relearned", "no room"],
)
def test_as_many_are_mixed_in_as_fill_a_pass(known: int, retain: int, expected: int) -> None:
    assert mixed_in(known, retain, RECIPE) == expected


def test_it_is_looked_at_after_each_so_many_steps_and_changes_the_model() -> None:
    family = clip()
    model = family.build("muc-tiny", 0)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    looks = list(
        relearn(model, family, "muc-tiny", known=dataset(6), retain=dataset(10, seed=1), recipe=RECIPE, seed=0)
    )
    assert [step for step, _ in looks] == [2, 4, 6]
    first, last = looks[0][1], looks[-1][1]
    assert not torch.equal(first["logit_scale"], start["logit_scale"])
    assert not torch.equal(first["logit_scale"], last["logit_scale"])
    assert set(last) == set(start)


def test_passes_that_do_not_divide_end_at_the_first_look_with_enough_steps() -> None:
    family = clip()
    recipe = Recipe(steps=4, every=2, pass_steps=1, batch_size=6, learning_rate=1e-3, augment=None)
    looks = list(
        relearn(
            family.build("muc-tiny", 0),
            family,
            "muc-tiny",
            known=dataset(8),
            retain=dataset(8, seed=1),
            recipe=recipe,
            seed=0,
        )
    )
    assert [step for step, _ in looks] == [2, 4]


def test_pictures_without_captions_are_refused() -> None:
    silent = dataset(6)
    items = [type(item)(item.id) for item in silent.items]
    without = type(silent)("silent", items, silent.source)
    with pytest.raises(MucError, match="have no caption"):
        next(
            relearn(
                clip().build("muc-tiny", 0),
                clip(),
                "muc-tiny",
                known=without,
                retain=dataset(10, seed=1),
                recipe=RECIPE,
                seed=0,
            )
        )
