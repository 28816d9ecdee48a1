"""Asking the user before pictures go to an encoder behind a URL."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from dashboard.services.encoders import VIEWS
from dashboard.services.home import workspace
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.remote.encoder import Cost, RemoteEncoder
from muc_core.errors import MucError


@dataclass(frozen=True)
class Question:
    """What a page is about to send to somebody else's machine, and for which the user is asked first.

    Attributes:
        key: of the very same question.
        costs: a sentence for each encoder behind a URL.
    """

    key: str
    costs: tuple[str, ...]


class MustAsk(MucError):
    """Going on would send pictures to an encoder behind a URL; the user has not been asked yet."""

    def __init__(self, question: Question) -> None:
        super().__init__(" ".join(question.costs))
        self.question = question


@st.cache_resource(show_spinner=False)
def _agreed() -> set[str]:
    """Keys of the questions answered with yes; what was asked once is remembered and costs nothing again."""
    return set()


def agree(question: Question) -> None:
    """The user wants the pictures to be sent. Raises `MucError` when that is not the user's to say."""
    workspace().note("pictures sent", {"question": question.key})
    _agreed().add(question.key)


Looks = Literal["pictures", "image-text", "two-view"]
"""What an encoder is given: pictures, pictures and their captions, or several views of each picture."""


def ask_first(encoders: Iterable[Encoder], parts: Sequence[ImageTextDataset], looks: Looks) -> None:
    """Ask the user before pictures go to an encoder behind a URL. Raises `MustAsk` until the user agreed."""
    remote = {one.digest: one for one in encoders if isinstance(one, RemoteEncoder)}
    if not remote:
        return
    content = "/".join([looks, *remote, *(part.digest() for part in parts)])
    key = hashlib.sha256(content.encode()).hexdigest()
    if key in _agreed():
        return
    costs = [cost for digest in remote if (cost := _cost(digest, key, looks, _asked=remote[digest], _parts=parts))]
    if costs:
        raise MustAsk(Question(key, tuple(costs)))


@st.cache_data(show_spinner="Counting what would be sent ...", ttl=30, max_entries=16)
def _cost(digest: str, key: str, looks: Looks, *, _asked: RemoteEncoder, _parts: Sequence[ImageTextDataset]) -> str:
    """What would be sent, a sentence; empty when all is known already."""
    count = sum(map(len, _parts))
    size, texts = _asked.image_size, looks == "image-text"
    if looks == "two-view":
        what, cost = f"{VIEWS} views of {count:,} pictures", _asked.estimate(VIEWS * count)
    else:
        what = f"{count:,} pictures" + (" and their captions" if texts else "")
        cost = _asked.estimate(count, count if texts else 0)
        first = range(min(32, len(_parts[0])))
        # Only then is it worth packing all pictures to know it exactly.
        if _asked.cost(_parts[0].images(size, first)).cached == len(first):
            every = [
                _asked.cost(part.images(size), [text or "" for text in part.texts] if texts else ()) for part in _parts
            ]
            cost = Cost(sum(one.requests for one in every), sum(one.bytes for one in every), 0)
    if not cost.requests:
        return ""
    return (
        f"{_asked.name} is behind {_asked.settings.endpoint}. To show this, {what} are sent there: up to "
        f"{cost.requests:,} requests and {cost.bytes / 2**20:,.1f} MB, which its owner may see and charge for."
    )
