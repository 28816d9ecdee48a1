"""Where watches are kept in the workspace.

    watches/NAME/watch.json       what is asked
    watches/NAME/looks/0001.json  what each look found; with it the look is done
    watches/NAME/looks/0001.npy   vectors of the canaries at that look

A look that was interrupted leaves no JSON and is made again, with the same number, views and level.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from muc_core.encoders.manifest import check_name, explain
from muc_core.errors import MucError, UnknownName
from muc_core.jobs.watch.spec import Look, WatchSpec
from muc_core.stats.ranks import Float64
from muc_core.workspace import Workspace
from muc_core.workspace.files import new_folder, remove_folder, write_file

_SPEC, _LOOKS = "watch.json", "looks"
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Watch:
    """A registered watch and its looks so far, in their order."""

    spec: WatchSpec
    folder: Path
    looks: tuple[Look, ...]

    @property
    def found_a_trace(self) -> bool:
        """Whether a look alarmed: then the question is answered, and no more looks are made."""
        return any("trace" in look.alerts for look in self.looks)

    @property
    def next_number(self) -> int | None:
        """Of the next look; None when there will be none."""
        made = len(self.looks)
        return None if self.found_a_trace or made >= self.spec.looks else made + 1

    def canaries(self) -> Float64 | None:
        """The vectors of the canaries at the last look; None before the first. Raises `MucError` when damaged."""
        if not self.looks:
            return None
        path = _vectors(self.folder, self.looks[-1].number)
        try:
            return np.asarray(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False), dtype=np.float64)
        except (OSError, ValueError, EOFError) as error:
            raise MucError(f"{path} cannot be read; delete the watch with --delete and register it anew") from error


def register(workspace: Workspace, spec: WatchSpec) -> Watch:
    """Keep a new watch. Raises `MucError` when the name is taken or not allowed."""
    folder = _folder(workspace, spec.name)
    try:
        with new_folder(folder) as hidden:
            (hidden / _LOOKS).mkdir()
            (hidden / _SPEC).write_text(spec.model_dump_json(indent=1), encoding="utf-8")
    except FileExistsError:
        raise MucError(f"there is a watch {spec.name!r} already; choose another name") from None
    return Watch(spec, folder, ())


def names(workspace: Workspace) -> list[str]:
    """Of all watches."""
    folder = workspace.home / "watches"
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{_SPEC}")) if folder.is_dir() else []


def read(workspace: Workspace, name: str) -> Watch:
    """A watch with its looks. Raises `UnknownName`; `MucError` when a file is damaged or a look is missing."""
    folder = _known(workspace, name)
    spec = _read(folder / _SPEC, WatchSpec)
    looks = tuple(_read(path, Look) for path in sorted((folder / _LOOKS).glob("[0-9]*.json")))
    if [look.number for look in looks] != list(range(1, len(looks) + 1)):
        raise MucError(f"looks are missing in {folder / _LOOKS}; restore them, or delete the watch with --delete")
    return Watch(spec, folder, looks)


def keep(watch: Watch, look: Look, canaries: Float64) -> Watch:
    """The watch with one more look, whose JSON is written last."""
    buffer = io.BytesIO()
    np.save(buffer, canaries, allow_pickle=False)
    write_file(_vectors(watch.folder, look.number), buffer.getvalue())
    write_file(_vectors(watch.folder, look.number).with_suffix(".json"), look.model_dump_json(indent=1).encode())
    return Watch(watch.spec, watch.folder, (*watch.looks, look))


def delete(workspace: Workspace, name: str) -> None:
    """Delete a watch with its looks. Raises `UnknownName`."""
    folder = _known(workspace, name)
    workspace.note("watch removed", {"watch": name})
    remove_folder(folder)


@contextmanager
def alone(watch: Watch) -> Iterator[None]:
    """No other process makes looks meanwhile. Raises `MucError` when one does."""
    lock = FileLock(watch.folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MucError(f"another process is watching {watch.spec.name!r} just now; wait for it, or end it") from None
    try:
        yield
    finally:
        lock.release()


def _folder(workspace: Workspace, name: str) -> Path:
    return workspace.home / "watches" / check_name(name)


def _known(workspace: Workspace, name: str) -> Path:
    if name not in names(workspace):
        raise UnknownName(f"there is no watch {name!r}; known: {', '.join(names(workspace)) or 'none'}")
    return _folder(workspace, name)


def _vectors(folder: Path, number: int) -> Path:
    return folder / _LOOKS / f"{number:05}.npy"


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise MucError(f"{path} is not as it was written: {explain(error)[:300]}") from error
    except OSError as error:
        raise MucError(f"{path} cannot be read ({error.strerror})") from error
