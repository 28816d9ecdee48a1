"""Voyage's `/v1/multimodalembeddings`: inputs made of content parts, pictures as data URIs in `image_base64`."""

from collections.abc import Sequence
from typing import ClassVar

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class Voyage(Dialect):
    """`{"model", "inputs": [{"content": [{"type": "image_base64", "image_base64": data URI}]}], "output_encoding"}`."""

    name = "voyage"
    title = "Voyage multimodal embeddings"
    path = "/v1/multimodalembeddings"
    most_items = 64
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return _body(
            model, [{"type": "image_base64", "image_base64": picture.data_uri} for picture in pictures], numbers
        )

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return _body(model, [{"type": "text", "text": text} for text in texts], numbers)


def _body(model: str, parts: Sequence[Body], numbers: NumberType) -> Body:
    body: Body = {"model": model, "inputs": [{"content": [part]} for part in parts]}
    # Without the field the numbers come as a list.
    return body if numbers == "float" else {**body, "output_encoding": numbers}


DIALECTS.register(Voyage.name, Voyage())
