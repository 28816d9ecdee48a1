"""What a dialect must say: where requests go, how pictures and texts are written, and where the answer has vectors."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from pydantic import JsonValue

from muc_core.encoders.remote.faults import BadAnswer
from muc_core.encoders.remote.numbers import NumberType
from muc_core.registry import Registry

Body: TypeAlias = dict[str, JsonValue]


@dataclass(frozen=True)
class Picture:
    """An encoded picture and its media type, such as image/png."""

    content: bytes
    media_type: str

    @property
    def base64(self) -> str:
        return base64.b64encode(self.content).decode()

    @property
    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


class Dialect(ABC):
    """One way to ask for vectors.

    Attributes:
        name: as settings name it.
        title: for people, with the services that speak it.
        path: appended to the address of a service, such as "/v1/embeddings".
        most_items: most pictures or texts in one request.
        number_types: forms of numbers that can be asked for, the usual one first.
        needs_model: whether requests must name a model.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    path: ClassVar[str]
    most_items: ClassVar[int]
    number_types: ClassVar[tuple[NumberType, ...]]
    needs_model: ClassVar[bool] = True

    @abstractmethod
    def images(self, model: str, pictures: Sequence[Picture], numbers: NumberType) -> Body:
        """The body of a request for pictures; at most `most_items` of them."""

    @abstractmethod
    def texts(self, model: str, texts: Sequence[str], numbers: NumberType) -> Body:
        """The body of a request for texts; at most `most_items` of them."""

    def rows(self, answer: JsonValue, numbers: NumberType, endpoint: str) -> list[JsonValue]:
        """What the answer holds for each item, in the order of the request. Raises `BadAnswer`.

        Here in the form of OpenAI: `data`, a list of objects with `embedding` and perhaps `index`.
        """
        return by_index(field(answer, "data", endpoint), endpoint)


DIALECTS: Registry[Dialect] = Registry("dialect")


def field(answer: JsonValue, name: str, endpoint: str) -> JsonValue:
    """A field of an answer. Raises `BadAnswer` when it is not there."""
    if not isinstance(answer, dict) or name not in answer:
        raise BadAnswer(f"{endpoint} gave an answer without {name!r}; expected an object that has it")
    return answer[name]


def by_index(entries: JsonValue, endpoint: str) -> list[JsonValue]:
    """`embedding` of each entry, sorted by `index` where the entries have one. Raises `BadAnswer`."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise BadAnswer(f"{endpoint} gave an answer whose data is not a list of objects with an embedding")
    objects: list[Mapping[str, JsonValue]] = [entry for entry in entries if isinstance(entry, dict)]
    positions = [entry.get("index") for entry in objects]
    if any(position is not None for position in positions):
        numbers = [position if type(position) is int else -1 for position in positions]
        if sorted(numbers) != list(range(len(objects))):
            raise BadAnswer(
                f"{endpoint} numbers its {len(objects)} vectors {positions[:8]}; expected each index from 0 once"
            )
        objects = [entry for _, entry in sorted(zip(numbers, objects, strict=True), key=lambda pair: pair[0])]
    return [field(dict(entry), "embedding", endpoint) for entry in objects]
