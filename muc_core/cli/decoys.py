"""`--decoys`: pictures of others that an encoder behind a URL is asked about together with the owner's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from muc_core.cli.output import note
from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.data.dataset import ImageTextDataset
    from muc_core.data.splits import DataSplit
    from muc_core.encoders.base import Encoder
    from muc_core.encoders.decoys import Decoys


def decoys_for(
    encoders: Sequence["Encoder"],
    owner: "ImageTextDataset",
    controls: "ImageTextDataset",
    *,
    count: int,
    source: str,
    dataset: "ImageTextDataset",
    split: "DataSplit | None",
    views: int,
    seed: int,
) -> "Decoys | None":
    """The decoys, after saying what is sent to whom; None when no encoder is asked by a URL and none are wanted.

    Args:
        count: of each picture.
        source: a set or path that they are drawn from.

    Raises:
        MucError: decoys for encoders that run here, or too few pictures to draw them from.
    """
    from muc_core.auditing import most_asked
    from muc_core.data.sets import resolve_items
    from muc_core.encoders.decoys import draw_decoys
    from muc_core.encoders.remote.encoder import RemoteEncoder

    far = [encoder for encoder in encoders if isinstance(encoder, RemoteEncoder)]
    if count and not far:
        raise MucError("--decoys hide pictures from encoders behind a URL, and all of these run here; leave it out")
    for encoder in far:
        pictures, texts = most_asked(len(owner), len(controls), decoys=count, views=views)
        cost = encoder.estimate(pictures, texts if encoder.has_text else 0)
        note(
            f"{encoder.name} is behind {encoder.settings.endpoint}: up to {pictures:,} pictures are sent there, in "
            f"{cost.requests:,} requests and {cost.bytes / 2**20:,.1f} MB"
            + (f", {count} decoys of each picture among them." if count else ", yours before the others.")
        )
    if not count:
        return None
    drawn_from = resolve_items(source, dataset=dataset, split=split)
    return draw_decoys(drawn_from, len(owner), per_picture=count, seed=seed, avoid={*owner.ids, *controls.ids})
