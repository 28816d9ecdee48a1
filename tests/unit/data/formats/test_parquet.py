"""Parquet: kinds of columns, what is read when, and a sentence for each fault."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data.formats import parquet as module
from muc_core.data.formats.parquet import open_parquet
from muc_core.data.sets import load_dataset
from muc_core.errors import BadImage, MucError
from tests.data_sets import contradicting_parquet, parquet_of
from tests.hostile import png

BYTES = [png(number) for number in range(5)]
STRUCTS = [{"bytes": content, "path": None} for content in BYTES]


def write(folder: Path, columns: dict[str, Any], name: str = "p.parquet", **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(parquet_of(columns, **options))
    return path


@contextmanager
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, tuple[str, ...]]]]:
    """What is read from files: (row group, columns)."""
    seen: list[tuple[int, tuple[str, ...]]] = []
    read = pq.ParquetFile.read_row_group

    def record(self: Any, group: int, columns: list[str]) -> Any:
        seen.append((group, tuple(columns)))
        return read(self, group, columns=columns)

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read_row_group", record)
        yield seen


@pytest.mark.parametrize(
    ("columns", "texts", "labels"),
    [
        ({"image": STRUCTS, "text": list("abcde"), "label": range(5)}, "abcde", "01234"),
        ({"jpg": BYTES, "caption": ["a ", " ", None, "b", ""]}, ["a", None, None, "b", None], [None] * 5),
        ({"x": pa.array(BYTES, pa.large_binary()), "class": pa.array([*"aabba"]).dictionary_encode()}, None, "aabba"),
        ({"image": STRUCTS, "captions": [["a", "b"], [], None, ["c"], ["d"]]}, ["a", None, None, "c", "d"], [None] * 5),
        ({"image": BYTES, "thumbnail": BYTES, "title": pa.array([b"a"] * 5)}, "aaaaa", [None] * 5),
    ],
)  # fmt: skip
def test_kinds_of_columns(tmp_path: Path, columns: dict[str, Any], texts: Any, labels: Any) -> None:
    dataset = load_dataset(str(write(tmp_path, columns)))
    assert dataset.ids == tuple(f"p/{row:08d}" for row in range(5))
    assert dataset.texts == tuple(texts or [None] * 5)
    assert tuple(dataset.labels) == tuple(labels)
    assert torch.equal(dataset.images(16), _pixels(range(5)))


def _pixels(numbers: Any) -> torch.Tensor:
    from muc_core.data.ingest import ingest_files

    dataset = ingest_files([(f"{number}.png", BYTES[number]) for number in numbers], name="same").dataset
    assert dataset is not None
    return dataset.images(16)


def test_ids_of_a_column(tmp_path: Path) -> None:
    path = write(tmp_path, {"image": BYTES, "id": [4, 3, 2, 1, 0], "owner": ["ann"] * 5})
    dataset = load_dataset(str(path))
    assert dataset.ids == tuple("43210")
    assert tuple(dataset.owners) == ("ann",) * 5
    assert torch.equal(dataset.subset(["1", "4"]).images(16), _pixels([3, 0]))


def test_a_folder_of_files(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write(root / "data", {"image": BYTES[:2]}, "train-1.parquet")
    write(root / "data", {"image": BYTES[2:]}, "train-0.parquet")
    (root / "README.md").write_text("x")
    dataset = load_dataset(str(root))
    assert dataset.name == "set"
    assert dataset.ids == (
        *(f"data/train-0/{row:08d}" for row in range(3)),
        *(f"data/train-1/{row:08d}" for row in range(2)),
    )
    assert torch.equal(dataset.images(16, [4, 0]), _pixels([1, 2]))


def test_paths_of_pictures(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(BYTES[number])
    paths = [f"{number}.png" for number in range(4)] + [str(tmp_path / "4.png")]
    in_struct = [{"bytes": BYTES[0], "path": "gone"}, *({"bytes": None, "path": path} for path in paths[1:])]
    for columns in ({"file_name": paths}, {"image": in_struct}):
        dataset = load_dataset(str(write(tmp_path, columns)))
        assert dataset.ids[4] == "p/00000004"
        assert torch.equal(dataset.images(16), _pixels(range(5)))
    elsewhere = write(tmp_path / "other", {"file_name": paths})
    with pytest.raises(MucError, match=r"p\.parquet, row 1: there is no picture '0\.png' in .*other"):
        load_dataset(str(elsewhere))
    assert load_dataset(f"{elsewhere}?images={tmp_path}").images(16).shape == (5, 3, 16, 16)


def test_only_what_is_needed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, {"image": BYTES, "caption": list("abcde"), "label": range(5), "else": range(5)})
    monkeypatch.setattr(module, "LARGE", 1)
    with reads(monkeypatch) as seen:
        dataset = open_parquet(path)
        assert dataset.ids[-1] == "p/00000004"
        assert seen == []
        dataset.source.load([4], 16)
        assert seen == [(2, ("image",))]
        dataset.source.load([4, 1, 0, 4], 16)
        assert seen == [(2, ("image",)), (0, ("image",))]
        assert dataset.texts == tuple("abcde")
        assert seen[2:] == [(group, ("caption",)) for group in range(3)]


def test_row_groups_are_kept_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = [content + bytes(5000) for content in BYTES]
    dataset = open_parquet(write(tmp_path, {"image": padded}, row_group_size=1))
    monkeypatch.setattr(module, "_MOST_KEPT", 2 * len(padded[0]) + 1000)
    with reads(monkeypatch) as seen:
        for index in (0, 1, 0, 2, 0, 1):
            dataset.source.load([index], 16)
        assert [group for group, _ in seen] == [0, 1, 2, 1]


def test_large_row_groups_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [BYTES[number % 5] for number in range(600)]
    dataset = open_parquet(write(tmp_path, {"image": rows}, row_group_size=400))
    monkeypatch.setattr(module, "_MOST_KEPT", 0)
    with reads(monkeypatch) as seen:
        chosen = [599, 0, 255, 256, 399, 400, 0]
        assert torch.equal(dataset.source.load(chosen, 16), _pixels(range(5))[[number % 5 for number in chosen]])
        assert seen == []


HF = '{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}'


@pytest.mark.parametrize(
    ("metadata", "labels"),
    [
        (HF, ("dog", None, "cat")),
        ("{", ("1", "-1", "0")),
        ('{"info": []}', ("1", "-1", "0")),
        ('{"info": {"features": {"label": {"names": [1, 2]}}}}', ("1", "-1", "0")),
        ('{"info": {"features": {"label": {"names": null}}}}', ("1", "-1", "0")),
    ],
)
def test_names_of_classes(tmp_path: Path, metadata: str, labels: tuple[str | None, ...]) -> None:
    path = write(tmp_path, {"image": BYTES[:3], "label": [1, -1, 0]}, metadata={"huggingface": metadata})
    assert tuple(load_dataset(str(path)).labels) == labels


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caption": ["a"], "n": [1]}, r"has no column of pictures \(its columns are caption: .*string, n: int64\)"),
        ({"a": BYTES, "b": BYTES}, r"has no column of pictures \(its columns are a: binary"),
        ({"image": pa.array([], pa.binary())}, "has no rows; each picture needs one"),
        ({"image": BYTES, "id": [1, 2, 3, 1, 4]}, "the column id has '1' twice; make the ids unique, or rename"),
        ({"image": BYTES, "id": ["a", "b", " ", "c", "d"]}, "the column id is empty in some rows"),
        ({"image": BYTES, "label": [True] * 5}, "the label in the column label is of the kind bool; texts or numbers"),
        ({"image": BYTES, "caption": [{"a": 1}] * 5}, r"the caption in the column caption is of the kind struct"),
        ({"image": BYTES, "caption": pa.array([b"\xff"] * 5)}, "cut short, damaged or no parquet file .*UTF"),
        ({"file": ["a.png", None]}, "the column file has no path in some rows"),
        ({"file": ["a.png"]}, r"row 1: there is no picture 'a\.png'"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(MucError, match=message) as caught:
        load_dataset(str(write(tmp_path, columns)))
    assert "\n" not in str(caught.value)


def test_labels_beyond_the_names_of_classes(tmp_path: Path) -> None:
    path = write(tmp_path, {"image": BYTES[:1], "label": [2]}, metadata={"huggingface": HF})
    with pytest.raises(MucError, match="the label in the column label is 2; the file names the classes 0 to 1"):
        load_dataset(str(path))


def test_text_that_is_no_utf8_in_a_column_of_texts(tmp_path: Path) -> None:
    wrong = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    with pytest.raises(MucError, match="Invalid UTF8"):
        load_dataset(str(write(tmp_path, {"image": BYTES[:1], "caption": wrong})))


def test_damaged_files(tmp_path: Path) -> None:
    whole = parquet_of({"image": BYTES})
    path = tmp_path / "p.parquet"
    for content in (b"", b"PAR1", whole[:100], whole[:-5], b"nonsense" * 100):
        path.write_bytes(content)
        with pytest.raises(
            MucError, match=r"p\.parquet is cut short, damaged or no parquet file \(.*\); copy it again"
        ):
            load_dataset(str(path))


def test_a_footer_on_which_arrow_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.write_bytes(contradicting_parquet())
    with pytest.raises(MucError, match=r"p\.parquet is cut short, damaged .*histogram size mismatch"):
        load_dataset(str(path)).images(16, [0])


def test_a_row_group_that_calls_its_column_otherwise(tmp_path: Path) -> None:
    whole = parquet_of({"image": BYTES}, row_group_size=5)
    path = tmp_path / "p.parquet"
    path.write_bytes(whole.replace(b"\x19\x18\x05image", b"\x19\x18\x05hmage"))
    assert path.read_bytes() != whole
    assert torch.equal(load_dataset(str(path)).images(16), _pixels(range(5)))


def test_files_with_different_columns(tmp_path: Path) -> None:
    for other, message in (({"image": STRUCTS}, "image of the kind binary"), ({"x": BYTES}, "no column image")):
        write(tmp_path / "set", {"image": BYTES}, "a.parquet")
        write(tmp_path / "set", other, "b.parquet")
        with pytest.raises(MucError, match=rf"b\.parquet has .*{message}"):
            load_dataset(str(tmp_path / "set"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MucError, match=r"holds no \.parquet"):
        open_parquet(tmp_path / "empty")


def test_cells_without_a_picture(tmp_path: Path) -> None:
    cells = [{"bytes": BYTES[0], "path": None}, {"bytes": None, "path": None}, None, {"bytes": b"no", "path": ""}]
    dataset = load_dataset(str(write(tmp_path, {"image": cells})))
    for row, message in ((1, "has no picture in the column image"), (2, "has no picture"), (3, "is not a picture")):
        with pytest.raises(BadImage, match=rf"p/0000000{row} {message}"):
            dataset.images(16, [row])


def test_files_that_change_or_go(tmp_path: Path) -> None:
    path = write(tmp_path, {"image": BYTES})
    dataset = open_parquet(path)
    write(tmp_path, {"image": BYTES[:1]})
    with pytest.raises(BadImage, match="is damaged, or changed since it was opened"):
        dataset.source.load([4], 16)
    path.unlink()
    with pytest.raises(BadImage, match="cannot be read: No such file"):
        dataset.source.load([4], 16)


rows = st.lists(
    st.tuples(st.integers(0, 4), st.none() | st.text(st.characters(codec="utf-8"), max_size=9), st.integers(-3, 3)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(rows, st.integers(1, 5), st.booleans(), st.data())
def test_what_is_written_is_read(
    tmp_path: Path, rows: list[tuple[int, str | None, int]], group: int, structs: bool, data: st.DataObject
) -> None:
    images = [(STRUCTS if structs else BYTES)[number] for number, _, _ in rows]
    columns = {"image": images, "caption": pa.array([text for _, text, _ in rows], pa.string())}
    path = write(tmp_path, {**columns, "label": [label for _, _, label in rows]}, row_group_size=group)
    dataset = load_dataset(str(path))
    assert dataset.texts == tuple((text or "").strip() or None for _, text, _ in rows)
    assert tuple(dataset.labels) == tuple(str(label) for _, _, label in rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    expected = _pixels(range(5))[[rows[index][0] for index in chosen]]
    assert torch.equal(dataset.source.load(chosen, 16), expected)


def test_compression_and_dictionaries(tmp_path: Path) -> None:
    table = pa.table({"image": BYTES * 20, "caption": ["same"] * 100})
    for compression in ("none", "gzip", "zstd"):
        stream = io.BytesIO()
        pq.write_table(table, stream, compression=compression, row_group_size=30)
        (tmp_path / "p.parquet").write_bytes(stream.getvalue())
        dataset = load_dataset(str(tmp_path / "p.parquet"))
        assert torch.equal(dataset.images(16, np.arange(95, 100).tolist()), _pixels(range(5)))
        assert set(dataset.texts) == {"same"}
