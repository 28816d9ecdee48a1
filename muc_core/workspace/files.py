"""Writing that a killed process cannot spoil: under a hidden name first, flushed to the disk, then renamed.

A reader sees the old content or the new one, never a part. What a killed writer leaves behind begins with `.tmp-` and
its process id, and is removed by `sweep` a day later. Everything the operating system refuses becomes a `MucError` that
names the path.
"""

import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from muc_core.errors import MucError

TEMPORARY = ".tmp-"
SWEEP_AFTER_S = 24 * 3600.0

_WRITER = re.compile(re.escape(TEMPORARY) + r"(\d{1,9})-[0-9a-f]{12}-")

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


def cannot_write(path: Path, error: OSError) -> MucError:
    """The refusal of the operating system as a sentence for the user."""
    if error.errno in _FULL:
        return MucError(
            f"the disk is full: {path} could not be written; free some space and try again, what was saved stays"
        )
    if error.errno in _REFUSED:
        return MucError(
            f"{path} could not be written ({error.strerror}); make the folder writable or choose another workspace "
            "with MUC_HOME"
        )
    return MucError(f"{path} could not be written ({error.strerror or error}); choose another workspace with MUC_HOME")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns `OSError` into a `MucError` naming `path`; `FileExistsError` passes, it has its own meaning."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A hidden path in the folder of `target` to write to; it takes the place of `target` when the block ends well.

    Raises:
        MucError: the disk is full or the folder cannot be written; `target` is as it was.
    """
    temporary = _hidden(target)
    with writing(target):
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
            _flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` to fill; it becomes `target` when the block ends well.

    Raises:
        FileExistsError: `target` is there already, even if it appeared meanwhile.
        MucError: the disk is full or the folder cannot be written; nothing of it stays.
    """
    temporary = _hidden(target)
    with writing(target):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for path in [*temporary.rglob("*"), temporary]:
                _flush(path)
            try:
                os.rename(temporary, target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise FileExistsError(error.errno, "is there already", str(target)) from error
                raise
            _flush(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_file(target: Path, content: bytes) -> None:
    """Replace a file as a whole. Raises `MucError` as `new_file` does."""
    with new_file(target) as temporary:
        temporary.write_bytes(content)


def remove_folder(target: Path) -> None:
    """Delete a folder; it disappears at once from every listing. Raises `MucError` when it cannot be deleted."""
    temporary = _hidden(target)
    with writing(target):
        os.rename(target, temporary)
        _flush(target.parent)
        shutil.rmtree(temporary)


def sweep(folder: Path, *, older_than_s: float = SWEEP_AFTER_S) -> None:
    """Remove what killed writers left in `folder` and below.

    What a process of this machine writes stays as long as it lives: its age is no sign, for a clock may be set.
    """
    limit = time.time() - older_than_s
    for parent, folders, files in os.walk(folder):
        for name in [name for name in folders if name.startswith(TEMPORARY)]:
            folders.remove(name)
            if not _is_being_written(name) and _changed(Path(parent, name)) < limit:
                shutil.rmtree(Path(parent, name), ignore_errors=True)
        for name in files:
            if name.startswith(TEMPORARY) and not _is_being_written(name) and _changed(Path(parent, name)) < limit:
                Path(parent, name).unlink(missing_ok=True)


def _hidden(target: Path) -> Path:
    # The suffix stays: numpy appends one of its own where it is missing.
    return target.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}-{target.name}")


def _is_being_written(name: str) -> bool:
    writer = _WRITER.match(name)
    return writer is not None and psutil.pid_exists(int(writer[1]))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # its writer has just finished
        return float("inf")


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
