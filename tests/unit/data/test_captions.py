"""Caption files of three kinds, sound and broken."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from muc_core.data.captions import Caption, CaptionTable, is_caption_file, parse_captions, with_captions
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.paths import match_key
from muc_core.errors import MucError
from tests.hostile import hostile_upload


def texts(table: CaptionTable) -> dict[str, str | None]:
    return {file: caption.text for file, caption in table.captions.items()}


def test_caption_files_by_name() -> None:
    assert is_caption_file("captions.csv")
    assert is_caption_file("birds/Captions.TSV")
    assert is_caption_file("captions.jsonl")
    assert not is_caption_file("captions.txt")
    assert not is_caption_file("my_captions.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"file,caption\na.png,a bird\nb/c.png,\n",
        b"\xef\xbb\xbffile,caption\r\na.png,a bird\r\nb/c.png\r\n",
        b"filename,text\na.png, a   bird \n\n  \nb\\c.png,\n",
        b" Image , Caption \n./a.png,a bird\nb/c.png,\n",
        b'"file_name","caption"\n"a.png","a bird"\n"b/c.png",""',
        b"caption,file\ra bird,a.png\r,b/c.png\r",
    ],
)
def test_ways_to_write_a_table(content: bytes) -> None:
    for table in (
        parse_captions(content, "captions.csv"),
        parse_captions(content.replace(b",", b"\t"), "captions.tsv"),
    ):
        assert table.problems == ()
        assert texts(table) == {"a.png": "a bird", "b/c.png": None}


def test_label_owner_and_line_numbers() -> None:
    content = b'file,caption,label,owner\na.png,"red, white\nand ""blue""",flag,ann\nb.png,,,\n'
    assert parse_captions(content, "captions.csv").captions == {
        "a.png": Caption('red, white and "blue"', "flag", "ann", 2),
        "b.png": Caption(None, None, None, 4),
    }


def test_json_lines() -> None:
    lines = [
        {"file": "a.png", "caption": "a\u2028bird", "label": 3, "owner": None, "more": [1]},
        {"Image": "b.png", "text": "café"},
        {"file": "c.png"},
    ]
    content = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n"
    table = parse_captions(b"\xef\xbb\xbf" + content.encode(), "captions.jsonl")
    assert table.problems == ()
    assert table.captions == {
        "a.png": Caption("a bird", "3", None, 1),
        "b.png": Caption("café", None, None, 2),
        "c.png": Caption(None, None, None, 3),
    }


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("captions.csv", b"file,caption\na.png,red, blue\nb.png,cat\n", "line 2: 3 fields where the header has 2"),
        ("captions.csv", b"file,caption\n,nameless\nb.png,cat\n", "line 2: no file is named"),
        ("captions.csv", b'file,caption\na.png,"x" y\nb.png,cat\n', "line 2: cannot be read"),
        ("captions.csv", b"file,caption\nb.png,cat\n./b.png,dog\n", "line 3: b.png already has the caption of line 2"),
        ("captions.csv", b'file,caption\nb.png,cat\nc.png,"open\nd.png,x', "line 3: cannot be read"),
        ("captions.tsv", b"file\tcaption\na.png\tx\ty\nb.png\tcat\n", "line 2: 3 fields"),
        ("captions.jsonl", b'{"file": "a.png"\n{"file": "b.png", "caption": "cat"}', "line 1: not a JSON object"),
        ("captions.jsonl", b'["a.png"]\n{"file": "b.png", "caption": "cat"}', "line 1: not a JSON object"),
        ("captions.jsonl", b'{"caption": "x"}\n{"file": "b.png", "caption": "cat"}', "line 1: no file is named"),
        (
            "captions.jsonl",
            b'{"file": "a.png", "caption": ["x"]}\n{"file": "b.png", "caption": "cat"}',
            'line 1: the caption is ["x"]; a text is needed',
        ),
        (
            "captions.jsonl",
            b'{"file": "a.png", "caption": "\\ud800"}\n{"file": "b.png", "caption": "cat"}',
            "line 1: the caption has half of a character",
        ),
    ],
)
def test_a_bad_line_is_named_and_the_others_go_on(name: str, content: bytes, problem: str) -> None:
    table = parse_captions(content, name)
    assert len(table.problems) == 1
    assert table.problems[0].startswith(f"{name}, {problem}")
    assert texts(table) == {"b.png": "cat"}


