"""Data sets with damage, loops, lies and traps: tables, COCO, WebDataset, parquet, CIFAR batches and folders."""

import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data_sets import cifar_pixels, contradicting_parquet, parquet_of, tar_of, write_cifar
from tests.hostile.case import Case, Expected, written
from tests.hostile.pictures import flipped
from tests.hostile.uploads import hostile_cases, hostile_upload, png
from tests.hostile.weights import PICKLES

Build = Callable[[Path], Path]


def cases() -> Iterator[Case]:
    for name, (build, expected) in _all().items():
        yield Case(name, "data", build, expected)


def _all() -> dict[str, tuple[Build, Expected]]:
    return {**_folders(), **_tables(), **_coco(), **_tars(), **_parquet(), **_cifar()}


def _beside(build: Build, *names: str) -> Build:
    """The same with sound pictures of these names in the folder."""

    def both(folder: Path) -> Path:
        for number, name in enumerate(names or ("a.png", "b.png")):
            (folder / name).write_bytes(png(number))
        return build(folder)

    return both


# folders


def _folders() -> dict[str, tuple[Build, Expected]]:
    def loop(folder: Path) -> Path:
        (folder / "a.png").write_bytes(png())
        (folder / "again").symlink_to(folder, target_is_directory=True)
        return folder

    def links(folder: Path) -> Path:
        (folder / "good.png").write_bytes(png())
        (folder / "gone.png").symlink_to("nowhere.png")
        (folder / "self.png").symlink_to("self.png")
        (folder / "secret.png").symlink_to("/etc/passwd")
        (folder / "endless.png").symlink_to("/dev/zero")
        return folder

    def pipe(folder: Path) -> Path:
        (folder / "good.png").write_bytes(png())
        os.mkfifo(folder / "pipe.png")
        os.mkfifo(folder / "captions.csv")
        return folder

    def deep(folder: Path) -> Path:
        inner = folder
        for _ in range(200):
            inner = inner / "d"
        inner.mkdir(parents=True)
        (inner / "a.png").write_bytes(png())
        return folder

    def names(folder: Path) -> Path:
        for number, name in enumerate(
            (b"a\xff.png", b"a\nb.png", b"=1+1.png", b"<b>.png", b"-rf.png", b"\xcc\x81.png")
        ):
            Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(png(number))
        return folder

    def hostile(folder: Path) -> Path:
        for case in hostile_cases():
            (folder / f"{case}{Path(hostile_upload(case)[0]).suffix or '.png'}").write_bytes(hostile_upload(case)[1])
        return folder

    def empty(folder: Path) -> Path:
        return folder

    def split_names(folder: Path) -> Path:
        for part in ("train", "val"):
            (folder / part / "..hidden").mkdir(parents=True)
            (folder / part / "..hidden" / "a.png").write_bytes(png())
            (folder / part / "x").mkdir()
            (folder / part / "x" / "a.png").write_bytes(png())
        return folder

    return {
        "folder_loop": (loop, "used"),
        "folder_links": (links, "used"),
        "folder_pipes": (pipe, "used"),
        "folder_200_deep": (deep, "used"),
        "folder_names": (names, "used"),
        "folder_of_hostile_pictures": (hostile, "either"),
        "folder_empty": (empty, "refused"),
        "folder_hidden": (split_names, "used"),
        "device_zero": (lambda folder: Path("/dev/zero"), "refused"),
        "pipe": (_pipe, "refused"),
    }


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "data.csv")
    return folder / "data.csv"


# tables


