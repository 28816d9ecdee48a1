"""Controls must be new to the encoders that they are asked of: never trained on, and nothing that one was fitted to."""

from collections.abc import Iterable, Sequence

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.splits import DataSplit
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.unlearning.method import METHODS

PIXELS = 32
"""Side at which pictures are compared."""


def seen(items: ImageTextDataset, dataset: ImageTextDataset, ids: Sequence[str]) -> list[str]:
    """Ids of items that are the pictures of those ids in the data; uploads may bear the same names."""
    known = set(ids)
    common = [item_id for item_id in items.ids if item_id in known]
    if not common:
        return []
    ours, theirs = items.subset(common).images(PIXELS), dataset.subset(common).images(PIXELS)
    same = (ours == theirs).flatten(1).all(dim=1).tolist()
    return [item_id for item_id, is_same in zip(common, same, strict=True) if is_same]


def refuse_fitted_controls(
    controls: ImageTextDataset,
    dataset: ImageTextDataset,
    split: DataSplit | None,
    encoders: Iterable[EncoderManifest],
) -> None:
    """A method that makes forgotten pictures like calibration pictures would pass any audit with these as controls.

    Raises:
        MucError: a control is a calibration picture that an encoder's unlearning compared the forgotten ones with.
    """
    for manifest in encoders:
        if split is None or manifest.method not in METHODS.names() or not METHODS.get(manifest.method).calibration:
            continue
        if wrong := seen(controls, dataset, split.calibration):
            raise MucError(
                f"the control {wrong[0]!r} (one of {len(wrong)}) was used to unlearn {manifest.name!r}: the forgotten "
                "pictures were made like it; choose other controls, such as held-out"
            )
