"""An encoder of this machine behind a URL, so that its owner can have it audited without giving the weights away.

`POST /v1/embeddings` understands three dialects and tells them apart by the shape of the request: a field `modality`
(as Infinity), objects with `image` or `text` (as Jina), plain strings of which data URIs are pictures (as LiteLLM).
Pictures are decoded and resized exactly as those of a file are. `GET /v1/models` and `GET /health` say what there is.
"""

import base64
import binascii
import hmac
import re
import threading
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
import torch
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from torch import Tensor

from muc_core import __version__
from muc_core.data.decode import decode_image, to_square_tensor
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.manifest import explain
from muc_core.errors import BadImage, MucError
from muc_core.similarity import COSINE


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        items: pictures and texts together.
        body_bytes: of the request.
        picture_bytes: of one encoded picture.
        text_characters: of one text.
        waiting: requests that may be in hand at once; further ones are told to come again.
    """

    items: int = 64
    body_bytes: int = 64 * 2**20
    picture_bytes: int = 20 * 2**20
    text_characters: int = 10_000
    waiting: int = 16


class PictureInput(BaseModel):
    """A picture as base64 or a data URI."""

    model_config = ConfigDict(extra="forbid")
    image: str


class TextInput(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid")
    text: str


Input: TypeAlias = str | PictureInput | TextInput


class EmbeddingRequest(BaseModel):
    """A request in any of the three dialects; fields that only other services know are let pass."""

    input: str | Annotated[list[Input], Field(min_length=1)]
    model: str | None = None
    modality: Literal["image", "text"] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    embedding_type: Literal["float", "base64"] | None = None

    @property
    def items(self) -> list[Input]:
        return [self.input] if isinstance(self.input, str) else self.input

    @property
    def wants_base64(self) -> bool:
        return "base64" in (self.encoding_format, self.embedding_type)


class Refused(Exception):
    """What is wrong with a request: status, a sentence, and the field it is about."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.field = field


def serve(encoder: Encoder, *, key: SecretStr | None = None, limits: Limits | None = None) -> FastAPI:
    """The application that serves an encoder.

    Args:
        encoder: pictures and texts go through it one request at a time.
        key: every request but /health must bring it as `Authorization: Bearer KEY`; None: anybody may ask.
        limits: of one request.

    Raises:
        MucError: its vectors are not to be compared by cosine, which who asks an endpoint would do.
    """
    if similarity_of(encoder) != COSINE:
        raise MucError(
            f"the vectors of {encoder.name!r} are compared by {similarity_of(encoder).name} distance, and who asks an "
            "endpoint for vectors compares them by cosine; serve an encoder of another family, or hand out its files"
        )
    allowed = limits or Limits()
    app = FastAPI(title="muc-audit", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    turn = threading.Lock()
    places = threading.Semaphore(allowed.waiting)

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        content = {"error": {"message": str(error), "type": "invalid_request_error", "param": error.field}}
        return JSONResponse(content, status_code=error.status)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    def models(request: Request) -> dict[str, object]:
        _check_key(request, key)
        model = {
            "id": encoder.name,
            "object": "model",
            "owned_by": "muc-audit",
            "dimension": encoder.dimension,
            "image_size": encoder.image_size,
            "has_text": encoder.has_text,
        }
        return {"object": "list", "data": [model]}

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> JSONResponse:
        _check_key(request, key)
        if not places.acquire(blocking=False):
            raise Refused(429, f"{allowed.waiting} requests are in hand already; come again in a moment")
        try:
            asked = _parse(await _read(request, allowed.body_bytes), encoder, allowed)

            def answer() -> dict[str, object]:
                # One request at a time: pictures that wait stay encoded, and torch has all its threads.
                with turn:
                    return _answer(asked, encoder, allowed)

            return JSONResponse(await run_in_threadpool(answer))
        finally:
            places.release()

    return app


def _check_key(request: Request, key: SecretStr | None) -> None:
    given = request.headers.get("authorization", "")
    if key is not None and not hmac.compare_digest(given.encode(), f"Bearer {key.get_secret_value()}".encode()):
        raise Refused(401, "this encoder wants its key in the header Authorization: Bearer KEY")


async def _read(request: Request, most: int) -> bytes:
    # A page in a browser can send other types to this machine without being asked; never this one.
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "the request must have the content type application/json")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise Refused(413, f"the request has more than {most // 2**20} MB; send fewer or smaller pictures")
    return bytes(content)


