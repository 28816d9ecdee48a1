"""OpenAI's `/v1/embeddings` with a field `modality` (Infinity: "image" or "text", at most 32 pictures a request)."""

from collections.abc import Sequence
from typing import ClassVar

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class OpenAiImage(Dialect):
    """`{"model", "modality": "image", "input": [data URI, ...], "encoding_format"}`."""

    name = "openai-image"
    title = "OpenAI embeddings with modality image (Infinity)"
    path = "/v1/embeddings"
    most_items = 32
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return _body(model, "image", [picture.data_uri for picture in pictures], numbers)

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return _body(model, "text", texts, numbers)


def _body(model: str, modality: str, items: Sequence[str], numbers: NumberType) -> Body:
    return {"model": model, "modality": modality, "input": list(items), "encoding_format": numbers}


DIALECTS.register(OpenAiImage.name, OpenAiImage())
