"""COCO captions: where the pictures are looked for, and a sentence for each fault."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data.formats.coco import open_coco
from muc_core.data.sets import load_dataset
from muc_core.errors import MucError
from tests.hostile import png

IMAGES = [{"id": 1, "file_name": "a.png"}, {"id": "2", "file_name": "b.png"}]
CAPTIONS = [{"image_id": "2", "caption": " "}, {"image_id": 1, "caption": " one\n"}, {"image_id": 1, "caption": "two"}]


def write(folder: Path, content: Any, name: str = "captions_val2017.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(png())
    return folder


@pytest.mark.parametrize("place", ["annotations", "annotations/images", "annotations/val2017", "val2017", "images", "",
                                   "images/val2017"])  # fmt: skip
def test_pictures_are_looked_for(tmp_path: Path, place: str) -> None:
    pictures(tmp_path / place)
    path = write(tmp_path / "annotations", {"images": IMAGES, "annotations": CAPTIONS})
    dataset = load_dataset(str(path))
    assert (dataset.ids, dataset.texts) == (("a.png", "b.png"), ("one", None))
    assert dataset.images(16).shape == (2, 3, 16, 16)
    assert load_dataset(str(tmp_path)).digest() == dataset.digest()


def test_a_file_of_another_name_is_recognised(tmp_path: Path) -> None:
    pictures(tmp_path)
    for name in ("set.json", "set"):
        assert len(load_dataset(str(write(tmp_path, {"images": IMAGES, "annotations": []}, name)))) == 2


def test_several_files_of_captions(tmp_path: Path) -> None:
    for part in ("val", "train"):
        write(tmp_path / "annotations", {}, f"captions_{part}.json")
    with pytest.raises(MucError, match=r"found: captions_train\.json, captions_val\.json\. Give the path of one"):
        load_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no JSON, or it is cut short"),
        (b"{", "is no JSON, or it is cut short"),
        (b"\xff", "not UTF-8 text"),
        (b"[" * 100_000, "is no JSON"),
        ([], "is no COCO file; it must be a JSON object"),
        ({}, "has no list images of objects"),
        ({"images": [1], "annotations": []}, "has no list images of objects"),
        ({"images": IMAGES}, "has no list annotations of objects"),
        ({"images": [], "annotations": []}, "names no picture; its list images is empty"),
        ({"images": IMAGES, "annotations": [{"image_id": 1, "bbox": []}]}, r"annotations\[0\] has no caption; give"),
        ({"images": IMAGES, "annotations": [{"image_id": 9, "caption": "x"}]}, "for the image_id 9, which images do"),
        ({"images": IMAGES, "annotations": [{"image_id": None, "caption": "x"}]}, r"\[0\]: the image_id is null"),
        ({"images": IMAGES, "annotations": [{"image_id": 1, "caption": 1e999}]}, None),
        ({"images": IMAGES, "annotations": [{"image_id": 1, "caption": {}}]}, r"the caption is \{\}; a text is needed"),
        ({"images": [{"file_name": "a"}], "annotations": []}, r"images\[0\]: the id is null; a number or a text"),
        ({"images": [{"id": True, "file_name": "a"}], "annotations": []}, r"images\[0\]: the id is true"),
        ({"images": [{"id": 1}], "annotations": []}, r"images\[0\]: no file_name"),
        ({"images": [IMAGES[0], IMAGES[0]], "annotations": []}, r"images\[1\]: the id 1 is that of an earlier picture"),
        ({"images": [IMAGES[0], {"id": 5, "file_name": "a.png"}], "annotations": []}, "two images have the file_name"),
        ({"images": [*IMAGES, {"id": 3, "file_name": "c.png"}], "annotations": []}, r"\[2\]: there is no picture"),
        ({"images": [{"id": 3, "file_name": "c.png"}], "annotations": []}, r"no picture 'c\.png' beside it, in im"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, content: Any, message: str | None) -> None:
    pictures(tmp_path)
    path = write(tmp_path, content)
    if message is None:
        assert load_dataset(f"coco:{path}").texts == ("inf", None)
        return
    with pytest.raises(MucError, match=message):
        load_dataset(f"coco:{path}")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MucError, match="cannot be read: No such file"):
        open_coco(tmp_path / "none.json")
    with pytest.raises(MucError, match=r"must hold one file annotations/captions_\*\.json; found: none"):
        open_coco(tmp_path)


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).filter(str.strip)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(names.map(lambda name: f"{name.strip()}.png"), st.lists(names, max_size=3), min_size=1, max_size=4)
)
def test_what_is_written_is_read(tmp_path: Path, captions: dict[str, list[str]]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir(exist_ok=True)
    for name in captions:
        (folder / name).write_bytes(png())
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(captions)],
        "annotations": [
            {"image_id": number, "caption": text} for number, texts in enumerate(captions.values()) for text in texts
        ],
    }
    dataset = open_coco(write(tmp_path, content), folder)
    assert dataset.ids == tuple(captions)
    assert dataset.texts == tuple(texts[0].strip() if texts else None for texts in captions.values())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "file_name", "caption"]), inner),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"images": json_values, "annotations": json_values}) | json_values)
def test_anything_at_all(tmp_path: Path, content: Any) -> None:
    with pytest.raises(MucError):
        open_coco(write(tmp_path, content))