def _tables() -> dict[str, tuple[Build, Expected]]:
    head = b"file,caption\n"
    files: dict[str, tuple[str, Callable[[], bytes], Expected]] = {
        "sound": ("t.csv", lambda: head + b"a.png,x\nb.png,y\n", "used"),
        "climbs": ("t.csv", lambda: head + b"../../../../../../etc/passwd,x\n", "refused"),
        "absolute": ("t.csv", lambda: head + b"/etc/passwd,x\n", "refused"),
        "device": ("t.csv", lambda: head + b"/dev/zero,x\n", "refused"),
        "url": ("t.csv", lambda: head + b"http://169.254.169.254/latest/meta-data,x\n", "refused"),
        "nul": ("t.csv", lambda: head + b"a.png\x00.txt,x\n", "refused"),
        "long_name": ("t.csv", lambda: head + b"x" * 100_000 + b",x\n", "refused"),
        "million_lines": ("t.csv", lambda: head + b"".join(b"%d.png,x\n" % n for n in range(1_000_000)), "refused"),
        "million_columns": ("t.csv", lambda: b"file" + b",x" * 1_000_000 + b"\n", "refused"),
        "line_of_100_mb": ("t.csv", lambda: head + b"a.png," + b"x" * 100_000_000, "refused"),
        "first_line_of_100_mb": ("t.csv", lambda: b"x" * 100_000_000, "refused"),
        "latin_1": ("t.csv", lambda: head + "a.png,crème\n".encode("latin-1"), "refused"),
        "utf_16": ("t.tsv", lambda: "file\tcaption\na.png\tx\n".encode("utf-16"), "refused"),
        "open_quote": ("t.csv", lambda: head + b'a.png,"open\n', "refused"),
        "json_deep": ("t.jsonl", lambda: b'{"file":' + b"[" * 500_000, "refused"),
        "json_list": ("t.jsonl", lambda: b"[" + b"[]," * 10_000_000 + b"0]", "refused"),
        "json_many_keys": (
            "t.jsonl",
            lambda: b"".join(b'{"file":"a.png","k%d":0}\n' % n for n in range(200_000)),
            "refused",
        ),
        "json_object_as_file": ("t.jsonl", lambda: b'{"file": {"a": 1}}\n', "refused"),
        "formula": ("t.csv", lambda: head + b'a.png,=1+1\nb.png,"@SUM(A1)"\n', "used"),
        "html": ("t.csv", lambda: head + b"a.png,<script>alert(1)</script>\nb.png,<b>\n", "used"),
        "empty": ("t.csv", lambda: b"", "refused"),
        "binary": ("t.csv", lambda: bytes(range(256)) * 4000, "refused"),
    }
    return {f"table_{n}": (_beside(written(file, make)), expected) for n, (file, make, expected) in files.items()}


# COCO


def _coco() -> dict[str, tuple[Build, Expected]]:
    def told(images: object, annotations: object = (), **more: object) -> bytes:
        return json.dumps({"images": images, "annotations": annotations, **more}).encode()

    one = {"id": 1, "file_name": "a.png"}
    says = {"image_id": 1, "caption": "x"}
    files: dict[str, tuple[Callable[[], bytes], Expected]] = {
        "sound": (lambda: told([one], [says]), "used"),
        "climbs": (lambda: told([{"id": 1, "file_name": "../../../../../../etc/passwd"}]), "refused"),
        "absolute": (lambda: told([{"id": 1, "file_name": "/dev/zero"}]), "refused"),
        "nul": (lambda: told([{"id": 1, "file_name": "a\0.png"}]), "refused"),
        "names_twice": (lambda: told([one, {**one, "id": 2}]), "refused"),
        "ids_twice": (lambda: told([one, one]), "refused"),
        "id_a_list": (lambda: told([{"id": [1], "file_name": "a.png"}]), "refused"),
        "id_not_a_number": (lambda: b'{"images": [{"id": NaN, "file_name": "a.png"}], "annotations": []}', "refused"),
        "id_huge": (lambda: b'{"images": [{"id": ' + b"9" * 100_000 + b"}]}", "refused"),
        "images_an_object": (lambda: told({"a": one}), "refused"),
        "images_of_numbers": (lambda: told([1, 2]), "refused"),
        "caption_an_object": (lambda: told([one], [{"image_id": 1, "caption": {"a": 1}}]), "refused"),
        "caption_html": (lambda: told([one], [{"image_id": 1, "caption": "<script>alert(1)</script>"}]), "used"),
        "caption_of_50_mb": (lambda: told([one], [{"image_id": 1, "caption": "x" * 50_000_000}]), "either"),
        "caption_of_nothing": (lambda: told([one], [{"image_id": 9, "caption": "x"}]), "refused"),
        "deep": (lambda: b'{"images": ' + b"[" * 1_000_000, "refused"),
        "list_of_50_million": (lambda: b'{"images": [' + b"[]," * 50_000_000 + b"[]]}", "refused"),
        "emoji_of_100_mb": (lambda: b'{"images": [], "x": "' + "\U0001f600".encode() * 25_000_000 + b'"}', "refused"),
        "keys_twice": (
            lambda: b'{"images": [], "images": [{"id": 1, "file_name": "a.png"}], "annotations": []}',
            "used",
        ),
        "cut": (lambda: told([one], [says])[:-5], "refused"),
        "latin_1": (lambda: '{"images": [], "annotations": [], "x": "è"}'.encode("latin-1"), "refused"),
        "flickr_only": (lambda: told([{"id": 1, "flickr_url": "http://x"}]), "refused"),
    }
    return {f"coco_{n}": (_beside(written("coco.json", make)), expected) for n, (make, expected) in files.items()}