def test_many_bad_lines_are_summed_up() -> None:
    table = parse_captions(b"file,caption\n" + b"a.png,x,y\n" * 5000 + b"b.png,cat\n", "captions.csv")
    assert len(table.problems) == 21
    assert table.problems[-1].startswith("captions.csv: 4,980 more lines")
    assert texts(table) == {"b.png": "cat"}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("captions_not_utf8", "line 2: not UTF-8 text"),
        ("captions_utf16", "line 1: not UTF-8 text"),
        ("captions_empty", "is empty; its first line must name"),
        ("captions_no_header", r"has the columns a\.png, a bird; its first line must name file and caption"),
    ],
)
def test_unusable_files(case: str, message: str) -> None:
    name, content = hostile_upload(case)
    with pytest.raises(MucError, match=message):
        parse_captions(content, name)


def test_two_columns_for_one_thing_are_refused() -> None:
    with pytest.raises(MucError, match="more than one column for the file"):
        parse_captions(b"file,image,caption\na,b,c\n", "captions.csv")


fields = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)


@given(st.dictionaries(fields.filter(str.strip), fields, min_size=1), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_what_is_written_is_read(captions: dict[str, str], kind: str) -> None:
    if kind == "jsonl":
        content = "\n".join(json.dumps({"file": file, "caption": text}) for file, text in captions.items())
    else:
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, delimiter="\t" if kind == "tsv" else ",", quoting=csv.QUOTE_ALL)
        writer.writerows([("file", "caption"), *captions.items()])
        content = stream.getvalue()
    table = parse_captions(content.encode(), f"captions.{kind}")
    expected: dict[str, str | None] = {}
    for file, text in captions.items():
        expected.setdefault(match_key(" ".join(file.split())), " ".join(text.split()) or None)
    assert texts(table) == expected


@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "jsonl"]), st.booleans())
def test_anything_at_all_gives_captions_or_sentences(content: bytes, kind: str, headed: bool) -> None:
    name = f"captions.{kind}"
    try:
        table = parse_captions((b"file,caption\n" if headed else b"") + content, name)
    except MucError as error:
        table = CaptionTable({}, (str(error),))
    assert all(problem.startswith(name) for problem in table.problems)
    for file, caption in table.captions.items():
        assert file == match_key(file) != ""
        assert caption.text is None or caption.text.strip() == caption.text != ""


class TestCaptionsForPictures:
    pictures = ImageTextDataset(
        "mine",
        [Item("a/one.png"), Item("a/two.png", label="bird"), Item("b/one.png")],
        TensorImages(torch.zeros((3, 3, 4, 4), dtype=torch.uint8)),
    )

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("c.csv", "file,caption\na/one.png,first\ntwo.png,second\nb/one.png,third\n"),
            ("c.tsv", "file\tcaption\n./a/one.png\tfirst\na\\two.png\tsecond\nb/one.png\tthird\nc.png\tunused\n"),
            (
                "c.jsonl",
                '{"file": "a/one.png", "caption": "first"}\n{"file": "x/two.png", "caption": "second"}\n'
                '{"file": "b/one.png", "caption": "third"}\n',
            ),
        ],
    )
    def test_they_are_found_by_path_or_by_a_name_that_is_unique(self, tmp_path: Path, name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        found = with_captions(self.pictures, tmp_path / name)
        assert found.texts == ("first", "second", "third")
        assert found.items[1].label == "bird"

    def test_a_picture_without_a_line_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "c.csv").write_text("file,caption\none.png,which\ntwo.png,second\n")
        with pytest.raises(MucError, match=r"no caption for 2 of the 3 pictures of 'mine' \(a/one.png, b/one.png\)"):
            with_captions(self.pictures, tmp_path / "c.csv")

    def test_a_file_that_is_not_there_or_cannot_be_read_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(MucError, match="cannot be read: No such file"):
            with_captions(self.pictures, tmp_path / "c.csv")
        (tmp_path / "c.jsonl").write_text("no json\n")
        with pytest.raises(MucError, match=r"c.jsonl, line 1: not a JSON object"):
            with_captions(self.pictures, tmp_path / "c.jsonl")
