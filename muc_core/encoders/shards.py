"""Vectors of sets that are too large for memory or for one process: embedded in shards on the disk, and mapped.

Under `accelerate launch` each process embeds every so many-th shard. A shard is written as a whole or not at all, so
that a run that was broken off, or has another number of processes, goes on with those that are missing.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from muc_core.encoders.parallel import rank, wait_for_all, world_size
from muc_core.errors import MucError

SHARD = 65_536
NOTE = "vectors.json"
WHOLE = "vectors.npy"


def embedded_on_disk(
    folder: Path, n: int, embed: Callable[[range], Tensor], *, of: str, shard: int = SHARD
) -> npt.NDArray[np.float32]:
    """Vectors of n items, `[n, d]`, mapped from `vectors.npy` in a folder; embedded and written there where missing.

    Args:
        folder: one for each set of vectors; created.
        embed: positions of items to their vectors, `[m, d]`; the same for the same items whatever else it is asked.
        of: what the vectors are of, such as the digests of encoder and data; kept, and compared when going on.
        shard: items in a shard.

    Raises:
        MucError: the folder holds vectors of something else, or cannot be written.
    """
    try:
        _note(folder, {"of": of, "n": n, "shard": shard})
        whole = folder / WHOLE
        if not whole.exists():
            shards = [range(start, min(start + shard, n)) for start in range(0, n, shard)]
            paths = [folder / f"shard-{number:05}.npy" for number in range(len(shards))]
            for path, rows in list(zip(paths, shards, strict=True))[rank() :: world_size()]:
                if not path.exists():
                    vectors = embed(rows).numpy()
                    with _new(path) as hidden, hidden.open("wb") as file:
                        np.save(file, vectors)
            wait_for_all()
            if rank() == 0:
                _join(paths, whole, n)
            wait_for_all()
    except OSError as error:
        raise MucError(f"the vectors in {folder} could not be written or read ({error.strerror})") from error
    mapped: npt.NDArray[np.float32] = np.load(whole, mmap_mode="r")
    return mapped


def _note(folder: Path, wanted: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NOTE
    if not path.exists():
        with _new(path) as hidden:
            hidden.write_text(json.dumps(wanted), encoding="utf-8")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != wanted:
        raise MucError(f"{folder} holds vectors of something else ({NOTE} says of what); choose an empty folder")


def _join(paths: list[Path], whole: Path, n: int) -> None:
    """One file of all shards, which are removed; no more than one of them is in memory."""
    first = np.load(paths[0], mmap_mode="r")
    with _new(whole) as hidden, hidden.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(first.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (n, *first.shape[1:])})
        for path in paths:
            np.load(path).tofile(file)
    for path in paths:
        path.unlink()


@contextmanager
def _new(path: Path) -> Iterator[Path]:
    """A hidden file that takes the place of `path` when the block ends well."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield hidden
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
