"""Tables that name picture files: what is written is read, and each fault has its sentence."""

import csv
import io
import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data import pictures
from muc_core.data.formats import table as module
from muc_core.data.formats.table import open_table
from muc_core.data.sets import load_dataset
from muc_core.errors import BadImage, MucError
from tests.hostile import png, zipped

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
fields = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), max_size=12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(ord(name[0])))
    return tmp_path


def write(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "filepath,title,label,owner\na.png,one,x,ann\nb.png,,,\n"),
        ("t.csv", "filepath\ttitle\tlabel\towner\na.png\tone\tx\tann\nb.png\t\t\t\n"),
        ("t.tsv", "\ufeffOwner\tImage Path\tCaption\tLABEL\r\nann\ta.png\tone\tx\r\n\r\n\tb.png\t\t"),
        ("t.txt", "path,text,class,owner\n./a.png, one ,x,ann\n .//b.png,,,"),
        ("t.jsonl", '{"file": "a.png", "caption": "one", "label": "x", "owner": "ann"}\n\n{"file_name": "b.png"}\n'),
        ("t.json", '{"image": "a.png", "text": "one", "label": "x", "owner": "ann"}\n{"image": "b.png", "text": null}'),
        ("t.csv", "extra,file,caption,label,owner\n7,a.png,one,x,ann\n8,b.png,,,\n"),
    ],
)
def test_columns_and_separators(folder: Path, name: str, content: str) -> None:
    dataset = load_dataset(str(write(folder, content, name)))
    assert (dataset.name, dataset.ids, dataset.texts) == ("t", ("a.png", "b.png"), ("one", None))
    assert (tuple(dataset.labels), tuple(dataset.owners)) == (("x", None), ("ann", None))
    assert dataset.images(16).shape == (2, 3, 16, 16)


def test_numbers_are_texts_in_json(folder: Path) -> None:
    dataset = open_table(write(folder, '{"file": "a.png", "label": 3, "caption": 1.5}', "t.jsonl"))
    assert (dataset.texts, tuple(dataset.labels)) == (("1.5",), ("3",))


def test_paths_of_all_kinds(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "c.png").write_bytes(png(1))
    rows = [str(folder / "a.png"), "sub\\c.png", "sub/../b.png", str(folder.parent / folder.name / "sub/../sub/c.png")]
    dataset = open_table(write(folder, "file,caption\n" + "".join(f"{row},x\n" for row in rows)))
    assert dataset.ids == ("a.png", "sub/c.png", "sub/../b.png", "sub/../sub/c.png")
    assert dataset.images(16).shape == (4, 3, 16, 16)


def test_absolute_paths_lead_out_of_the_folder_of_a_local_table_only(folder: Path, tmp_path: Path) -> None:
    (folder / "inner").mkdir()
    table = f"file,caption\n{folder / 'a.png'},x\n../b.png,y\n"
    assert open_table(write(folder / "inner", table)).images(16).shape == (2, 3, 16, 16)
    archive = zipped(("in.png", png(3)), ("captions.csv", table.encode() + b"in.png,z\n"), ("t.csv", table.encode()))
    (tmp_path / "up.zip").write_bytes(archive)
    dataset = load_dataset(str(tmp_path / "up.zip"))
    assert (dataset.ids, dataset.texts) == (("in.png",), ("z",))


