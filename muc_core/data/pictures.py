"""Pictures read from files when they are asked for, and how to tell, without decoding, that they are the same ones."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from muc_core.data.decode import MAX_FILE_BYTES, decode_image, to_square_tensor
from muc_core.data.interpolation import Interpolation
from muc_core.errors import BadImage, MucError

_SAMPLED = 1024


class FilePictures:
    """Picture files by path.

    Args:
        folder: where relative paths begin.
        paths: one a picture; absolute ones and ones that climb with `..` are followed, so they must be the user's own.
        names: for messages, such as the ids.
    """

    def __init__(self, folder: Path, paths: Sequence[str], names: Sequence[str]) -> None:
        self._folder = folder
        self._paths = paths
        self._names = names

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, indices: Sequence[int], size: int, interpolation: Interpolation = "bicubic") -> Tensor:
        """uint8 `[n, 3, size, size]`. Raises `BadImage`, naming a file that is gone or cannot be decoded."""
        return decode_pictures(
            ((self._names[index], self.read(index)) for index in indices), len(indices), size, interpolation
        )

    def read(self, index: int) -> bytes:
        return read_picture(self._path(index), self._names[index])

    def fingerprint(self, indices: Sequence[int]) -> bytes:
        """Covers what `sampled_fingerprint` does."""
        sizes = np.fromiter((picture_size(self._path(i), self._names[i]) for i in indices), np.int64, len(indices))
        return sampled_fingerprint(sizes, lambda row: self.read(indices[row]))

    def _path(self, index: int) -> str:
        # a `Path` would cost more than the look at the file
        return os.path.join(self._folder, self._paths[index])


def check_files(folder: Path, paths: Sequence[str], where: Callable[[int], str]) -> None:
    """Look whether picture files are there: all of up to 1,024, of more a sample spread evenly.

    Args:
        folder: where relative paths begin.
        paths: of the pictures.
        where: the file and line that names a picture, for the message.

    Raises:
        MucError: one is missing.
    """
    for row in _spread(len(paths)):
        # unlike that of `Path`, this look takes a name that is too long for one that is not there
        if not os.path.isfile(os.path.join(folder, paths[row])):
            raise MucError(
                f"{where(row)}: there is no picture {paths[row]!r} in {folder}; bring the file, or name the folder of "
                "the pictures by writing ?images=FOLDER after the path"
            )


def decode_pictures(
    files: Iterable[tuple[str, bytes]], count: int, size: int, interpolation: Interpolation = "bicubic"
) -> Tensor:
    """`count` encoded pictures with their names as uint8 `[n, 3, size, size]`. Raises `BadImage`."""
    pixels = torch.empty((count, 3, size, size), dtype=torch.uint8)
    for row, (name, data) in enumerate(files):
        pixels[row] = to_square_tensor(decode_image(data, name).image, size, interpolation)
    return pixels


def picture_size(path: str | Path, name: str) -> int:
    """Bytes of a picture file. Raises `BadImage` when it is not there, not an ordinary file, or too large."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadImage(f"the picture {name} cannot be read from {path}: {reason}") from error
    if not stat.S_ISREG(found.st_mode):  # opening a named pipe would wait for ever
        raise BadImage(f"the picture {name} is not an ordinary file; pictures in files are accepted")
    if found.st_size > MAX_FILE_BYTES:
        raise BadImage(f"{name} is too large; files up to {MAX_FILE_BYTES / 2**20:g} MB are accepted")
    return found.st_size


def read_picture(path: str | Path, name: str) -> bytes:
    """The bytes of a picture file. Raises `BadImage` as `picture_size` does."""
    picture_size(path, name)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadImage(f"the picture {name} cannot be read from {path}: {error.strerror or error}") from error


def sampled_fingerprint(sizes: npt.NDArray[np.int64], read: Callable[[int], bytes]) -> bytes:
    """Covers the size in bytes of every picture, and all bytes of 1,024 of them, spread evenly.

    A picture that changed without changing its size goes unnoticed unless it is one of these.
    """
    content = hashlib.sha256(np.ascontiguousarray(sizes, dtype="<i8").tobytes())
    for row in _spread(len(sizes)):
        content.update(hashlib.sha256(read(row)).digest())
    return content.digest()


def _spread(count: int) -> list[int]:
    rows: list[int] = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(np.int64)).tolist()
    return rows
