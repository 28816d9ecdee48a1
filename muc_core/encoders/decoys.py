"""Decoys: pictures that a service is asked about together with the owner's, so that it is not told which are meant.

Every picture of the owner's comes with as many decoys as was asked for. They go the same way: as many views, the same
kinds of changed copies, captions beside captions; each batch is shuffled. The answers to them are thrown away, so that
the result is what it is without them. Once drawn, decoys stay the same for all questions of an audit: fresh ones each
time would be told by being asked about once only.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.remote.faults import RejectedPictures
from muc_core.errors import MucError

MOST = 100
"""Decoys of each picture, at most: each costs as much as the picture."""


@runtime_checkable
class OfOthers(Protocol):
    """An encoder that somebody else runs, who sees what is asked."""

    def together(self) -> Encoder:
        """The same encoder, which asks for all of a batch when any of it is not remembered: asking for those alone
        that were never asked for before would tell decoys from the rest."""


@dataclass(frozen=True, eq=False)
class Decoys:
    """Attributes:
    pictures: `per_picture` for each of the owner's.
    seed: of their choice and of the order of questions.
    """

    pictures: ImageTextDataset
    per_picture: int
    seed: int

    def of(self, rows: range) -> range:
        """Positions of the decoys of some of the owner's pictures."""
        return range(rows.start * self.per_picture, rows.stop * self.per_picture)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def draw_decoys(
    source: ImageTextDataset, pictures: int, *, per_picture: int, seed: int, avoid: Collection[str] = ()
) -> Decoys:
    """Draw decoys for so many pictures.

    Args:
        source: what they are drawn from.
        avoid: ids that are none, such as those of the owner's pictures and controls.

    Raises:
        MucError: fewer than are needed, or more than `MOST` of a picture.
    """
    if not 1 <= per_picture <= MOST:
        raise MucError(f"{per_picture} decoys of each picture are asked for; 1 to {MOST} are accepted")
    avoided = set(avoid)
    places = [place for place, item_id in enumerate(source.item_ids) if item_id not in avoided]
    needed = pictures * per_picture
    if len(places) < needed:
        raise MucError(
            f"{per_picture} decoys of each of {pictures:,} pictures are {needed:,}, and {source.name!r} holds "
            f"{len(places):,} that could be some; ask for up to {len(places) // pictures}, or name a larger set"
        )
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))[:needed].tolist()
    return Decoys(source.subset([source.item_ids[places[place]] for place in order], name="decoys"), per_picture, seed)


def ask_hidden(ask: Callable[[Tensor], Tensor], own: Tensor, decoys: Tensor, generator: torch.Generator) -> Tensor:
    """Vectors of pictures that are asked for among decoys, in one shuffled batch.

    Args:
        ask: gives vectors of pictures, such as an encoder's `encode_images`.
        own, decoys: uint8 `[n, 3, s, s]` and `[k, 3, s, s]`.
        generator: of the order.

    Raises:
        RejectedPictures: some of the own ones were refused.
        MucError: decoys alone were refused.
    """
    order = torch.randperm(len(own) + len(decoys), generator=generator)
    try:
        answers = ask(torch.cat([own, decoys])[order])
    except RejectedPictures as refusal:
        reasons = {int(order[place]): reason for place, reason in refusal.reasons.items()}
        mine = {place: reason for place, reason in reasons.items() if place < len(own)}
        if mine:
            raise RejectedPictures(refusal.endpoint, mine, len(own)) from refusal
        raise MucError(
            f"{refusal.endpoint} refused {len(reasons)} of the decoys ({next(iter(reasons.values()))}); take other "
            "decoys"
        ) from refusal
    return answers[order.argsort()[: len(own)]]


def captions_of(decoys: Decoys) -> list[str]:
    """Their captions. Raises `MucError` where there are none."""
    silent = next((item.id for item in decoys.pictures.items if not item.text), None)
    if silent is not None:
        raise MucError(f"the decoy {silent!r} has no caption, and captions are asked for; take decoys that have some")
    return [str(text) for text in decoys.pictures.texts]