# tar archives


def _member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "", **more: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, link, len(content)
        for key, value in more.items():
            setattr(member, key, value)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _stated_size(size: bytes) -> bytes:
    """A sound archive whose first header says another size, with the checksum mended."""
    content = bytearray(tar_of([("a.png", png())], tarfile.USTAR_FORMAT))
    content[124:136] = size
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    return bytes(content)


def _tars() -> dict[str, tuple[Build, Expected]]:
    sound = partial(tar_of, [("a.png", png()), ("a.txt", b"x"), ("b.png", png(2)), ("b.cls", b"7")])
    whole = sound()
    pairs = [(f"{number:06}.png", b"") for number in range(100_000)]
    files: dict[str, tuple[Callable[[], bytes], Expected]] = {
        "sound": (sound, "used"),
        "climbs": (lambda: tar_of([("../../evil.png", png())]), "either"),
        "absolute": (lambda: tar_of([("/etc/evil.png", png())]), "either"),
        "symlink": (lambda: _member("a.png", tarfile.SYMTYPE, link="/etc/passwd"), "refused"),
        "hard_link": (lambda: _member("a.png", tarfile.LNKTYPE, link="../../secret"), "refused"),
        "device": (lambda: _member("a.png", tarfile.CHRTYPE), "refused"),
        "pipe": (lambda: _member("a.png", tarfile.FIFOTYPE), "refused"),
        "sparse": (lambda: _member("a.png", tarfile.GNUTYPE_SPARSE), "refused"),
        "pax_size": (lambda: _member("a.png", content=png(), pax_headers={"size": str(2**62)}), "refused"),
        "pax_size_digits": (lambda: _member("a.png", content=png(), pax_headers={"size": "9" * 10_000}), "either"),
        "pax_size_sign": (lambda: _member("a.png", content=png(), pax_headers={"size": "²"}), "either"),
        "pax_path": (lambda: _member("a.png", content=png(), pax_headers={"path": "../../evil.png"}), "either"),
        "pax_bomb": (
            lambda: _member("a.png", content=png(), pax_headers={f"k{n}": "v" * 99 for n in range(20_000)}),
            "refused",
        ),
        "octal": (lambda: _stated_size(b"99999999999\0"), "refused"),
        "size_of_16_eb": (lambda: _stated_size(b"\x80" + b"\xff" * 11), "refused"),
        "size_negative": (lambda: _stated_size(b"\xff" * 12), "refused"),
        "size_blank": (lambda: _stated_size(b" " * 12), "refused"),
        "100000_empty": (lambda: tar_of(pairs, tarfile.USTAR_FORMAT), "either"),
        "json_deep": (lambda: tar_of([("a.png", png()), ("a.json", b"[" * 500_000)]), "refused"),
        "json_list": (lambda: tar_of([("a.png", png()), ("a.json", b"[" + b"[]," * 300_000 + b"0]")]), "refused"),
        "text_latin_1": (lambda: tar_of([("a.png", png()), ("a.txt", "è".encode("latin-1"))]), "refused"),
        "text_of_50_mb": (lambda: tar_of([("a.png", png()), ("a.txt", b"x" * 50_000_000)]), "refused"),
        "text_html": (lambda: tar_of([("a.png", png()), ("a.txt", b"<script>alert(1)</script>")]), "used"),
        "name_twice": (lambda: tar_of([("a.png", png()), ("a.png", png())]), "refused"),
        "name_not_utf_8": (lambda: tar_of([(os.fsdecode(b"a\xff.png"), png())], tarfile.GNU_FORMAT), "refused"),
        "name_control": (lambda: tar_of([("a\x1b[2J\nb.png", png())]), "either"),
        "pickle": (lambda: tar_of([("a.png", png()), ("a.pyd", b"cos\nsystem\n(S'touch EXECUTED'\ntR.")]), "either"),
        "picture_is_text": (lambda: tar_of([("a.png", b"no picture")]), "refused"),
        "gzip": (lambda: b"\x1f\x8b\x08" + bytes(600), "refused"),
        "cut": (lambda: whole[:700], "refused"),
        "no_end": (lambda: whole[: -(len(whole) % 10240 or 10240)] or whole[:1024], "either"),
        "zeros": (lambda: bytes(10_240), "refused"),
        **{f"flipped_{seed}": (partial(flipped, whole, seed, 0.002), "either") for seed in range(8)},
    }
    found: dict[str, tuple[Build, Expected]] = {
        f"tar_{name}": (written("set.tar", make), expected) for name, (make, expected) in files.items()
    }
    found["tar_endless_pattern"] = (lambda folder: folder / ("s{0..99999999999}" * 9 + ".tar"), "refused")
    found["tar_many_braces"] = (lambda folder: folder / ("{a,b}" * 60 + ".tar"), "refused")
    return found


