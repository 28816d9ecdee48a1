"""Embeddings of a chat message with picture parts, one item a request (vLLM's extension of `/v1/embeddings`)."""

from collections.abc import Sequence
from typing import ClassVar

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class Messages(Dialect):
    """`{"model", "messages": [{"role": "user", "content": [{"type": "image_url", ...}]}], "encoding_format"}`."""

    name = "messages"
    title = "Chat messages with image_url parts (vLLM)"
    path = "/v1/embeddings"
    most_items = 1
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        (picture,) = pictures
        return _body(model, {"type": "image_url", "image_url": {"url": picture.data_uri}}, numbers)

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        (text,) = texts
        return _body(model, {"type": "text", "text": text}, numbers)


def _body(model: str, part: Body, numbers: NumberType) -> Body:
    return {"model": model, "messages": [{"role": "user", "content": [part]}], "encoding_format": numbers}


DIALECTS.register(Messages.name, Messages())
