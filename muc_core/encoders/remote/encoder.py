"""The black box behind a URL: batches, threads, what is already known, and pictures that the endpoint refuses."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor

from muc_core.data.interpolation import Interpolation
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.cache import VectorCache, cache_folder
from muc_core.encoders.remote.client import Client, RequestRejected
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.dialects.base import Body
from muc_core.encoders.remote.faults import BadAnswer, EndpointFault, RejectedPictures
from muc_core.encoders.remote.numbers import Vector, to_vector
from muc_core.encoders.remote.pictures import encode, pixel_digest, resized, text_digest
from muc_core.encoders.remote.settings import SETTINGS_FILE, RemoteSettings, read_settings
from muc_core.errors import MissingTextTower, MucError
from muc_core.progress import SILENT, Progress

FAMILY = "remote"

GIVE_UP_AFTER = 16
"""So many items refused, one by one, and none accepted: then it is the request that is wrong, not the items."""

REPORT_EVERY_S = 1.0
"""A service that keeps its answer to itself is said to, and can be given up, that often."""

_ENVELOPE_BYTES = 200  # JSON around the items, and headers

Rows: TypeAlias = Sequence[int]
Outcome: TypeAlias = Vector | str
"""The vector of an item, or why the endpoint refused it."""


@dataclass(frozen=True)
class Cost:
    """What a run would send.

    Attributes:
        requests: requests, if none has to be repeated.
        bytes: sent in all.
        cached: items whose vectors are known already and cost nothing.
    """

    requests: int
    bytes: int
    cached: int


class RemoteEncoder:
    """An encoder behind a URL; fits `Encoder`.

    Args:
        name: names it everywhere.
        digest: changes whenever its vectors may change, as far as the settings tell.
        settings: with `dimension` known; see `connect`.
        client: sends the requests.
        cache: what was answered before; None: ask again each time, for each item, and remember nothing.
        progress: told after each request, and may cancel between requests.
        whole: ask for all that is asked for at once when any of it is not remembered.
    """

    family = FAMILY

    def __init__(
        self,
        name: str,
        digest: str,
        settings: RemoteSettings,
        *,
        client: Client,
        cache: VectorCache | None,
        progress: Progress = SILENT,
        whole: bool = False,
    ) -> None:
        if settings.dimension is None:
            raise MucError(f"the length of the vectors of {name!r} is not known; connect to {settings.endpoint} first")
        self.name = name
        self.digest = digest
        self.settings = settings
        self.client = client
        self.dimension = settings.dimension
        self._cache = cache
        self._progress = progress
        self._whole = whole

    @property
    def image_size(self) -> int:
        return self.settings.image_size

    @property
    def interpolation(self) -> Interpolation:
        return self.settings.interpolation

    @property
    def has_text(self) -> bool:
        return self.settings.has_text

    def uncached(self) -> "RemoteEncoder":
        """The same encoder, which asks again each time and remembers nothing: for probes."""
        return self._changed(None, self._progress, whole=self._whole)

    def together(self) -> "RemoteEncoder":
        """The same encoder, which asks for all of a batch when any of it is not remembered, so that what was asked
        before tells nothing of the rest: for decoys."""
        return self._changed(self._cache, self._progress, whole=True)

    def reporting_to(self, progress: Progress) -> "RemoteEncoder":
        """The same encoder, which reports after each request and can be cancelled between requests."""
        return self._changed(self._cache, progress, whole=self._whole)

    def _changed(self, cache: VectorCache | None, progress: Progress, *, whole: bool) -> "RemoteEncoder":
        return RemoteEncoder(
            self.name, self.digest, self.settings, client=self.client, cache=cache, progress=progress, whole=whole
        )

    def encode_images(self, images: Tensor) -> Tensor:
        """As `Encoder`. Raises `RejectedPictures` after all others were embedded; `EndpointFault`, `BadAnswer`."""
        vectors, rejected = self.encode_images_partially(images)
        if rejected:
            raise RejectedPictures(self.client.endpoint, dict(rejected), len(images))
        return vectors

    def encode_images_partially(self, images: Tensor) -> tuple[Tensor, tuple[tuple[int, str], ...]]:
        """As `encode_images`, but refused pictures are told, not raised.

        Returns:
            float32 `[n - r, dimension]`, the vectors of the accepted pictures in their order, and for each of the r
            refused ones its position and what the endpoint said.

        Raises:
            EndpointFault: nothing is accepted, or the endpoint failed too often.
            BadAnswer: it gave something other than the vectors asked for.
            Cancelled: from the progress.
        """
        sent = resized(images, self.settings.image_size, self.settings.interpolation)
        outcomes = self._outcomes([pixel_digest(image) for image in sent], lambda rows: self._image_body(sent, rows))
        rejected = tuple((row, outcome) for row, outcome in enumerate(outcomes) if isinstance(outcome, str))
        return self._stack(outcome for outcome in outcomes if not isinstance(outcome, str)), rejected

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """As `Encoder`. Raises `MissingTextTower`; `EndpointFault` when a text is refused; `BadAnswer`."""
        if not self.has_text:
            raise MissingTextTower(f"the encoder {self.name!r} has no text tower; give it pictures only")
        outcomes = self._outcomes([text_digest(text) for text in texts], lambda rows: self._text_body(texts, rows))
        for text, outcome in zip(texts, outcomes, strict=True):
            if isinstance(outcome, str):
                shown = text if len(text) <= 60 else f"{text[:60]}…"
                raise EndpointFault(f"{self.client.endpoint} refused the text {shown!r}: {outcome}")
        return self._stack(outcome for outcome in outcomes if not isinstance(outcome, str))

    def estimate(self, images: int, texts: int = 0) -> Cost:
        """The most a run can cost, when nothing is known yet and no picture compresses.

        Args:
            images: number of pictures.
            texts: number of texts, taken to have 100 characters.
        """
        picture = (
            self.settings.image_size**2 * 3 * 4 // 3 + 8 * self.settings.image_size + 400
        )  # noise does not compress
        requests = sum(-(-count // self.settings.items_a_request) for count in (images, texts))
        return Cost(requests, images * picture + texts * 100 + requests * _ENVELOPE_BYTES, 0)

    def cost(self, images: Tensor | None = None, texts: Sequence[str] = ()) -> Cost:
        """What exactly these pictures, uint8 `[n, 3, h, w]`, and texts would cost now; sends nothing."""
        cost = self._cost([text_digest(text) for text in texts], lambda rows: self._text_body(texts, rows))
        if images is None:
            return cost
        sent = resized(images, self.settings.image_size, self.settings.interpolation)
        more = self._cost([pixel_digest(image) for image in sent], lambda rows: self._image_body(sent, rows))
        return Cost(cost.requests + more.requests, cost.bytes + more.bytes, cost.cached + more.cached)

    def _cost(self, digests: Sequence[str], body: Callable[[Rows], Body]) -> Cost:
        keys = self._keys(digests)
        known = self._known(keys)
        chunks = self._chunks(keys, known)
        size = sum(len(json.dumps(body(chunk))) + _ENVELOPE_BYTES for chunk in chunks)
        return Cost(len(chunks), size, sum(key in known for key in keys))

    def _image_body(self, images: Tensor, rows: Rows) -> Body:
        pictures = [encode(images[row], self.settings.picture_format) for row in rows]
        return DIALECTS.get(self.settings.dialect).images(self.settings.model, pictures, self.settings.number_type)

    def _text_body(self, texts: Sequence[str], rows: Rows) -> Body:
        chosen = [texts[row] for row in rows]
        return DIALECTS.get(self.settings.dialect).texts(self.settings.model, chosen, self.settings.number_type)

    def _keys(self, digests: Sequence[str]) -> list[str]:
        """What each item is remembered by; without a memory every item is its own, even the same picture twice."""
        if self._cache is None:
            return [f"{row}/{digest}" for row, digest in enumerate(digests)]
        return [f"{self.settings.identity}/{digest}" for digest in digests]

    def _known(self, keys: Sequence[str]) -> dict[str, Vector]:
        found = {} if self._cache is None else self._cache.get(sorted(set(keys)))
        known = {key: vector for key, vector in found.items() if len(vector) == self.dimension}
        return {} if self._whole and any(key not in known for key in keys) else known

    def _chunks(self, keys: Sequence[str], known: dict[str, Vector]) -> list[Rows]:
        """The rows to send, each key once, in requests."""
        first: dict[str, int] = {}
        for row, key in enumerate(keys):
            if key not in known:
                first.setdefault(key, row)
        rows, size = list(first.values()), self.settings.items_a_request
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def _outcomes(self, digests: Sequence[str], body: Callable[[Rows], Body]) -> list[Outcome]:
        """The outcome of each item, from the memory or from the endpoint."""
        keys = self._keys(digests)
        known = self._known(keys)
        outcomes: dict[str, Outcome] = dict(known)
        chunks = self._chunks(keys, known)
        total, done = sum(map(len, chunks)), 0
        message = f"requests to {self.client.endpoint}"
        if not chunks:
            return [outcomes[key] for key in keys]
        self._progress.report(0, total, message)

        def remember(vectors: Mapping[int, Vector]) -> None:
            if self._cache is not None:
                self._cache.put({keys[row]: vector for row, vector in vectors.items()})

        asking = _Asking(self.client, self.settings, self.dimension, body, remember)
        pool = ThreadPoolExecutor(self.settings.concurrency, thread_name_prefix="remote-encoder")
        try:
            pending = {pool.submit(asking.ask, chunk) for chunk in chunks}
            while pending:
                ready, pending = wait(pending, timeout=REPORT_EVERY_S, return_when=FIRST_COMPLETED)
                if not ready:
                    self._progress.report(done, total, f"{message}, {self._waiting()}")
                for future in ready:
                    answered = future.result()
                    outcomes.update((keys[row], outcome) for row, outcome in answered.items())
                    done += len(answered)
                    self._progress.report(done, total, message)
        finally:
            asking.stop.set()
            pool.shutdown(cancel_futures=True)
        return [outcomes[key] for key in keys]

    def _waiting(self) -> str:
        pause = self.client.pause_s
        return f"which asked to be left alone for {pause:.0f} s more" if pause > 0 else "waiting for its answer"

    def _stack(self, vectors: Iterable[Vector]) -> Tensor:
        rows = list(vectors)
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.dimension)


class _Asking:
    """Items on their way to the endpoint, in several threads; `remember` is given each answer as soon as it came."""

    def __init__(
        self,
        client: Client,
        settings: RemoteSettings,
        dimension: int,
        body: Callable[[Rows], Body],
        remember: Callable[[Mapping[int, Vector]], None],
    ) -> None:
        self.stop = threading.Event()
        self._client = client
        self._settings = settings
        self._dimension = dimension
        self._body = body
        self._remember = remember
        self._accepted = False
        self._refused = 0

    def ask(self, rows: Rows) -> dict[int, Outcome]:
        """The outcome of each row; a refused request is halved until the refused items stand alone."""
        try:
            answer = self._client.post(self._body(rows), self.stop)
        except RequestRejected as refusal:
            if len(rows) > 1:
                middle = len(rows) // 2
                return self.ask(rows[:middle]) | self.ask(rows[middle:])
            self._refused += 1
            if self._refused >= GIVE_UP_AFTER and not self._accepted:
                raise EndpointFault(
                    f"{self._client.endpoint} refused the first {self._refused} items, each sent alone; at last: "
                    f"{refusal.reason}"
                ) from None
            return {rows[0]: refusal.reason}
        vectors = read_vectors(answer, self._settings, self._client.endpoint, len(rows), self._dimension)
        self._accepted = True
        found = dict(zip(rows, vectors, strict=True))
        self._remember(found)
        return dict(found)


def read_vectors(
    answer: JsonValue, settings: RemoteSettings, endpoint: str, count: int, dimension: int | None
) -> list[Vector]:
    """The vectors of an answer, in the order of the request.

    Args:
        count: how many were asked for.
        dimension: how long they must be; None: all of one length.

    Raises:
        BadAnswer: something else.
    """
    rows = DIALECTS.get(settings.dialect).rows(answer, settings.number_type, endpoint)
    if len(rows) != count:
        raise BadAnswer(f"{endpoint} gave {len(rows)} vectors for {count} items; expected one for each")
    vectors = [to_vector(row, settings.number_type, endpoint) for row in rows]
    expected = len(vectors[0]) if dimension is None else dimension
    for vector in vectors:
        if len(vector) != expected:
            raise BadAnswer(f"{endpoint} gave a vector of {len(vector)} numbers; expected {expected}, as before")
    return vectors


def open_remote(manifest: EncoderManifest, folder: Path) -> RemoteEncoder:
    """The encoder whose `remote.json` lies in a folder; nothing is sent before it is asked.

    Raises:
        MucError: the file is missing or damaged, or the manifest wants pictures prepared, which the service does.
    """
    if manifest.preprocessing is not None:
        raise MucError(
            f"{manifest.name!r} is behind a URL, where the service prepares the pictures; its size is set by "
            "image_size when it is added, and mean and deviation cannot be"
        )
    settings = read_settings(folder / SETTINGS_FILE)
    return RemoteEncoder(
        manifest.name,
        manifest.content_digest,
        settings,
        client=Client(settings),
        cache=VectorCache(cache_folder(folder)),
    )
