"""Files by upload and by path: captions, pictures, archives, lists of ids, data sets, weights."""

import contextlib
import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from hypothesis import strategies as st

import muc_core.encoders.load  # noqa: F401  (registers the families)
from muc_core.data.captions import parse_captions, with_captions
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.ingest import ingest_files, ingest_zip
from muc_core.data.sets import list_sets, load_dataset, resolve_ids
from muc_core.encoders.checkpoint import kind_of, load_weights, read_checkpoint
from muc_core.encoders.recognition.recognise import recognise
from muc_core.errors import BadImage, MucError
from tests.data_sets import write_cifar
from tests.fuzz.mutation import damaged
from tests.fuzz.target import Target, check_sentence
from tests.hostile.corpus import all_cases
from tests.hostile.pictures import FORMATS, sound

PICTURES = ("a.png", "b.png")
_NAMES = st.one_of(
    st.sampled_from(PICTURES),
    st.text(max_size=12),
    st.sampled_from(("../a.png", "/a.png", "a\0.png", "", ".", "con.png")),
)


@cache
def two_pictures() -> ImageTextDataset:
    pixels = torch.zeros((len(PICTURES), 3, 8, 8), dtype=torch.uint8)
    return ImageTextDataset("mine", [Item(name) for name in PICTURES], TensorImages(pixels))


# captions and lists of ids

_CAPTIONS = (
    b"file,caption,label,owner\na.png,a cat,animal,ann\nb.png,a dog,animal,bob\n",
    b"file\tcaption\na.png\ta cat\nb.png\ta dog\n",
    b'{"file": "a.png", "caption": "a cat"}\n{"file": "b.png", "caption": "a dog"}\n',
    b'{"a.png": "a cat", "b.png": "a dog"}',
    b'[{"file_name": "a.png", "text": "a cat"}, {"file_name": "b.png", "text": "a dog"}]',
    b'\xef\xbb\xbffile;caption\r\na.png;"a ""cat"""\r\nb.png;"a\ndog"\r\n',
)
_SIGNS = (
    "a.png",
    "b.png",
    "file",
    "caption",
    "label",
    ",",
    ";",
    "\t",
    '"',
    "'",
    "\n",
    "\r",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\0",
    "\ufeff",
    " ",
    "cat",
    "\u2028",
)


_SUFFIXES = ("csv", "tsv", "jsonl", "json", "json", "csv")


