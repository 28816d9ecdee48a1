"""Real servers on loopback: one that speaks every dialect as the services document it, and can be told to misbehave.

It reads requests and writes answers on its own, without the code under test, and embeds a picture as the mean colours
of sixteen tiles, so that a test can say which vector belongs to which picture.
"""

import base64
import hashlib
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from torch import Tensor

from muc_core.encoders.remote.settings import RemoteSettings

TILES = 4
DIMENSION = 3 * TILES * TILES
KEY = "sk-very-secret-0123456789"
KEY_VARIABLE = "TEST_REMOTE_KEY"

PATHS = {
    "openai-image": "/v1/embeddings",
    "jina": "/v1/embeddings",
    "data-uri": "/v1/embeddings",
    "messages": "/v1/embeddings",
    "cohere": "/v2/embed",
    "voyage": "/v1/multimodalembeddings",
    "clip-as-service": "/post",
}


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free loopback port; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def picture_vector(image: Tensor) -> npt.NDArray[np.float64]:
    """uint8 `[3, h, w]` to float64 `[48]` in [0, 1]."""
    tiles = torch.nn.functional.adaptive_avg_pool2d(image.double(), TILES)
    return np.asarray(tiles.flatten().numpy() / 255)


def text_vector(text: str) -> npt.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).random(DIMENSION)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Service:
    """What the server does; tests change it.

    Attributes:
        faults: answers to the next requests, instead of vectors; None: behave this time.
        refuse: whether a picture, uint8 `[3, h, w]`, makes the whole request a 400.
        most: more items than that in a request are a 413.
        spoil: changes the vectors before they are written.
        shuffle: write entries in another order, with their index.
        key: what requests must bring.
        knows_text: otherwise texts are a 400.
    """

    faults: deque[Response | None] = field(default_factory=deque)
    refuse: Callable[[Tensor], bool] = lambda image: False
    most: int = 1000
    spoil: Callable[[list[Any]], list[Any]] = lambda rows: rows
    shuffle: bool = False
    key: str | None = None
    knows_text: bool = True
    seen: list[Seen] = field(default_factory=list)

    @property
    def app(self) -> FastAPI:
        app = FastAPI()
        for path in sorted(set(PATHS.values())):
            app.add_api_route(path, self.answer, methods=["POST"])
        return app

    async def answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.seen.append(Seen(request.url.path, dict(request.headers), body))
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            return fault
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            said = request.headers.get("authorization", "nothing")
            return JSONResponse({"error": {"message": f"Incorrect API key provided: {said}"}}, status_code=401)
        items = items_of(request.url.path, body)
        if len(items) > self.most:
            return JSONResponse({"detail": f"at most {self.most} items"}, status_code=413)
        if any(isinstance(item, str) for item in items) and not self.knows_text:
            return JSONResponse({"error": {"message": "this model has no text tower"}}, status_code=400)
        pictures = [item for item in items if not isinstance(item, str)]
        if any(self.refuse(picture) for picture in pictures):
            return JSONResponse({"error": {"message": "cannot identify image file"}}, status_code=400)
        vectors = [text_vector(item) if isinstance(item, str) else picture_vector(item) for item in items]
        return JSONResponse(answer_of(request.url.path, body, vectors, self))


def _pixels(content: str) -> Tensor:
    image = Image.open(BytesIO(base64.b64decode(content, validate=True)))
    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _from_uri(uri: str) -> Tensor:
    head, content = uri.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return _pixels(content)


def _part(part: dict[str, Any]) -> Tensor | str:
    kind = part["type"]
    assert set(part) == {"type", kind}
    if kind == "text":
        return str(part["text"])
    return _from_uri(part["image_url"]["url"] if kind == "image_url" else part["image_base64"])


def items_of(path: str, body: dict[str, Any]) -> list[Tensor | str]:
    """Pictures and texts of a request, read as the services' documentation says."""
    if path == "/post":
        assert body["execEndpoint"] == "/"
        return [_pixels(entry["blob"]) if "blob" in entry else entry["text"] for entry in body["data"]]
    assert body["model"] == "some-model"
    if path in ("/v2/embed", "/v1/multimodalembeddings"):
        assert path != "/v2/embed" or (body["input_type"] and len(body["embedding_types"]) == 1)
        return [_part(part) for entry in body["inputs"] for part in entry["content"]]
    if "messages" in body:
        (message,) = body["messages"]
        assert message["role"] == "user"
        return [_part(part) for part in message["content"]]
    entries = body["input"]
    if "modality" in body:
        return [_from_uri(entry) for entry in entries] if body["modality"] == "image" else list(entries)
    if isinstance(entries[0], dict):
        return [_pixels(entry["image"]) if "image" in entry else entry["text"] for entry in entries]
    return [_from_uri(entry) if entry.startswith("data:") else entry for entry in entries]


def written(vector: npt.NDArray[np.float64], kind: str) -> Any:
    """A vector in a kind of numbers: signs are those around the middle, .5."""
    if kind == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    if kind == "int8":
        return [int(value) for value in np.round(vector * 255) - 128]
    if kind == "uint8":
        return [int(value) for value in np.round(vector * 255)]
    if kind in ("binary", "ubinary"):
        packed = np.packbits(vector > 0.5).astype(int)
        return [int(value) for value in (packed - 128 if kind == "binary" else packed)]
    return vector.tolist()


def answer_of(
    path: str, body: dict[str, Any], vectors: Sequence[npt.NDArray[np.float64]], service: Service
) -> dict[str, Any]:
    if path == "/v2/embed":
        (kind,) = body["embedding_types"]
        rows = service.spoil([written(vector, kind) for vector in vectors])
        return {"id": "1", "embeddings": {kind: rows}, "meta": {"api_version": {"version": "2"}}}
    kind = body.get("encoding_format") or body.get("embedding_type") or body.get("output_encoding") or "float"
    rows = service.spoil([written(vector, kind) for vector in vectors])
    if path == "/post":
        documents = [{"id": str(number), "text": None, "embedding": row} for number, row in enumerate(rows)]
        return {"header": {"requestId": "1", "status": None, "execEndpoint": "/"}, "data": documents}
    data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(rows)]
    if service.shuffle:
        data = data[::-1]
    return {"object": "list", "model": body["model"], "data": data, "usage": {"total_tokens": 1}}


def settings(url: str, dialect: str = "openai-image", **changed: Any) -> RemoteSettings:
    """Settings for the server above: pictures of 16 pixels, short waits."""
    values = {
        "url": url,
        "dialect": dialect,
        "model": "" if dialect == "clip-as-service" else "some-model",
        "image_size": 16,
        "dimension": DIMENSION,
        "has_text": True,
        "timeout_s": 10,
        "retries": 2,
        "allow_private": True,
    }
    return RemoteSettings(**{**values, **changed})


def pictures(count: int, *, seed: int = 0, size: int = 16) -> Tensor:
    """Noise over different grounds, uint8 `[count, 3, size, size]`; no two alike."""
    generator = torch.Generator().manual_seed(seed)
    ground = torch.randint(0, 200, (count, 3, 1, 1), generator=generator)
    return (ground + torch.randint(0, 56, (count, 3, size, size), generator=generator)).to(torch.uint8)


def expected(images: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([picture_vector(image) for image in images])).float()
