"""OpenAI's `/v1/embeddings` where a data URI as a plain input string is a picture (LiteLLM)."""

from collections.abc import Sequence
from typing import ClassVar

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class DataUri(Dialect):
    """`{"model", "input": [data URI or text, ...], "encoding_format"}`."""

    name = "data-uri"
    title = "OpenAI embeddings with data URIs as inputs (LiteLLM)"
    path = "/v1/embeddings"
    most_items = 32
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return self.texts(model, [picture.data_uri for picture in pictures], numbers)

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return {"model": model, "input": list(texts), "encoding_format": numbers}


DIALECTS.register(DataUri.name, DataUri())
