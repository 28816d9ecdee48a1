"""WebDataset shards: grouping, captions, patterns of names, and a sentence for each fault."""

import json
import logging
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data.formats import webdataset as module
from muc_core.data.formats.webdataset import _expand, open_webdataset
from muc_core.data.sets import load_dataset
from muc_core.errors import BadImage, MucError
from tests.data_sets import tar_of
from tests.hostile import encode, picture, png

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(folder: Path, *files: tuple[str, bytes], name: str = "s.tar") -> Path:
    path = folder / name
    path.write_bytes(tar_of(files))
    return path


def test_what_an_item_is_made_of(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("__index__.json", b"not an item"),
        (".hidden.png", png()),
        ("README", b"x"),
        ("./a/1.JPG", encode(picture(), "JPEG")),
        ("./a/1.txt", "\ufeff caf\u00e9 \n".encode()),
        ("./a/1.json", json.dumps({"Caption": "not this", "label": 7, "owner": "ann", "url": []}).encode()),
        ("a/2.png", png(2)),
        ("a/2.json", json.dumps({"caption": "from json", "label": "x"}).encode()),
        ("a/2.cls", b"3\n"),
        ("b/2.webp", encode(picture(), "WEBP")),
        ("b/2.seg.png", png(3)),
        ("b/2.txt", b" "),
    )
    dataset = load_dataset(str(path))
    assert dataset.ids == ("s/a/1", "s/a/2", "s/b/2")
    assert dataset.texts == ("caf\u00e9", "from json", None)
    assert tuple(dataset.labels) == ("7", "3", None)
    assert tuple(dataset.owners) == ("ann", None, None)
    assert dataset.images(16).shape == (3, 3, 16, 16)


def test_items_without_a_picture_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert open_webdataset(write(tmp_path, ("1.txt", b"x"), ("2.png", png()), ("3.pdf", b"x"))).ids == ("s/2",)
    assert "2 items without a picture were left out" in caplog.text


def test_ids_do_not_depend_on_where_the_shards_are(tmp_path: Path) -> None:
    for number, folder in enumerate(("x", "y")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, ("0.png", png(number)))
    dataset = load_dataset(f"{tmp_path}/{{x,y}}/s.tar")
    assert dataset.ids == ("x/s/0", "y/s/0")
    assert not torch.equal(dataset.images(16, [0]), dataset.images(16, [1]))


def test_patterns(tmp_path: Path) -> None:
    for number in range(9, 12):
        write(tmp_path, ("0.png", png(number)), name=f"s-{number:03d}.tar")
    whole = load_dataset(f"{tmp_path}/s-{{009..011}}.tar")
    assert whole.ids == ("s-009/0", "s-010/0", "s-011/0")
    assert load_dataset(f"webdataset:{tmp_path}/s-{{010..011}}.tar").ids == ("s-010/0", "s-011/0")
    assert load_dataset(str(tmp_path)).ids == whole.ids
    with pytest.raises(
        MucError, match=r"s-012\.tar is missing, and .*s-\{009\.\.013\}\.tar names it \(2 of 5 are missing\)"
    ):
        load_dataset(f"{tmp_path}/s-{{009..013}}.tar")
    with pytest.raises(MucError, match=r"names 1,000,000 shards; from 1 to 100,000 are accepted"):
        load_dataset(f"{tmp_path}/s-{{000000..999999}}.tar")
    with pytest.raises(MucError, match=r"names 0 shards"):
        load_dataset(f"{tmp_path}/s-{{5..1}}.tar")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a{1..3}.tar", ["a1.tar", "a2.tar", "a3.tar"]),
        ("a{08..10}.tar", ["a08.tar", "a09.tar", "a10.tar"]),
        ("{a,b}-{0..1}.tar", ["a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"]),
        ("{a}.tar", ["a.tar"]),
        ("{a..b}.tar", ["a..b.tar"]),
    ],
)
def test_braces(pattern: str, names: list[str]) -> None:
    assert _expand(pattern) == names


