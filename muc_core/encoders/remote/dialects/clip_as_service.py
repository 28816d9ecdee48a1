"""clip-as-service over HTTP: `/post` with documents that have a `blob` (base64) or a `text`."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import JsonValue

from muc_core.encoders.remote.dialects.base import DIALECTS, Body, Dialect, Picture
from muc_core.encoders.remote.numbers import NumberType


class ClipAsService(Dialect):
    """`{"data": [{"blob": base64}, {"text": ...}], "execEndpoint": "/"}`."""

    name = "clip-as-service"
    title = "clip-as-service documents"
    path = "/post"
    most_items = 32
    number_types: ClassVar[tuple[NumberType, ...]] = ("float",)
    needs_model = False

    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        return _body([{"blob": picture.base64} for picture in pictures])

    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        return _body([{"text": text} for text in texts])


def _body(documents: list[JsonValue]) -> Body:
    return {"data": documents, "execEndpoint": "/"}


DIALECTS.register(ClipAsService.name, ClipAsService())