def test_the_table_chosen_of_several_columns_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    dataset = open_table(write(folder, "file,title,caption\na.png,no,yes\n"))
    assert dataset.texts == ("yes",)
    assert "the caption is read from the column caption, not from title" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.csv has no column for the file of the picture \(its columns are none; it is empty\)"),
        ("\n\n", r"it is empty"),
        ("title,label\nx,y\n", r"its columns are title, label\); name it in the first line as one of filepath, "),
        ("file,caption\n", r"t\.csv names no picture; each line after the first"),
        ("file,file\na.png,b\n", r"two columns named 'file'; rename one"),
        ("\nfile,caption\na.png,x\n,y\n", r"t\.csv, line 4: no file is named"),
        ("file,caption\na.png,red, white\n", r"line 2: 3 fields where the first line has 2; put a caption with commas"),
        ("file,caption\na.png\n", r"line 2: 1 fields where the first line has 2"),
        ("file\tcaption\na.png\n", r"line 2: 1 fields where the first line has 2$"),
        ("file,caption\na.png,x\nb.png,y\na.png,z\n", r"line 4: 'a\.png' is named in line 2 already; keep one line"),
        ("file,caption\na.png,x\n./a.png,z\n", r"line 3: 'a\.png' is named in line 2 already"),
        ('file,caption\na.png,"x\nb.png,y\n', r"line 3: cannot be read \(unexpected end of data\); put a field with"),
        ('file,caption\na.png,"x" y\n', r"line 2: cannot be read"),
        ('"file,caption\na.png,x\n', r"line 1: its names of columns cannot be read"),
        ("file,caption\na.png,x\ngone.png,y\n", r"line 3: there is no picture 'gone\.png' in .*; bring the file"),
        ("file,caption\nhttps://x.org/a.png,x\n", r"line 2: 'https://x\.org/a\.png' is an address; fetch the pictures"),
        (b"file,caption\na.png,x\nb.png,\xff\n", r"t\.csv, after line \d: not UTF-8 text; save the file"),
        ("file,caption\na.png,x\n".encode("utf-16"), r"not UTF-8 text"),
    ],
)  # fmt: skip
def test_faults_in_csv(folder: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MucError, match=message) as caught:
        load_dataset(str(write(folder, content)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"t\.jsonl names no picture"),
        ("nonsense", r"t\.jsonl, line 1: not a JSON object; write \{\"file\""),
        ('{"file": "a.png"}\n[1]', r"line 2: not a JSON object"),
        ('{"file": "a.png"}\n{"caption": "x"}', r"line 2: no file of a picture is named; name it as one of filepath"),
        ('{"file": "a.png", "caption": ["x"]}', r"line 1: the caption is \[\"x\"\]; a text is needed"),
        ('{"file": "a.png", "label": true}', r"line 1: the label is true; a text is needed"),
        ('{"file": "a.png", "caption": "\\ud800"}', r"line 1: the caption has half of a character"),
        ('{"file": "a.png"}\n{"file": "a.png"}', r"line 2: 'a\.png' is named in line 1 already"),
        ("[" * 100_000, r"line 1: not a JSON object"),
        (b'{"file": "\xff"}', r"not UTF-8 text"),
    ],
)
def test_faults_in_json(folder: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MucError, match=message):
        load_dataset(str(write(folder, content, "t.jsonl")))


def test_a_line_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_LINE", 100)
    with pytest.raises(MucError, match="line 2 is too long; is it a table of text"):
        open_table(write(folder, "file,caption\na.png," + "x" * 100))


def test_a_stray_quote_does_not_swallow_lines(folder: Path) -> None:
    """A lenient reader makes one caption of the first four lines."""
    content = 'file,caption\na.png,"one\nb.png,two\n' + "".join(f"{n}.png,x\n" for n in range(3)) + 'z.png,"last"\n'
    with pytest.raises(MucError, match="cannot be read"):
        open_table(write(folder, content))


def test_pictures_that_go_or_are_no_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, "file,caption\na.png,x\nb.png,y\n")
    dataset = open_table(path)
    (folder / "b.png").unlink()
    with pytest.raises(BadImage, match=r"the picture b\.png cannot be read from .*: No such file"):
        dataset.images(16)
    os.mkfifo(folder / "b.png")
    with pytest.raises(BadImage, match=r"b\.png is not an ordinary file"):
        dataset.images(16)
    with pytest.raises(MucError, match=r"line 3: there is no picture 'b\.png'"):
        open_table(path)
    monkeypatch.setattr(pictures, "MAX_FILE_BYTES", 10)
    with pytest.raises(BadImage, match=r"a\.png is too large"):
        dataset.images(16)


@PROPERTY
@given(
    st.dictionaries(fields.filter(bool), st.tuples(fields, fields), min_size=1),
    st.sampled_from(["csv", "tsv", "jsonl"]),
)
def test_what_is_written_is_read(tmp_path: Path, rows: dict[str, tuple[str, str]], kind: str) -> None:
    path = tmp_path / f"t.{kind}"
    if kind == "jsonl":
        lines = [json.dumps({"file": file, "title": text, "label": label}) for file, (text, label) in rows.items()]
        path.write_text("\n".join(lines))
    else:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",")
        writer.writerows([("file", "title", "label"), *((file, *of) for file, of in rows.items())])
        path.write_bytes(stream.getvalue().encode())
    read = list(module._rows(path))
    assert [row[1] for row in read] == [
        [file, text or None, label or None, None] for file, (text, label) in rows.items()
    ]


@PROPERTY
@given(st.binary(max_size=300), st.sampled_from(["csv", "tsv", "jsonl", "txt"]), st.booleans())
def test_anything_at_all(tmp_path: Path, content: bytes, kind: str, headed: bool) -> None:
    path = write(tmp_path, (b"file,caption\n" if headed else b"") + content, f"t.{kind}")
    with pytest.raises(MucError) as caught:  # there is no picture to be found
        load_dataset(f"table:{path}")
    assert "\n" not in str(caught.value)
    module._recognise(path)
