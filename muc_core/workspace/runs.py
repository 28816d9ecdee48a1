"""Runs on disk: what a training or unlearning run leaves behind while it works, and reading it back."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from filelock import FileLock, Timeout

from muc_core.encoders.manifest import CheckpointEntry, RunManifest, utc_now
from muc_core.errors import Cancelled, MucError
from muc_core.workspace.files import new_file, write_file, writing
from muc_core.workspace.index import MANIFEST

if TYPE_CHECKING:
    from torch import Tensor


HISTORY = "history.jsonl"
CHECKPOINTS = "checkpoints"
_LOCK = ".lock"


@dataclass(frozen=True)
class HistoryEntry:
    """What was recorded at one step: loss terms and metrics by name."""

    step: int
    epoch: float
    values: dict[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """Weights along the way, see `CheckpointEntry`; `path` is the safetensors file."""

    step: int
    epoch: float
    values: dict[str, float]
    path: Path


@dataclass(frozen=True)
class RunRecord:
    """A run in the workspace."""

    manifest: RunManifest
    folder: Path

    @property
    def state(self) -> Literal["running", "done", "failed", "cancelled", "lost"]:
        """As the manifest says, but "lost" when it says running and the process that wrote it is gone."""
        if self.manifest.state == "running" and not _is_locked(self.folder):
            return "lost"
        return self.manifest.state

    def history(self) -> list[HistoryEntry]:
        """Everything recorded, in order. A last line that a killed process left unfinished is left out."""
        try:
            lines = (self.folder / HISTORY).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        entries = []
        for number, line in enumerate(lines, start=1):
            try:
                found = json.loads(line)
                entries.append(HistoryEntry(found["step"], found["epoch"], found["values"]))
            except (ValueError, KeyError, TypeError) as error:
                raise MucError(f"line {number} of {self.folder / HISTORY} is damaged; delete that line") from error
        return entries

    def checkpoints(self) -> list[Checkpoint]:
        """In the order of steps."""
        return [
            Checkpoint(entry.step, entry.epoch, dict(entry.values), checkpoint_path(self.folder, entry.step))
            for entry in self.manifest.checkpoints
        ]


class RunWriter:
    """Writes one run. Made by `Workspace.new_run` and `Workspace.resume_run`.

    As a context manager it closes the run: done when the block ends, cancelled on `Cancelled`, failed on any other
    exception.
    """

    def __init__(self, manifest: RunManifest, folder: Path) -> None:
        self._manifest = manifest
        self.folder = folder
        # Held as long as this process lives: how a reader tells a running run from one whose process died.
        self._lock = FileLock(folder / _LOCK, timeout=0.3, thread_local=False)
        with writing(folder):
            try:
                self._lock.acquire()
            except Timeout:
                raise MucError(f"the run {manifest.id} is being written by another process") from None
        self._truncate_history()

    @classmethod
    def resume(cls, record: RunRecord, *, job: str | None) -> Self:
        """Go on with a run that was closed or whose process died. Raises `MucError` when another process writes it."""
        writer = cls(record.manifest, record.folder)
        writer._update({"state": "running", "finished": None, "error": None, "job": job})
        return writer

    @property
    def id(self) -> str:
        return self._manifest.id

    @property
    def manifest(self) -> RunManifest:
        return self._manifest

    def record(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Append to the history. Raises `MucError` when it cannot be written."""
        path = self.folder / HISTORY
        with writing(path), path.open("ab", buffering=0) as file:
            file.write(_line(step, epoch, values))

    def go_back_to(self, step: int) -> None:
        """Drop what the history says of later steps, which are done again. Raises `MucError` when it cannot."""
        path = self.folder / HISTORY
        kept = [entry for entry in RunRecord(self._manifest, self.folder).history() if entry.step <= step]
        lines = [_line(entry.step, entry.epoch, entry.values) for entry in kept]
        write_file(path, b"".join(lines))

    def add_checkpoint(
        self,
        step: int,
        tensors: Mapping[str, "Tensor"],
        *,
        epoch: float,
        values: Mapping[str, float] | None = None,
        float16: bool = True,
    ) -> Path:
        """Store weights along the way.

        Args:
            step: optimiser steps done; a checkpoint of the same step is replaced.
            tensors: by name.
            epoch: epochs done.
            values: loss terms and metrics at this point.
            float16: store floating-point tensors in half the size; otherwise as they are.

        Raises:
            MucError: it cannot be written; the earlier checkpoints are intact.
        """
        # Imported here so that listing a workspace needs no torch.
        from muc_core.encoders.checkpoint import file_digest, half, save_weights

        path = checkpoint_path(self.folder, step)
        with writing(path):
            path.parent.mkdir(exist_ok=True)
        with new_file(path) as temporary:
            save_weights(temporary, half(tensors) if float16 else tensors)
            digest = file_digest(temporary)
        entry = CheckpointEntry(step=step, epoch=epoch, digest=digest, values=dict(values or {}))
        others = [other for other in self._manifest.checkpoints if other.step != step]
        self._update({"checkpoints": tuple(sorted([*others, entry], key=lambda one: one.step))})
        return path

    def write_file(self, name: str, content: bytes) -> Path:
        """Put another file into the folder of the run, such as a training state to resume from; replaces atomically."""
        path = self.folder / name
        if path.name != name or name in (MANIFEST, HISTORY) or name.startswith("."):
            raise ValueError(f"{name!r} cannot be a further file of a run")
        write_file(path, content)
        return path

    def finish(
        self,
        *,
        encoder: str | None = None,
        run_time_s: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> RunRecord:
        """Close the run as done. `encoder` is the name of the encoder it yielded."""
        return self._close(
            {"state": "done", "encoder": encoder, "run_time_s": run_time_s, "metrics": dict(metrics or {})}
        )

    def fail(self, error: str) -> RunRecord:
        """Close the run as failed, with a sentence for the user."""
        return self._close({"state": "failed", "error": error})

    def cancel(self) -> RunRecord:
        """Close the run as cancelled."""
        return self._close({"state": "cancelled"})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._manifest.state != "running":
            self._lock.release()
        elif error is None:
            self.finish()
        elif isinstance(error, Cancelled):
            self.cancel()
        elif isinstance(error, MucError):
            self.fail(str(error))
        else:
            self.fail(f"stopped by an unexpected {type(error).__name__}")

    def _close(self, changes: Mapping[str, object]) -> RunRecord:
        if self._manifest.state != "running":
            raise ValueError(f"the run {self.id} is already {self._manifest.state}")
        try:
            self._update({"finished": utc_now(), **changes})
        finally:
            self._lock.release()
        return RunRecord(self._manifest, self.folder)

    def _update(self, changes: Mapping[str, object]) -> None:
        manifest = RunManifest.model_validate({**dict(self._manifest), **changes})
        write_file(self.folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
        self._manifest = manifest

    def _truncate_history(self) -> None:
        """Cut off an unfinished last line, so that the next one does not grow onto it."""
        path = self.folder / HISTORY
        if not path.exists():
            return
        with writing(path):
            content = path.read_bytes()
            complete = content.rfind(b"\n") + 1
            if complete != len(content):
                os.truncate(path, complete)


def _line(step: int, epoch: float, values: Mapping[str, float]) -> bytes:
    entry = {"step": step, "epoch": epoch, "values": {name: float(value) for name, value in values.items()}}
    return (json.dumps(entry) + "\n").encode()


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / CHECKPOINTS / f"{step:08d}.safetensors"


def _is_locked(folder: Path) -> bool:
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True
    except FileNotFoundError:  # the run was deleted meanwhile
        return False
