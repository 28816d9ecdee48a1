"""Small data sets in every registered format, made when asked for.

Each builder writes one into an empty folder. All of them but CIFAR and the single picture hold the same five pictures,
captions and classes, as far as the format can say them.
"""

import csv
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from muc_core.errors import MucError
from tests.hostile import png, zipped

COUNT = 5
NAMES = tuple(f"p{number}" for number in range(COUNT))
TEXTS = tuple(f"a picture, number {number}" for number in range(COUNT))
CLASSES = ("bird", "cat", "bird", "dog", "cat")


@dataclass(frozen=True)
class Built:
    """Where a data set is and what must be read from it; `file` is one that can be damaged."""

    path: Path
    ids: tuple[str, ...]
    texts: tuple[str | None, ...]
    labels: tuple[str | None, ...]
    file: Path


def complaint(action: Callable[[], object]) -> str | None:
    """What the `MucError` says that an action raises; None when there is none."""
    try:
        action()
    except MucError as error:
        return str(error)
    return None


def tar_of(files: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive; fractional times make `tarfile` write extended headers, as WebDataset's own writer does."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mtime = 1_700_000_000.5 if form == tarfile.PAX_FORMAT else 1_700_000_000
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def parquet_of(columns: dict[str, Any], *, row_group_size: int = 2, metadata: dict[str, str] | None = None) -> bytes:
    """A parquet file of these columns."""
    table = pa.table(columns)
    stream = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), stream, row_group_size=row_group_size)
    return stream.getvalue()


def contradicting_parquet() -> bytes:
    """A footer whose statistics of the column of pictures count empty cells, and whose schema allows none."""
    whole = parquet_of({"image": pa.array([b"x"] * 3, pa.binary())})
    optional, required = (b"\x15\x0c\x25" + kind + b"\x18\x05image" for kind in (b"\x02", b"\x00"))
    assert whole.count(optional) == 1
    return whole.replace(optional, required)


def cifar_pixels(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """uint8 `[count, 3072]`, as the batches hold them: red, green, blue, each row by row."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


def write_cifar(folder: Path, name: str, *, a_batch: int = 2, protocol: int = 2) -> Path:
    """`cifar10` or `cifar100` in torchvision's layout; returns the folder of the batches."""
    if name == "cifar10":
        batches = folder / "cifar-10-batches-py"
        files = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
        meta, names_key, labels_key = "batches.meta", "label_names", "labels"
    else:
        batches = folder / "cifar-100-python"
        files, meta, names_key, labels_key = ["train", "test"], "meta", "fine_label_names", "fine_labels"
    batches.mkdir(parents=True)
    (batches / meta).write_bytes(pickle.dumps({names_key: ["bird", "cat", "dog"]}, protocol))
    for seed, file in enumerate(files):
        labels = [(seed + number) % 3 for number in range(a_batch)]
        batch = {"data": cifar_pixels(a_batch, seed), labels_key: labels, "filenames": [f"{n}.png" for n in labels]}
        (batches / file).write_bytes(pickle.dumps(batch, protocol))
    return batches


def _write_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        (folder / f"{name}.png").write_bytes(png(number))


def _cifar(name: str) -> Callable[[Path], Built]:
    def build(folder: Path) -> Built:
        batches = write_cifar(folder, name)
        count = 10 if name == "cifar10" else 2
        files = 5 if name == "cifar10" else 1
        ids = [*(f"train/{number:05d}" for number in range(count)), "test/00000", "test/00001"]
        labels = [("bird", "cat", "dog")[(file + number) % 3] for file in range(files + 1) for number in range(2)]
        file = batches / ("test_batch" if name == "cifar10" else "test")
        return Built(folder, tuple(ids), (None,) * len(ids), tuple(labels), file)

    return build


def _image_folder(folder: Path) -> Built:
    for number, (name, label) in enumerate(zip(NAMES, CLASSES, strict=True)):
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"{name}.png").write_bytes(png(number))
    order = sorted(range(COUNT), key=lambda number: (CLASSES[number], NAMES[number]))
    paths = [f"{CLASSES[number]}/{NAMES[number]}.png" for number in order]
    with (folder / "captions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "caption"), *zip(paths, (TEXTS[n] for n in order), strict=True)])
    return Built(
        folder,
        tuple(paths),
        tuple(TEXTS[number] for number in order),
        tuple(CLASSES[number] for number in order),
        folder / "bird" / "p0.png",
    )


def _zip(folder: Path) -> Built:
    captions = "file\tcaption\tlabel\n" + "".join(
        f"{name}.png\t{text}\t{label}\n" for name, text, label in zip(NAMES, TEXTS, CLASSES, strict=True)
    )
    path = folder / "set.zip"
    pictures = [(f"{name}.png", png(number)) for number, name in enumerate(NAMES)]
    path.write_bytes(zipped(*pictures, ("captions.tsv", captions.encode())))
    return Built(path, tuple(f"{name}.png" for name in NAMES), TEXTS, CLASSES, path)


def _picture(folder: Path) -> Built:
    path = folder / "p0.png"
    path.write_bytes(png(0))
    return Built(path, ("p0.png",), (None,), (None,), path)


def _coco(folder: Path) -> Built:
    _write_pictures(folder / "train")
    (folder / "annotations").mkdir()
    path = folder / "annotations" / "captions_train.json"
    images = [{"id": 100 + number, "file_name": f"{name}.png"} for number, name in enumerate(NAMES)]
    annotations = [
        {"id": 10 * number + copy, "image_id": 100 + number, "caption": f"{text}{' again' * copy}"}
        for copy in range(2)
        for number, text in enumerate(TEXTS)
    ]
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}))
    return Built(folder, tuple(f"{name}.png" for name in NAMES), TEXTS, (None,) * COUNT, path)


