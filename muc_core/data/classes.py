"""Labels of pictures as classes: as they are, or gathered into wider ones where there are too few pictures of each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from muc_core.errors import MucError

FEWEST = 5
"""Pictures that make a class large enough for a probe to learn it."""

LEARNED = 10
"""Likewise for an encoder that is trained on classes from nothing."""


def group_of(label: str | None) -> str | None:
    """The wider class of a label: `animal` of `animal-bird`."""
    return None if label is None else re.split(r"[-/:]", label, maxsplit=1)[0]


def groups_serve_better(labels: Sequence[str | None], fewest: int = FEWEST) -> bool:
    """Whether most pictures are of classes with fewer than `fewest` pictures, and of fewer such groups."""
    finer, wider = (in_large_classes(Counter(each), fewest) for each in (labels, map(group_of, labels)))
    return finer < len(labels) / 2 and wider > finer


def in_large_classes(counts: Mapping[str | None, int], fewest: int = FEWEST) -> int:
    """Pictures of classes with `fewest` pictures or more, from the number of pictures of each label."""
    return sum(count for label, count in counts.items() if label is not None and count >= fewest)


def class_names(labels: Sequence[str | None]) -> tuple[str, ...]:
    """The classes that a classifier of pictures with these labels tells apart, in the order of its outputs.

    Raises:
        MucError: a picture without a label, or fewer than two classes.
    """
    if not any(labels):
        raise MucError(
            "these pictures have no classes, and a supervised encoder learns from them; use data with labels, such as "
            "one folder per class or a column named label, or another family"
        )
    if None in labels:
        raise MucError(
            f"{list(labels).count(None)} pictures have no label, and a supervised encoder learns from labels; "
            "give every picture one or take these out"
        )
    wide = groups_serve_better(labels, LEARNED)
    names = tuple(sorted({str(group_of(label) if wide else label) for label in labels}))
    if len(names) < 2:
        raise MucError(f"all pictures are of the class {names[0]!r}, and a classifier needs at least two; add another")
    return names


def class_numbers(names: Sequence[str], labels: Sequence[str | None]) -> list[int]:
    """Position in `names` of each label, or of its group; -1 for a label that is in neither way among them."""
    known = {name: number for number, name in enumerate(names)}
    return [known.get(label or "", known.get(group_of(label) or "", -1)) for label in labels]
