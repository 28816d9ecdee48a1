"""Labels as classes: names, wider groups, numbers, and sentences for what no classifier can learn."""

import pytest

from muc_core.data.classes import class_names, class_numbers, group_of, groups_serve_better
from muc_core.errors import MucError


def test_labels_are_classes_in_alphabetical_order_and_are_found_again() -> None:
    names = class_names(["dog"] * 30 + ["cat"] * 30 + ["ant"])  # a class with one sample is one
    assert names == ("ant", "cat", "dog")
    assert class_numbers(names, ["dog", "ant", "horse", None, ""]) == [2, 0, -1, -1, -1]


def test_small_classes_are_gathered_into_groups_which_take_finer_labels() -> None:
    labels = [f"animal-{n}" for n in range(20)] + [f"food/{n}" for n in range(20)]
    assert group_of("animal-bird-small") == "animal"
    assert groups_serve_better(labels)
    names = class_names(labels)
    assert names == ("animal", "food")
    assert class_numbers(names, ["food/apple", "animal", "tool-saw"]) == [1, 0, -1]
    assert not groups_serve_better(["animal-bird"] * 30 + ["animal-cat"] * 30)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([None, None], "these pictures have no classes, and a supervised encoder learns from them"),
        (["cat", None, "dog"], "1 pictures have no label"),
        (["cat", "cat"], "all pictures are of the class 'cat', and a classifier needs at least two"),
    ],
)
def test_what_no_classifier_can_learn_is_refused(labels: list[str | None], said: str) -> None:
    with pytest.raises(MucError, match=said):
        class_names(labels)