# parquet


def _parquet() -> dict[str, tuple[Build, Expected]]:
    pictures = [png(number) for number in range(5)]

    def packed(columns: dict[str, Any], **options: Any) -> bytes:
        stream = io.BytesIO()
        pq.write_table(pa.table(columns), stream, **options)
        return stream.getvalue()

    def same_text() -> bytes:
        """A megabyte once in the file, a hundred thousand times in the column."""
        values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 2**20]))
        picture = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array([png()]))
        return packed({"image": picture.cast(pa.binary()), "caption": values}, store_schema=False)

    def same_picture() -> bytes:
        values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(5_000, np.int32)), pa.array([bytes(2**20)]))
        return packed({"image": values}, store_schema=False)

    def zeros() -> bytes:
        return packed(
            {"image": pictures[:1] * 3, "caption": ["\0" * 2**28] * 3}, compression="gzip", use_dictionary=False
        )

    def prefixes() -> bytes:
        texts = ["x" * 2**18 + str(number) for number in range(2000)]
        columns = {"image": pictures[:1] * 2000, "caption": texts}
        encodings = {"caption": "DELTA_BYTE_ARRAY"}
        return packed(columns, use_dictionary=False, column_encoding=encodings, compression="zstd")

    sound = {"image": pictures, "caption": list("abcde")}
    whole = parquet_of(sound)
    bytes_and_path = [{"bytes": None, "path": "../../../../../etc/passwd"}] * 2
    files: dict[str, tuple[Callable[[], bytes], Expected]] = {
        "sound": (lambda: whole, "used"),
        "cut": (lambda: whole[:-20], "refused"),
        "cut_at_its_head": (lambda: whole[100:], "refused"),
        "footer_of_2_gb": (lambda: whole[:-8] + b"\xff\xff\xff\x7fPAR1", "refused"),
        "footer_of_zeros": (lambda: b"PAR1" + bytes(1000) + b"\xe8\x03\x00\x00PAR1", "refused"),
        "statistics_contradict": (contradicting_parquet, "refused"),
        "encrypted": (lambda: b"PARE" + whole[4:-4] + b"PARE", "refused"),
        "no_pictures": (lambda: parquet_of({"a": [1], "b": ["x"]}), "refused"),
        "no_rows": (lambda: parquet_of({"image": pa.array([], pa.binary())}), "refused"),
        "null_pictures": (lambda: parquet_of({"image": pa.array([None, None], pa.binary())}), "refused"),
        "pictures_that_are_none": (lambda: parquet_of({"image": [b"no picture"] * 3}), "refused"),
        "path_climbs": (lambda: parquet_of({"image": bytes_and_path}), "refused"),
        "path_absolute": (lambda: parquet_of({"image": ["/etc/passwd"]}), "refused"),
        "path_nul": (lambda: parquet_of({"image": ["a\0.png"]}), "refused"),
        "ids_twice": (lambda: parquet_of({**sound, "id": ["a"] * 5}), "refused"),
        "text_no_utf_8": (
            lambda: parquet_of({"image": pictures, "caption": pa.array([b"\xff"] * 5).view(pa.string())}),
            "refused",
        ),
        "text_same_100_gb": (same_text, "refused"),
        "text_zeros_of_gb": (zeros, "refused"),
        "text_common_prefixes": (prefixes, "refused"),
        "picture_same_5_gb": (same_picture, "refused"),
        "classes_deep": (
            lambda: parquet_of({**sound, "label": [0] * 5}, metadata={"huggingface": "[" * 200_000}),
            "either",
        ),
        "label_out_of_range": (
            lambda: parquet_of({**sound, "label": [2**62] * 5}, metadata={"huggingface": _FEATURES}),
            "either",
        ),
        "nested_types": (lambda: parquet_of({"image": pictures, "caption": [[["x"]]] * 5}), "either"),
        "columns_10000": (lambda: parquet_of({**sound, **{f"c{n}": [0] * 5 for n in range(10_000)}}), "used"),
        "row_groups_5000": (lambda: parquet_of({"image": [png()] * 5000}, row_group_size=1), "used"),
        **{f"flipped_{seed}": (partial(flipped, whole, seed, 0.005), "either") for seed in range(12)},
    }
    return {f"parquet_{name}": (written("set.parquet", make), expected) for name, (make, expected) in files.items()}