@PROPERTY
@given(st.integers(0, 2000), st.integers(0, 30), st.integers(4, 7))
def test_ranges(first: int, more: int, width: int) -> None:
    pattern = f"s{{{first:0{width}d}..{first + more:0{width}d}}}.tar"
    assert _expand(pattern) == [f"s{number:0{width}d}.tar" for number in range(first, first + more + 1)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("1.txt", b"x")], r"s\.tar holds no picture; a WebDataset has files such as"),
        ([], r"s\.tar holds no picture"),
        ([("1.png", png()), ("1.png", png(1))], r"s\.tar holds 1\.png twice"),
        ([("1.png", png()), ("2.png", png()), ("1.jpg", png(1))], r"two items have the id 's/1'; each key must be"),
        ([("1.png", png()), ("1.txt", b"\xff")], r"s/1\.txt is not UTF-8 text"),
        ([("1.png", png()), ("1.json", b"{")], r"s/1\.json is no JSON"),
        ([("1.png", png()), ("1.json", b"[]")], r"s/1\.json is no JSON object; it must be one, such as"),
        ([("1.png", png()), ("1.json", b'{"caption": []}')], r"s/1\.json: the caption is \[\]; a text is needed"),
        ([("1.png", png()), ("1.json", b'{"label": "\\ud800"}')], r"s/1\.json: the label has half of a character"),
    ],
)
def test_faults(tmp_path: Path, files: list[tuple[str, bytes]], message: str) -> None:
    with pytest.raises(MucError, match=message):
        load_dataset(str(write(tmp_path, *files)))


def test_texts_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TEXT", 3)
    with pytest.raises(MucError, match=r"s/1\.txt is too large for a text"):
        load_dataset(str(write(tmp_path, ("1.png", png()), ("1.txt", b"long"))))


def test_compressed_and_wrong_shards(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "s.tar.gz"
    path.write_bytes(gzip.compress(tar_of([("1.png", png())])))
    with pytest.raises(MucError, match=r"s\.tar\.gz is compressed, so that no picture can be read on its own; unpack"):
        load_dataset(str(path))
    (tmp_path / "w.tar").write_bytes(b"nonsense" * 100)
    with pytest.raises(MucError, match=r"w\.tar is no tar archive"):
        load_dataset(str(tmp_path / "w.tar"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MucError, match=r"holds no \.tar; give the folder of the shards"):
        load_dataset(f"webdataset:{tmp_path / 'empty'}")


def test_shards_that_change_or_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ("1.png", png()), ("2.png", b"no picture"))
    dataset = open_webdataset(path)
    with pytest.raises(BadImage, match=r"^s/2 is not a picture"):
        dataset.images(16)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(BadImage, match=r"s/1 cannot be read: .*s\.tar became shorter"):
        dataset.images(16, [0])
    path.unlink()
    with pytest.raises(BadImage, match=r"s/1 cannot be read from .*s\.tar: No such file"):
        dataset.images(16, [0])
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    with pytest.raises(BadImage, match="s/1 is too large"):
        dataset.images(16, [0])


keys = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=90)
captions = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)


@PROPERTY
@given(st.lists(st.tuples(keys, captions, st.none() | st.integers(0, 99)), unique_by=lambda item: item[0], min_size=1))
def test_what_is_written_is_read(tmp_path: Path, items: list[tuple[str, str | None, int | None]]) -> None:
    files = []
    for key, caption, label in items:
        files.append((f"{key}.png", png()))
        files += [] if caption is None else [(f"{key}.txt", caption.encode())]
        files += [] if label is None else [(f"{key}.cls", str(label).encode())]
    dataset = open_webdataset(write(tmp_path, *files))
    assert dataset.ids == tuple(f"s/{key}" for key, _, _ in items)
    assert dataset.texts == tuple((caption or "").removeprefix("\ufeff").strip() or None for _, caption, _ in items)
    assert tuple(dataset.labels) == tuple(None if label is None else str(label) for _, _, label in items)
