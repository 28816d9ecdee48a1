"""An audit of vectors alone: nobody shows a picture, and no encoder can be asked.

The statistics are those of any audit. What takes pictures or an encoder is listed among the checks as not made: whether
the controls look like the owner's pictures, whether changed copies are answered otherwise, whether the encoder answers
the same again. Without these no verdict is "forgotten" (`verdict.NOT_TO_BE_MISSED`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from muc_core.audit.audit import AuditSettings, check_counts
from muc_core.audit.collateral import BYSTANDERS, Bystander, collateral
from muc_core.audit.geometry import compare_encoders, not_compared
from muc_core.audit.honesty import MOST_CONTROLS, MOST_OWNED, noise_filter, not_probed, singled_out, useful
from muc_core.audit.inputs import AuditInputs
from muc_core.audit.result import GUARD, Check
from muc_core.audit.vectors import Vectors

LIMITS = (
    "This audit saw vectors and neither a picture nor an encoder: that they are what the named encoders make of the "
    "pictures meant, and that the controls were never trained on or fitted to, is the word of whoever wrote the file."
)


def inputs_of_vectors(
    vectors: Mapping[str, Vectors],
    owner_ids: Sequence[str],
    control_ids: Sequence[str],
    *,
    retained: Mapping[str, Vectors] | None = None,
    retained_ids: Sequence[str] = (),
    settings: AuditSettings,
    warnings: Sequence[str] = (),
) -> AuditInputs:
    """What an audit is computed from, with the checks that vectors allow and those that they do not.

    Args:
        vectors: by encoder: "after", and "before" and "retrained" where there are any; the owner's items come first.
        retained: vectors of items that were to be kept, by encoder, for collateral.
        warnings: to be passed on, after `LIMITS`.

    Raises:
        MucError: as `audit.audit`.
    """
    check_counts(owner_ids, control_ids)
    before, n, m = vectors.get("before"), len(owner_ids), len(control_ids)
    bystanders = None
    if before is not None:
        rows = np.arange(n, n + min(m, BYSTANDERS))
        known = [some.take(rows) for some in (before, vectors["after"])]
        items = [Bystander(item_id, "controls") for item_id in control_ids[:BYSTANDERS]]
        if retained:
            kept = np.arange(min(len(retained_ids), BYSTANDERS))
            others = [retained[name].take(kept) for name in ("before", "after")]
            known = [some.join(more) for some, more in zip(known, others, strict=True)]
            items += [Bystander(item_id, "retained") for item_id in retained_ids[:BYSTANDERS]]
        bystanders = collateral(known[0], known[1], items)
    return AuditInputs(
        vectors,
        tuple(owner_ids),
        tuple(control_ids),
        settings,
        (
            *_unasked(),
            singled_out(vectors["after"], before, [*owner_ids, *control_ids], n, seed=settings.seed),
            *checks_of_vectors(vectors["after"], before, n, seed=settings.seed),
        ),
        bystanders,
        (LIMITS, *warnings),
    )


def checks_of_vectors(after: Vectors, before: Vectors | None, owner: int, *, seed: int) -> tuple[Check, ...]:
    """The probes that take vectors alone: noise, one answer for many, still an encoder, unchanged, rotated.

    Captions are left out of the first two: equal vectors of captions may be those of one caption of two pictures.

    Args:
        owner: how many of the items are the owner's, the first ones; of more than `MOST_OWNED`, and `MOST_CONTROLS`
            controls, so many are drawn.
    """
    generator = np.random.default_rng(seed)
    mine = _draw(np.arange(owner), MOST_OWNED, generator)
    theirs = _draw(np.arange(owner, after.n), MOST_CONTROLS, generator)
    shown = after.take(theirs)
    margins = shown.scores(_unnamed(shown)).margin
    noise = noise_filter({"picture": (after.take(mine).images, shown.images)})
    if before is None:
        return *noise, useful(margins), *not_compared("there are no vectors of the encoder before")
    earlier = before.take(theirs)
    usefulness = useful(margins, earlier.scores(_unnamed(earlier)).margin)
    if before.dimension != after.dimension:
        return (
            *noise,
            usefulness,
            *not_compared(
                f"the encoder before gives {before.dimension} numbers a picture and the one after {after.dimension}"
            ),
        )
    return *noise, usefulness, *compare_encoders({"picture": (earlier.images, shown.images)})


def _unasked() -> tuple[Check, ...]:
    guard = Check(
        name=GUARD,
        passed=None,
        value="there are no pictures",
        meaning="Whether the controls look like your pictures could not be asked.",
    )
    return guard, *not_probed("there is no encoder to ask")


def _draw(places: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return places if len(places) <= most else np.sort(generator.choice(places, most, replace=False))


def _unnamed(vectors: Vectors) -> list[str]:
    return [""] * vectors.n