@st.composite
def _caption_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Damaged files under the name of their kind, and signs at random under any."""
    suffix, sound_one = draw(st.sampled_from(list(zip(_SUFFIXES, _CAPTIONS, strict=True))))
    other = draw(st.sampled_from(("csv", "tsv", "jsonl", "json", "txt")))
    content = draw(st.one_of(damaged([sound_one]), damaged([sound_one]), _WRITTEN))
    return f"captions.{draw(st.sampled_from((suffix, suffix, other)))}", content


def _captions(example: tuple[str, bytes], folder: Path) -> None:
    name, content = example
    with contextlib.suppress(MucError):  # refused as a whole there, line by line here
        parse_captions(content, name)
    path = folder / name
    path.write_bytes(content)
    texts = with_captions(two_pictures(), path).texts
    assert all((text and text.isprintable()) or text for text in texts)


def _ids(content: bytes, folder: Path) -> None:
    path = folder / "ids.txt"
    path.write_bytes(content)
    assert set(resolve_ids(f"ids:{path}", two_pictures(), None)) <= set(PICTURES)


_WRITTEN = st.lists(st.sampled_from(_SIGNS), max_size=40).map(lambda parts: "".join(parts).encode())

# uploads


def _upload(example: tuple[str, bytes], folder: Path) -> None:
    name, content = example
    found = ingest_files([(name, content)], name="mine", guess_captions=True)
    for rejection in found.rejected:
        if found.dataset is None:
            raise MucError(rejection.reason)
    if found.dataset is not None:
        _look_at(found.dataset)


def _archive(content: bytes, folder: Path) -> None:
    path = folder / "pictures.zip"
    path.write_bytes(content)
    found = ingest_zip(path, name="mine")
    if found.dataset is None:
        raise MucError(found.rejected[0].reason if found.rejected else "nothing in it")
    _look_at(found.dataset)


def _look_at(dataset: ImageTextDataset) -> None:
    for text in (*dataset.texts, *dataset.labels, *dataset.owners):
        assert text is None or text.encode()
    for index in range(min(len(dataset), 4)):
        with contextlib.suppress(BadImage):
            assert dataset.images(32, [index]).shape == (1, 3, 32, 32)


@st.composite
def _zips(draw: st.DrawFn) -> bytes:
    """Archives of pictures and captions under any names, packed either way."""
    stream = io.BytesIO()
    content = st.one_of(
        st.sampled_from([_small(kind) for kind in FORMATS]), st.sampled_from(_CAPTIONS), st.binary(max_size=40)
    )
    with zipfile.ZipFile(stream, "w") as archive:
        for _ in range(draw(st.integers(0, 5))):
            name = draw(st.one_of(_NAMES, st.sampled_from(("captions.csv", "x/captions.jsonl", "__MACOSX/a.png"))))
            with contextlib.suppress(ValueError, IndexError):  # no archive has such a name
                method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
                archive.writestr(name.encode("utf-8", "replace").decode(), draw(content), method)
    return stream.getvalue()


@cache
def _small(kind: str) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.effect_noise((12, 9), 60).convert("RGB").save(stream, kind)
    return stream.getvalue()


# data sets


@dataclass(frozen=True)
class Tree:
    """Files below a folder, and which path of them is given to the program."""

    files: Mapping[str, bytes]
    given: str


def _tree(folder: Path, given: Path) -> Tree:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return Tree(files, str(given.relative_to(folder)))


def of_the_corpus(*ids: str) -> list[Tree]:
    """Sound files of the corpus of hostile ones."""
    wanted, found = set(ids), []
    for case in all_cases():
        if case.id in wanted:
            with tempfile.TemporaryDirectory() as folder:
                found.append(_tree(Path(folder), case.build(Path(folder))))
    assert len(found) == len(wanted), f"the corpus has not all of {ids}"
    return found


def _cifar() -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        return _tree(Path(folder), write_cifar(Path(folder), "cifar10"))


@st.composite
def _damaged_trees(draw: st.DrawFn, trees: Iterable[Tree]) -> Tree:
    tree = draw(st.sampled_from(list(trees)))
    name = draw(st.sampled_from(sorted(tree.files)))
    return replace(tree, files={**tree.files, name: draw(damaged([tree.files[name]]))})


def _data(tree: Tree, folder: Path) -> None:
    root = folder / "data"
    shutil.rmtree(root, ignore_errors=True)
    for name, content in tree.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    dataset = load_dataset(str(root / tree.given))
    list_sets(dataset, None)
    _look_at(dataset)


def _data_target(name: str, *trees: Tree) -> Target:
    return Target(name, _damaged_trees(trees), _data)


# weights


def _saved(content: object, *, zipped: bool = True) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def _state() -> dict[str, torch.Tensor]:
    return {"conv1.weight": torch.zeros(2, 3, 3, 3), "fc.bias": torch.ones(2), "steps": torch.tensor(3)}


def _safetensors() -> bytes:
    from safetensors.torch import save

    return save(_state(), {"format": "pt"})


def _weights(content: bytes, folder: Path) -> None:
    path = folder / "model.pt"
    path.write_bytes(content)
    kind_of(path)
    read_checkpoint(path)
    try:
        recognise(path)
    except MucError as refusal:  # few of these tensors are those of an encoder
        check_sentence(refusal)


def _plain_weights(content: bytes, folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(content)
    load_weights(path)


def _programs() -> list[bytes]:
    return [
        next(iter(tree.files.values())) for tree in of_the_corpus("weights/torchscript_sound", "weights/onnx_sound")
    ]


_PICTURES = [make(kind) for kind in FORMATS for make in (sound, _small)]
_STATES = [_saved({"state_dict": _state(), "epoch": 3, "arch": "resnet18"}), _saved(_state(), zipped=False)]

TARGETS = (
    Target("captions", _caption_files(), _captions),
    Target("lists of ids", damaged([b"a.png\nb.png\n", b"# mine\r\na.png"]) | _WRITTEN, _ids),
    Target("pictures", st.tuples(st.just("a.png") | _NAMES, damaged(_PICTURES)), _upload),
    Target("archives", _zips() | _zips().flatmap(lambda one: damaged([one])), _archive),
    _data_target("tables", *of_the_corpus("data/table_sound")),
    _data_target("COCO", *of_the_corpus("data/coco_sound")),
    _data_target("WebDataset", *of_the_corpus("data/tar_sound")),
    _data_target("parquet", *of_the_corpus("data/parquet_sound")),
    _data_target("CIFAR", _cifar()),
    Target("pickles of torch", damaged(_STATES), _weights),
    Target("safetensors", damaged([_safetensors()]), _plain_weights),
    Target("TorchScript, ONNX", damaged(_programs()), _weights),
)
