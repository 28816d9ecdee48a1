"""One file of the corpus: how it is made, by which door it comes in, and what must become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Door = Literal[
    "upload", "archive", "captions", "ids", "data", "weights", "text tower", "evidence", "public key", "vectors"
]
"""`upload`: the file chooser of the dashboard. `archive`: a zip by its path. `captions`: `--captions FILE`. `ids`:
`ids:FILE`. `data`: `--data PATH`. `weights`: `muc encoders add PATH`. `text tower`: the same with `--text-onnx PATH`.
`evidence`: `muc verify PATH`. `public key`: `--public-key PATH`.
`vectors`: `muc audit --embeddings PATH`."""

Expected = Literal["used", "refused", "either"]


@dataclass(frozen=True)
class Case:
    """Attributes:
    name: unique among the cases of its door.
    door: where it comes in.
    build: writes it into an empty folder and returns the path that is given to the door.
    expected: what must become of it; "either" where damage may or may not be noticed, as of a flipped byte.
    given: the file name that a browser says, where that is not the one on the disk.
    """

    name: str
    door: Door
    build: Callable[[Path], Path]
    expected: Expected = "refused"
    given: str | None = None

    @property
    def id(self) -> str:
        return f"{self.door}/{self.name}".replace(" ", "_")


def written(name: str, make: Callable[[], bytes]) -> Callable[[Path], Path]:
    """A `build` for one file of these bytes."""

    def build(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make())
        return path

    return build


def upload(name: str, given: str, make: Callable[[], bytes], expected: Expected = "refused") -> Case:
    """An uploaded file; on the disk it has a harmless name."""
    return Case(name, "upload", written("file", make), expected, given)
