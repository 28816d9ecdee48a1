"""Vectors that were paid for once: one SQLite file, by content of the picture or text and identity of the endpoint."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

from muc_core.encoders.remote.numbers import Vector
from muc_core.errors import MucError

_AT_ONCE = 500
_BUSY_S = 30.0


class VectorCache:
    """Vectors in `folder`/vectors.sqlite; several threads and processes may use it at once. It may be deleted.

    Raises:
        MucError: the file is damaged, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "vectors.sqlite"
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> dict[str, Vector]:
        """Those vectors that are known, by key."""
        if not self._path.exists():
            return {}
        found: dict[str, Vector] = {}
        with self._open() as database:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                # question marks only: the keys are bound
                marks = ", ".join("?" * len(part))
                rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # nosec B608
                found.update((key, np.frombuffer(content, dtype="<f4").astype(np.float32)) for key, content in rows)
        return found

    def put(self, vectors: Mapping[str, Vector]) -> None:
        """Remember vectors; those already known stay as they are."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        with self._open() as database, database:
            database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as database:
                if database.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                    # SQLite does not wait for another who changes this at the same moment
                    with FileLock(self._path.with_suffix(".lock"), timeout=_BUSY_S):
                        database.execute("PRAGMA journal_mode = WAL")
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")
                yield database
        except (sqlite3.Error, OSError) as error:
            raise MucError(
                f"{self._path}, which remembers the answers of encoders behind a URL, cannot be used ({error}); free "
                "some space, or delete the file"
            ) from error


def cache_folder(encoder_folder: Path | None = None) -> Path:
    """Where vectors are remembered: in the workspace an encoder lies in, else that of MUC_HOME, else the user's cache.

    Args:
        encoder_folder: WORKSPACE/encoders/NAME, None for an encoder that is not stored yet.
    """
    if encoder_folder is not None and encoder_folder.parent.name == "encoders":
        return encoder_folder.parents[1] / "cache" / "remote"
    if home := os.environ.get("MUC_HOME"):
        return Path(home).expanduser().absolute() / "cache" / "remote"
    return Path(user_cache_dir("muc-audit", appauthor=False)) / "remote"