_FEATURES = json.dumps({"info": {"features": {"label": {"names": ["bird"]}}}})


# CIFAR


def _cifar() -> dict[str, tuple[Build, Expected]]:
    def with_batch(make: Callable[[], bytes]) -> Build:
        def build(folder: Path) -> Path:
            (write_cifar(folder, "cifar10") / "data_batch_2").write_bytes(make())
            return folder

        return build

    pixels = cifar_pixels(2)
    batches: dict[str, tuple[Callable[[], bytes], Expected]] = {
        "labels_out_of_range": (lambda: pickle.dumps({"data": pixels, "labels": [0, 10**9]}, 2), "refused"),
        "labels_too_few": (lambda: pickle.dumps({"data": pixels, "labels": [0]}, 2), "refused"),
        "floats": (lambda: pickle.dumps({"data": pixels.astype(float), "labels": [0, 0]}, 2), "refused"),
        "objects": (lambda: pickle.dumps({"data": np.array([{}, {}], object), "labels": [0, 0]}, 2), "refused"),
        "cut": (lambda: pickle.dumps({"data": pixels, "labels": [0, 0]}, 2)[:3000], "refused"),
        "flipped": (lambda: flipped(pickle.dumps({"data": pixels, "labels": [0, 0]}, 2), 1), "either"),
        **{f"pickle_{name}": (make, "refused") for name, make in PICKLES.items()},
    }
    return {f"cifar_{name}": (with_batch(make), expected) for name, (make, expected) in batches.items()}
