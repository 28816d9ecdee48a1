"""A service behind a URL, in a process of its own, that can be told to hang, lie, refuse or die after some requests."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from tests.chaos.forks import Fork
from tests.chaos.scene import PATIENCE_S, DoesNotHold
from tests.ports import free_port
from tests.unit.encoders.remote.servers import PATHS, Service, items_of

PATH = PATHS["openai-image"]
RETRY_AFTER_S = 4


class FaultyService(Service):
    """Behaves until the file `mode` in its folder says otherwise: "KIND N", from the N-th request after that on.

    hang: no answer; short: a vector too few; long: vectors one longer; cut: an answer that is shorter than its header
    says; 429: leave me alone for `RETRY_AFTER_S` from the first such answer; die: kills itself.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.mode, self.requests = "", 0
        self.again_at = 0.0

    async def answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        mode = (self.folder / "mode").read_text()
        if mode != self.mode:
            self.mode, self.requests, self.again_at = mode, 0, 0.0
        self.requests += 1
        kind, _, after = mode.partition(" ")
        if not kind or self.requests <= int(after):
            return self._note(body, await super().answer(request))
        match kind:
            case "hang":
                await asyncio.sleep(3600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "cut":
                return Response(b'{"data": [', headers={"Content-Length": "100000"}, media_type="application/json")
            case "429":
                now = time.monotonic()
                self.again_at = self.again_at or now + RETRY_AFTER_S
                if now < self.again_at:
                    (self.folder / "refusals").open("a").write(f"{now}\n")
                    left = self.again_at - now
                    return JSONResponse({"error": "slow down"}, status_code=429, headers={"Retry-After": f"{left:.3f}"})
                return self._note(body, await super().answer(request))
            case _:
                self.spoil = (
                    (lambda rows: rows[:-1]) if kind == "short" else (lambda rows: [[*row, 0.0] for row in rows])
                )
        try:
            return await super().answer(request)
        finally:
            self.spoil = lambda rows: rows

    def _note(self, body: dict[str, Any], answer: Response) -> Response:
        with (self.folder / "answered").open("a") as file:
            file.write(f"{len(items_of(PATH, body))}\n")
        return answer


def _a_row_less(rows: list[Any]) -> list[Any]:
    return rows[:-1]


def _a_number_more(rows: list[Any]) -> list[Any]:
    return [[*row, 0.0] for row in rows]


class Running:
    """A service that runs, and what it noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._port = free_port()
        self.behave()
        self._fork: Fork | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def behave(self) -> None:
        (self.folder / "mode").write_text("")

    def misbehave(self, kind: str, *, after: int) -> None:
        (self.folder / "mode").write_text(f"{kind} {after}")

    def answered(self) -> int:
        """Items that it has embedded so far."""
        path = self.folder / "answered"
        return sum(map(int, path.read_text().split())) if path.exists() else 0

    def refusals(self) -> list[float]:
        """When it said 429, by the monotonic clock."""
        path = self.folder / "refusals"
        return list(map(float, path.read_text().split())) if path.exists() else []

    def start(self) -> None:
        """Start it, or again after it died, under the same address."""
        self.stop()
        self._fork = Fork(self._serve)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                httpx.get(self.url)
                return
            time.sleep(0.05)
        raise DoesNotHold("the service does not start")

    def stop(self) -> None:
        if self._fork is not None:
            with suppress(ProcessLookupError):
                self._fork.kill()
            self._fork.wait()
            self._fork = None

    def _serve(self) -> int:
        uvicorn.run(FaultyService(self.folder).app, host="127.0.0.1", port=self._port, log_level="critical")
        return 0


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    service = Running(folder)
    service.start()
    try:
        yield service
    finally:
        service.stop()
