"""The entry points of the program that a stranger's file comes in by, each as the program itself calls it."""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime  # noqa: F401  (so that its own size is not counted as that of a file)
import torch

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core import reports  # noqa: F401
from muc_core.cli import app
from muc_core.cli.audit import EXIT_CODES
from muc_core.data.captions import with_captions
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.ingest import ingest_files, ingest_zip
from muc_core.data.sets import list_sets, load_dataset, resolve_ids
from muc_core.errors import BadImage, MucError
from muc_core.evidence import embeddings, verify  # noqa: F401
from muc_core.workspace import importing, trial  # noqa: F401
from tests.hostile.case import Case
from tests.hostile.texts import PICTURES
from tests.hostile.uploads import png


def _forked(told: bytes) -> tuple[int, bytes]:
    """What `trial` does in a new process, in a forked one, which has everything imported."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            answer = trial.answered(told)
            os.write(writer, answer)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), answer


GOOD = "good beside it.png"
_LOOKED_AT = 12
_REFUSED = (2, 20)
"""Exit codes of `muc`: wrong input, and evidence that does not hold."""


def enter(case: Case, path: Path) -> list[str]:
    """Send a case through its door; returns what the user is told of what was refused, nothing when all was used.

    Any exception is a defect; `MucError`, which the program's pages and commands show as a sentence, is caught here.
    """
    trial.start = _forked  # for this process, which is the case's own
    try:
        return _DOORS[case.door](case, path)
    except MucError as error:
        return [str(error)]


def _upload(case: Case, path: Path) -> list[str]:
    given = path.name if case.given is None else case.given
    found = ingest_files([(GOOD, png(99)), (given, path.read_bytes())], name="mine", guess_captions=True)
    assert found.dataset is not None, "the sound picture beside it was lost"
    assert GOOD in found.dataset.ids, "the sound picture beside it was lost"
    assert [rejection for rejection in found.rejected if rejection.name == GOOD] == []
    _look_at(found.dataset)
    return [rejection.reason for rejection in found.rejected]


def _archive(case: Case, path: Path) -> list[str]:
    found = ingest_zip(path, name="mine")
    if found.dataset is not None:
        _look_at(found.dataset)
    return [rejection.reason for rejection in found.rejected]


def _data(case: Case, path: Path) -> list[str]:
    dataset = load_dataset(str(path))
    list_sets(dataset, None)
    return _look_at(dataset)


def _look_at(dataset: ImageTextDataset) -> list[str]:
    """Decode the first pictures and read all that is said of them; returns what is wrong with pictures."""
    said = [*dataset.texts, *dataset.labels, *dataset.owners]
    for text in said:
        assert text is None or text.encode()
    told = []
    for index in range(min(len(dataset), _LOOKED_AT)):
        try:
            pixels = dataset.images(32, [index])
            assert pixels.shape == (1, 3, 32, 32)
        except BadImage as error:
            told.append(str(error))
    return told


def _two_pictures() -> ImageTextDataset:
    pixels = torch.zeros((len(PICTURES), 3, 8, 8), dtype=torch.uint8)
    return ImageTextDataset("mine", [Item(name, None, None, None) for name in PICTURES], TensorImages(pixels))


def _captions(case: Case, path: Path) -> list[str]:
    for text in with_captions(_two_pictures(), path).texts:
        assert text
    return []


def _ids(case: Case, path: Path) -> list[str]:
    assert set(resolve_ids(f"ids:{path}", _two_pictures(), None)) <= set(PICTURES)
    return []


def _command(*arguments: str, used: Sequence[int] = (0,)) -> list[str]:
    """`muc` with these arguments; what it prints where it refuses, that is, ends with no code of `used`."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            app(list(arguments), prog_name="muc")
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
    assert code in (*used, *_REFUSED), f"exit code {code}"
    assert "Traceback" not in said.getvalue()
    return [] if code in used else [said.getvalue().strip()]


def _weights(case: Case, path: Path) -> list[str]:
    return _command("encoders", "add", str(path), "--name", "theirs")


def _text_tower(case: Case, path: Path) -> list[str]:
    return _command("encoders", "add", str(path.with_name("image.onnx")), "--text-onnx", str(path), "--name", "theirs")


def _evidence(case: Case, path: Path) -> list[str]:
    return _command("verify", str(path))


def _public_key(case: Case, path: Path) -> list[str]:
    return _command("verify", str(path.with_name("audit.muc.zip")), "--public-key", str(path))


def _vectors(case: Case, path: Path) -> list[str]:
    return _command("audit", "--embeddings", str(path), "--permutations", "999", used=tuple(EXIT_CODES.values()))


_DOORS: dict[str, Callable[[Case, Path], list[str]]] = {
    "upload": _upload,
    "archive": _archive,
    "captions": _captions,
    "ids": _ids,
    "data": _data,
    "weights": _weights,
    "text tower": _text_tower,
    "evidence": _evidence,
    "public key": _public_key,
    "vectors": _vectors,
}
