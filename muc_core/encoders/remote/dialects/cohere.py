"""Cohere's `/v2/embed`: inputs made of content parts, several kinds of numbers, answers sorted by kind."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import JsonValue

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture, field
from muc_core.encoders.remote.faults import BadAnswer
from muc_core.encoders.remote.numbers import NumberType


class Cohere(Dialect):
    """`{"model", "input_type", "embedding_types", "inputs": [{"content": [{"type": "image_url", ...}]}]}`.

    Pictures and texts both go as documents, so that they are prepared alike.
    """

    name = "cohere"
    title = "Cohere embed v2 with content parts"
    path = "/v2/embed"
    most_items = 96
    number_types: ClassVar[tuple[NumberType, ...]] = ("float", "base64", "int8", "uint8", "binary", "ubinary")

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return _body(
            model, [{"type": "image_url", "image_url": {"url": picture.data_uri}} for picture in pictures], numbers
        )

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return _body(model, [{"type": "text", "text": text} for text in texts], numbers)

    def rows(self, answer: JsonValue, numbers: NumberType, endpoint: str) -> list[JsonValue]:
        rows = field(field(answer, "embeddings", endpoint), numbers, endpoint)
        if not isinstance(rows, list):
            raise BadAnswer(f"{endpoint} gave an answer whose embeddings are not a list of vectors")
        return rows


def _body(model: str, parts: Sequence[Body], numbers: NumberType) -> Body:
    return {
        "model": model,
        "input_type": "search_document",
        "embedding_types": [numbers],
        "inputs": [{"content": [part]} for part in parts],
    }


DIALECTS.register(Cohere.name, Cohere())
