"""From what a service writes for a vector to numbers.

int8 values are taken as they are, uint8 values less 128. Binary vectors come packed, eight signs a byte, highest bit
first; as signed bytes they are shifted by 128 (the form of Sentence Transformers, which Cohere and Jina share). A one
becomes +1, a zero -1.
"""

import base64
import binascii
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from muc_core.encoders.remote.faults import BadAnswer

NumberType: TypeAlias = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]
Vector: TypeAlias = npt.NDArray[np.float32]

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "binary": (-128, 127), "ubinary": (0, 255)}


def to_vector(value: JsonValue, number_type: NumberType, endpoint: str) -> Vector:
    """One vector, float32 `[d]`.

    Args:
        value: what the answer holds for one item: a list of numbers, or base64 of little-endian float32.
        number_type: what was asked for. A service that does not know base64 may answer with a list, and the other way.
        endpoint: for messages.

    Raises:
        BadAnswer: it is no vector, or has numbers that are not finite or out of range.
    """
    if isinstance(value, str) and number_type in ("float", "base64"):
        numbers = _from_base64(value, endpoint)
    else:
        numbers = _from_list(value, endpoint)
    if number_type in _RANGES:
        low, high = _RANGES[number_type]
        if not (np.equal(numbers, np.round(numbers)).all() and numbers.min() >= low and numbers.max() <= high):
            raise BadAnswer(f"{endpoint} was asked for {number_type} numbers from {low} to {high} and gave others")
        numbers = _widen(numbers, number_type)
    with np.errstate(over="ignore"):
        vector = numbers.astype(np.float32)
    if not np.isfinite(vector).all():
        raise BadAnswer(f"{endpoint} gave numbers that are not finite; expected a vector of finite numbers")
    return vector


def _widen(numbers: npt.NDArray[np.float64], number_type: NumberType) -> npt.NDArray[np.float64]:
    if number_type == "uint8":
        return numbers - 128
    if number_type == "int8":
        return numbers
    packed = (numbers + 128 if number_type == "binary" else numbers).astype(np.uint8)
    return np.unpackbits(packed).astype(np.float64) * 2 - 1


def _from_base64(text: str, endpoint: str) -> npt.NDArray[np.float64]:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content or len(content) % 4:
        raise BadAnswer(f"{endpoint} gave a text where a vector was expected; it is not base64 of float32 numbers")
    return np.frombuffer(content, dtype="<f4").astype(np.float64)


def _from_list(value: JsonValue, endpoint: str) -> npt.NDArray[np.float64]:
    is_list = isinstance(value, list) and value
    try:
        numbers = np.array(value) if is_list else np.empty(0)
    except ValueError:  # lists of different lengths
        numbers = np.empty(0)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or not len(numbers):
        raise BadAnswer(f"{endpoint} gave {_shape(value)} where a vector was expected: a list of numbers")
    return numbers.astype(np.float64)


def _shape(value: JsonValue) -> str:
    if isinstance(value, list):
        return "an empty list" if not value else "a list that holds more than numbers"
    return {dict: "an object", str: "a text", type(None): "nothing", bool: "a yes or no"}.get(type(value), "a number")
