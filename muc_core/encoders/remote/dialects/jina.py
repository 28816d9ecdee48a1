"""Jina's `/v1/embeddings`: each input is an object with `image` (base64) or `text`."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import JsonValue

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class Jina(Dialect):
    """`{"model", "input": [{"image": base64}, {"text": ...}], "embedding_type"}`."""

    name = "jina"
    title = "Jina embeddings with image objects"
    path = "/v1/embeddings"
    most_items = 64
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64", "binary", "ubinary")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return _body(model, [{"image": picture.base64} for picture in pictures], numbers)

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return _body(model, [{"text": text} for text in texts], numbers)


def _body(model: str, items: list[JsonValue], numbers: NumberType) -> Body:
    return {"model": model, "input": items, "embedding_type": numbers}


DIALECTS.register(Jina.name, Jina())
