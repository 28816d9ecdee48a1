"""Which classes a probe can learn from retained pictures, and what that leaves out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from muc_core.data.classes import FEWEST, group_of, groups_serve_better
from muc_core.data.paths import name_some
from muc_core.errors import MucError

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Classes:
    """Class numbers of the pictures of each set.

    Attributes:
        names: of the classes that the probe learns; class k is `names[k]`.
        forget, retain, held_out: `[n]` each; -1: left out, and `len(names)`, in the forget set alone: of a class that
            is forgotten as a whole, which the probe cannot know.
        notes: what was left out or is by construction, in sentences.
    """

    names: tuple[str, ...]
    forget: Codes
    retain: Codes
    held_out: Codes
    notes: tuple[str, ...]


def choose_classes(
    forget: Sequence[str | None],
    retain: Sequence[str | None],
    held_out: Sequence[str | None],
    *,
    fewest: int = FEWEST,
) -> Classes:
    """The classes with enough retained pictures.

    Labels such as `animal-bird` are gathered into `animal` when the finer classes would leave out most retained
    pictures.

    Args:
        forget, retain, held_out: label of each picture, None where it has none.
        fewest: retained pictures that a class must have.

    Raises:
        MucError: no labels, or fewer than two classes with enough retained pictures.
    """
    parts: dict[str, Sequence[str | None]] = {"forget": forget, "retain": retain, "held_out": held_out}
    if not any(label is not None for label in retain):
        raise MucError(
            "these pictures have no classes: RA, TA, UA and CMIA ask a classifier for them; use data with labels, such "
            "as one folder per class or a column named label"
        )
    notes = []
    if groups_serve_better(retain, fewest):
        parts = {name: tuple(map(group_of, labels)) for name, labels in parts.items()}
        notes.append("Classes are the groups of the labels (animal-bird counts as animal): finer ones are small.")
    counts = Counter(label for label in parts["retain"] if label is not None)
    names = tuple(sorted(label for label, count in counts.items() if count >= fewest))
    if len(names) < 2:
        raise MucError(
            f"only {len(names)} of {len(counts)} classes have {fewest} or more retained pictures, and a probe needs at "
            "least two; use data with more pictures of each class"
        )
    numbers = {name: number for number, name in enumerate(names)}
    codes = {name: np.array([numbers.get(label or "", -1) for label in labels]) for name, labels in parts.items()}
    whole = Counter(label for label in parts["forget"] if label is not None and label not in counts)
    if wholly := sorted(label for label, count in whole.items() if count >= fewest):
        gone = np.isin(np.array([label or "" for label in parts["forget"]]), wholly)
        codes["forget"][gone] = len(names)
        notes.append(
            f"Forgotten as a whole: {name_some(wholly)}. No retained picture shows it, so that a probe cannot name it "
            f"and UA counts its {int(gone.sum())} pictures as wrong, whatever the encoder is."
        )
    notes += _left_out(counts, codes, fewest)
    return Classes(names, codes["forget"], codes["retain"], codes["held_out"], tuple(notes))


def _left_out(counts: Counter[str], codes: Mapping[str, Codes], fewest: int) -> list[str]:
    small = sorted(label for label, count in counts.items() if count < fewest)
    if not small:
        return []
    single = [label for label in small if counts[label] == 1]
    one = f", {len(single)} of them with a single one" if single else ""
    pictures = sum(int((code == -1).sum()) for code in codes.values())
    return [
        f"Left out are {len(small)} classes with fewer than {fewest} retained pictures{one}, with all their pictures "
        f"({pictures})."
    ]