def _parse(content: bytes, encoder: Encoder, limits: Limits) -> EmbeddingRequest:
    try:
        asked = EmbeddingRequest.model_validate_json(content)
    except ValidationError as error:
        raise Refused(400, f"the request cannot be read ({explain(error)})") from None
    if asked.model not in (None, "", encoder.name):
        raise Refused(404, f"there is no model {asked.model[:100]!r} here; this is {encoder.name!r}", "model")
    if len(asked.items) > limits.items:
        raise Refused(413, f"the request has {len(asked.items)} inputs; at most {limits.items} are accepted", "input")
    return asked


def _answer(asked: EmbeddingRequest, encoder: Encoder, limits: Limits) -> dict[str, object]:
    vectors = _embed(asked, encoder, limits)
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, asked.wants_base64)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return {"object": "list", "model": encoder.name, "data": data, "usage": usage}


def _written(vector: Tensor, as_base64: bool) -> str | list[float]:
    return base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode() if as_base64 else vector.tolist()


def _embed(asked: EmbeddingRequest, encoder: Encoder, limits: Limits) -> Tensor:
    """float32 `[n, d]`: pictures in one go, texts in another, back in the order of the request."""
    pictures, texts = _sort(asked, encoder, limits)
    rows: dict[int, Tensor] = {}
    try:
        if pictures:
            rows.update(zip(pictures, encoder.encode_images(torch.stack(list(pictures.values()))), strict=True))
        if texts:
            rows.update(zip(texts, encoder.encode_texts(list(texts.values())), strict=True))
    except MucError as error:
        raise Refused(400, str(error), "input") from None
    vectors = torch.stack([rows[index] for index in sorted(rows)])
    if not np.isfinite(vectors.numpy()).all():
        wrong = int((~torch.isfinite(vectors).all(dim=1)).nonzero()[0])
        raise Refused(422, f"the encoder gives numbers that are not finite for input[{wrong}]", f"input[{wrong}]")
    return vectors


def _sort(asked: EmbeddingRequest, encoder: Encoder, limits: Limits) -> tuple[dict[int, Tensor], dict[int, str]]:
    """Pictures as uint8 `[3, size, size]` and texts, by position."""
    pictures: dict[int, Tensor] = {}
    texts: dict[int, str] = {}
    for index, item in enumerate(asked.items):
        where = f"input[{index}]"
        content = picture_content(item, asked.modality, where)
        if content is not None:
            if len(content) > limits.picture_bytes:
                raise Refused(
                    413, f"{where} has more than {limits.picture_bytes // 2**20} MB; send a smaller picture", where
                )
            try:
                pictures[index] = to_square_tensor(
                    decode_image(content, where).image, encoder.image_size, encoder.interpolation
                )
            except BadImage as error:
                raise Refused(400, str(error), where) from None
            continue
        text = item.text if isinstance(item, TextInput) else str(item)
        if not encoder.has_text:
            raise Refused(400, f"{where} is a text, but {encoder.name!r} has no text tower; send pictures", where)
        if len(text) > limits.text_characters:
            raise Refused(400, f"{where} has more than {limits.text_characters:,} characters", where)
        texts[index] = text
    return pictures, texts


def picture_content(item: Input, modality: Literal["image", "text"] | None, where: str) -> bytes | None:
    """The file that an input holds; None when it is a text.

    Raises:
        Refused: it should be a picture and is not.
    """
    if isinstance(item, TextInput):
        return None
    if isinstance(item, PictureInput):
        return _decoded(item.image if not item.image.startswith("data:") else _after_comma(item.image, where), where)
    if modality == "text" or (modality is None and not re.match(r"data:image/", item)):
        return None
    if not item.startswith("data:"):
        raise Refused(400, f"{where} must be a data URI (data:image/png;base64,...); addresses are not fetched", where)
    return _decoded(_after_comma(item, where), where)


def _after_comma(uri: str, where: str) -> str:
    head, comma, content = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Refused(400, f"{where} is not a data URI in base64 (data:image/png;base64,...)", where)
    return content


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, f"{where} is not valid base64", where) from None
