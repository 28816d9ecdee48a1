"""What holds for every registered format of data sets: recognition, content, digests, and sentences for faults."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muc_core.data.dataset as dataset_module
from muc_core.data import decode, ingest, pictures
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.formats import parquet, webdataset
from muc_core.data.formats.base import FORMATS, DataFormat, register_format
from muc_core.data.ingest import ingest_files
from muc_core.data.sets import absolute_spec, load_dataset, resolve_items
from muc_core.errors import MucError, UnknownName
from tests.data_sets import BUILDERS, CLASSES, COUNT, NAMES, Built, cifar_pixels, complaint
from tests.hostile import png

EVERY = pytest.mark.parametrize("name", sorted(BUILDERS))
LAZY = ("coco", "image-folder", "parquet", "table", "webdataset")
"""Formats that can hold millions of pictures, and must not look at them on opening."""


def build(name: str, folder: Path) -> Built:
    folder.mkdir(parents=True, exist_ok=True)
    return BUILDERS[name](folder)


def expected_pixels(name: str, built: Built) -> torch.Tensor:
    if name.startswith("cifar"):
        batches = len(built.ids) // 2
        whole = [torch.from_numpy(cifar_pixels(2, seed)).reshape(2, 3, 32, 32) for seed in range(batches)]
        return torch.cat(whole)
    if name == "parquet":
        numbers = list(range(COUNT))
    else:
        numbers = [next(n for n, stem in enumerate(NAMES) if stem in item_id) for item_id in built.ids]
    upload = ingest_files([(f"{number}.png", png(number)) for number in numbers], name="same")
    assert upload.dataset is not None
    return upload.dataset.images(32)


def make_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dataset_module, ingest, webdataset, parquet):
        monkeypatch.setattr(module, "LARGE", 2)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> None:
        raise AssertionError("a picture was decoded")

    with monkeypatch.context() as patch:
        for module in (decode, pictures, ingest):
            patch.setattr(module, "decode_image", refuse)
        yield


def test_every_format_has_a_builder_and_a_title() -> None:
    assert set(FORMATS.names()) == set(BUILDERS)
    assert len({each.title for each in FORMATS}) == len(BUILDERS)
    with pytest.raises(ValueError, match="already registered"):
        register_format(FORMATS.get("zip"))


@EVERY
def test_it_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    built = build(name, tmp_path)
    for spec in (str(built.path), f"{name}:{built.path}"):
        dataset = load_dataset(spec)
        assert dataset.ids == tuple(dataset.item_ids) == built.ids
        assert dataset.texts == built.texts
        assert tuple(dataset.labels) == built.labels
        assert tuple(dataset.owners) == (None,) * len(built.ids)
        assert torch.equal(dataset.images(32), expected_pixels(name, built))
        assert [(item.id, item.text, item.label) for item in dataset.items] == list(
            zip(built.ids, built.texts, built.labels, strict=True)
        )
    assert resolve_items(str(built.path), dataset=dataset, split=None).ids == built.ids


@EVERY
def test_it_is_found_from_any_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build(name, tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    relative = os.path.relpath(built.path)
    written = absolute_spec(f"{name}:{relative}")
    assert written == f"{name}:{built.path}"
    assert absolute_spec(relative) == str(built.path)
    monkeypatch.chdir("/")
    assert load_dataset(written).ids == built.ids


@EVERY
def test_subsets_and_positions(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(str(build(name, tmp_path).path))
    chosen = dataset.ids[::-2]
    part = dataset.subset(chosen, name="part")
    assert part.ids == chosen
    assert part.texts == dataset.texts[::-2]
    assert tuple(part.labels) == tuple(dataset.labels)[::-2]
    assert torch.equal(part.images(32), dataset.images(32, range(len(dataset))[::-2]))
    assert [dataset.index_of(item_id) for item_id in dataset.ids] == list(range(len(dataset)))
    for unknown in ("", "nothing", f"{dataset.ids[0]}0", f"{dataset.ids[0]}/0", dataset.ids[0][:-1], "set/-1", "é"):
        assert dataset.find(unknown) is None
    with pytest.raises(MucError, match="two items"):
        dataset.subset([dataset.ids[0], dataset.ids[0]])
    with pytest.raises(MucError, match="empty"):
        dataset.subset([])


@EVERY
def test_the_digest_is_that_of_the_content(name: str, tmp_path: Path) -> None:
    first, second = build(name, tmp_path / "a" / "set"), build(name, tmp_path / "b" / "set")
    digest = load_dataset(str(first.path)).digest()
    assert load_dataset(str(second.path)).digest() == digest
    assert load_dataset(str(first.path)).subset(first.ids[:1]).digest() != digest or len(first.ids) == 1


@pytest.mark.parametrize("name", LAZY)
@pytest.mark.usefixtures("no_decoding")
def test_opening_decodes_nothing(name: str, tmp_path: Path) -> None:
    assert load_dataset(str(build(name, tmp_path).path)).ids


@pytest.mark.parametrize("name", LAZY)
def test_the_digest_of_a_large_set_decodes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_decoding: None
) -> None:
    small = tmp_path / "a" / "set"
    built = build(name, small)
    make_large(monkeypatch)
    digest = load_dataset(str(built.path)).digest()
    assert load_dataset(str(built.path)).digest(64) == digest
    other = build(name, tmp_path / "b" / "set")
    assert load_dataset(str(other.path)).digest() == digest
    assert load_dataset(str(other.path)).ids == built.ids
    assert load_dataset(str(other.path)).texts == built.texts
    assert tuple(load_dataset(str(other.path)).labels) == built.labels
    # a part that is large itself has a digest of its own
    part = load_dataset(str(other.path)).subset(built.ids[1:4])
    assert part.digest() == load_dataset(str(built.path)).subset(built.ids[1:4]).digest() != digest

    changed = _change_a_picture(name, other)
    assert load_dataset(str(changed)).digest() != digest


def _change_a_picture(name: str, built: Built) -> Path:
    """One byte of a picture is another, its size is the same."""
    if name in ("coco", "image-folder", "table"):
        file = next(file for file in sorted(built.path.parent.rglob("p0.png")))
        content = bytearray(file.read_bytes())
        content[-20] ^= 1
    else:
        file = built.file
        content = bytearray(file.read_bytes())
        content[content.index(png(0)) + 50] ^= 1
    file.write_bytes(content)
    return built.path


@EVERY
def test_a_path_that_is_not_there(name: str, tmp_path: Path) -> None:
    for spec in (f"{name}:{tmp_path}/none", f"{name}:", f"{name}:{tmp_path}/none?images={tmp_path}"):
        with pytest.raises(UnknownName, match="there is no data set"):
            load_dataset(spec)


@EVERY
def test_a_folder_of_pictures_is_asked_for_only_where_it_makes_sense(name: str, tmp_path: Path) -> None:
    built = build(name, tmp_path / "set")
    if not FORMATS.get(name).takes_images:
        with pytest.raises(MucError, match=r"names no picture files; leave \?images="):
            load_dataset(f"{built.path}?images={tmp_path}")
        return
    with pytest.raises(MucError, match=r"there is no folder .*none"):
        load_dataset(f"{built.path}?images={tmp_path}/none")
    if name in ("coco", "table"):
        shutil.move(next(built.path.parent.rglob("p0.png")).parent, tmp_path / "elsewhere")
        if name == "table":
            os.makedirs(tmp_path / "here")
            shutil.move(tmp_path / "elsewhere", tmp_path / "here" / "pictures")
        with pytest.raises(MucError, match=r"there is no picture 'p.*\?images=FOLDER"):
            load_dataset(str(built.path))
        elsewhere = tmp_path / ("here" if name == "table" else "elsewhere")
        spec = f"{built.path}?images={elsewhere}"
        assert load_dataset(spec).images(16).shape == (COUNT, 3, 16, 16)
        assert absolute_spec(spec) == spec


@EVERY
def test_the_wrong_format_is_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    paths = [build(other, tmp_path / other).path for other in sorted(BUILDERS) if other != name]
    for path in paths:
        if (name, path.is_dir()) == ("image-folder", True):
            continue  # every folder with pictures is one
        with pytest.raises(MucError) as caught:
            load_dataset(f"{name}:{path}")
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


@EVERY
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_gives_a_data_set_or_a_sentence(name: str, tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    built = build(name, folder)
    whole = built.file.read_bytes()
    kind = data.draw(st.sampled_from(["other bytes", "cut", "changed"]))
    if kind == "other bytes":
        content = data.draw(st.binary(max_size=600))
    elif kind == "cut":
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        places = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))
        changed = bytearray(whole)
        for place, value in data.draw(st.lists(places, min_size=1, max_size=20)):
            changed[place] = value
        content = bytes(changed)
    built.file.write_bytes(content)
    opened: list[ImageTextDataset] = []
    said = complaint(lambda: opened.append(load_dataset(f"{name}:{built.path}")))
    assert said is None or (said and "\n" not in said)
    for dataset in opened:
        _use(dataset)


def _use(dataset: ImageTextDataset) -> None:
    assert len(dataset) == len(dataset.ids) == len(dataset.texts) == len(dataset.labels) == len(dataset.owners)
    for index in range(min(len(dataset), 20)):
        said = complaint(partial(dataset.images, 8, [index]))
        assert said is None or (said and "\n" not in said)


def test_two_formats_in_one_folder(tmp_path: Path) -> None:
    build("cifar10", tmp_path)
    build("cifar100", tmp_path)
    with pytest.raises(MucError, match=r"several ways; write one of cifar10:.*, cifar100:"):
        load_dataset(str(tmp_path))
    assert len(load_dataset(f"cifar100:{tmp_path}")) == 4


def test_a_file_in_no_format(tmp_path: Path) -> None:
    for content in (b"", b"some text", b"\x00\xff" * 100, b"{"):
        path = tmp_path / "thing"
        path.write_bytes(content)
        with pytest.raises(MucError, match=r"thing is in no format that is known: .*CIFAR-10.*write FORMAT:PATH"):
            load_dataset(str(path))


def test_a_path_that_looks_like_a_format_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build("image-folder", tmp_path / "zip:set")
    assert len(load_dataset("zip:set")) == COUNT


def test_labels_are_categories(tmp_path: Path) -> None:
    dataset = load_dataset(str(build("table", tmp_path).path))
    birds = resolve_items("category:bird", dataset=dataset, split=None)
    assert birds.ids == tuple(f"pictures/{name}.png" for name, of in zip(NAMES, CLASSES, strict=True) if of == "bird")


def test_a_new_format_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS._entries))
    dataset = load_dataset(str(build("picture", tmp_path).path))
    register_format(
        DataFormat("five", "pictures in fives", lambda path: path.suffix == ".five", lambda path, images: dataset)
    )
    (tmp_path / "x.five").write_text("anything")
    assert load_dataset(str(tmp_path / "x.five")) is dataset