def _table(folder: Path) -> Built:
    _write_pictures(folder / "pictures")
    path = folder / "set.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerow(("filepath", "title", "label"))
        writer.writerows((f"pictures/{name}.png", *of) for name, *of in zip(NAMES, TEXTS, CLASSES, strict=True))
    return Built(path, tuple(f"pictures/{name}.png" for name in NAMES), TEXTS, CLASSES, path)


def _webdataset(folder: Path) -> Built:
    for shard, numbers in enumerate((range(3), range(3, COUNT))):
        files = []
        for number in numbers:
            files += [(f"{NAMES[number]}.png", png(number)), (f"{NAMES[number]}.txt", TEXTS[number].encode())]
            files += [(f"{NAMES[number]}.cls", CLASSES[number].encode())]
        (folder / f"set-{shard:03d}.tar").write_bytes(tar_of(files))
    ids = tuple(f"set-{number // 3:03d}/{name}" for number, name in enumerate(NAMES))
    return Built(folder, ids, TEXTS, CLASSES, folder / "set-000.tar")


def _parquet(folder: Path) -> Built:
    path = folder / "set.parquet"
    images = [{"bytes": png(number), "path": f"{name}.png"} for number, name in enumerate(NAMES)]
    features = {"label": {"names": ["cat", "dog", "bird"], "_type": "ClassLabel"}}
    labels = [("cat", "dog", "bird").index(label) for label in CLASSES]
    path.write_bytes(
        parquet_of(
            {"image": images, "caption": list(TEXTS), "label": labels},
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
    )
    return Built(path, tuple(f"set/{number:08d}" for number in range(COUNT)), TEXTS, CLASSES, path)


BUILDERS: dict[str, Callable[[Path], Built]] = {
    "cifar10": _cifar("cifar10"),
    "cifar100": _cifar("cifar100"),
    "coco": _coco,
    "image-folder": _image_folder,
    "parquet": _parquet,
    "picture": _picture,
    "table": _table,
    "webdataset": _webdataset,
    "zip": _zip,
}
