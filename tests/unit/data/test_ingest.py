"""Uploads, archives and folders become data sets; what cannot be used is named and the rest goes on."""

import io
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from muc_core.data import archives
from muc_core.data import dataset as dataset_module
from muc_core.data import ingest as ingest_module
from muc_core.data.dataset import ImageTextDataset
from muc_core.data.ingest import Ingest, ingest_files, ingest_folder, ingest_zip
from muc_core.errors import BadImage, MucError
from tests.hostile import USABLE, encode, hostile_cases, hostile_upload, picture, png, zip_bomb, zipped

GOOD = [("good.png", png(1)), ("fine.jpg", encode(picture(), "JPEG"))]


def the_set(ingest: Ingest) -> ImageTextDataset:
    assert ingest.dataset is not None
    return ingest.dataset


def reasons(ingest: Ingest) -> list[str]:
    return [rejection.reason for rejection in ingest.rejected]


@pytest.mark.parametrize("case", hostile_cases())
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF data")
def test_each_hostile_upload_leaves_the_others_alone(case: str) -> None:
    name, content = hostile_upload(case)
    ingest = ingest_files([GOOD[0], (name, content), GOOD[1]], name="upload")
    ids = the_set(ingest).ids
    if case in USABLE:
        assert sorted(ids) == sorted(["good.png", "fine.jpg", name])
        assert ingest.rejected == ()
    else:
        assert ids == ("good.png", "fine.jpg")
        assert ingest.rejected
        for rejection in ingest.rejected:
            assert rejection.reason.count("\n") == 0
            assert len(rejection.reason) < 300
    assert the_set(ingest).images(32).shape == (len(ids), 3, 32, 32)


def test_nothing_usable_gives_no_set() -> None:
    ingest = ingest_files([("a.png", b"nonsense"), ("b.zip", zipped())], name="upload")
    assert ingest.dataset is None
    assert [rejection.name for rejection in ingest.rejected] == ["a.png", "b.zip"]
    assert ingest_files([], name="upload") == Ingest(None, (), ())


def test_a_bomb_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2**26)
    ingest = ingest_files([("bomb.zip", zip_bomb(members=100, megabytes=20)), GOOD[0]], name="upload")
    assert the_set(ingest).ids == ("good.png", "good.png (2)")
    assert reasons(ingest)[-1] == "bomb.zip unpacks to more than 64 MB; its last 97 files were left out"


def test_bombs_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2**26)
    bombs = [(f"{number}.zip", zip_bomb(members=2, megabytes=20)) for number in range(3)]
    said = [reason for reason in reasons(ingest_files([*bombs, GOOD[0]], name="upload")) if "unpack to more" in reason]
    assert said == [
        "1.zip and the archives before it unpack to more than 64 MB; its last 1 files were left out",
        "2.zip and the archives before it unpack to more than 64 MB; its last 2 files were left out",
    ]


def test_two_files_of_one_name() -> None:
    files = [("a.png", png(1)), ("a.png", png(2)), ("a.png", png(1)), ("a.png (3)", png(4)), ("a.png", png(3))]
    ingest = ingest_files(files, name="upload")
    dataset = the_set(ingest)
    assert dataset.ids == ("a.png", "a.png (2)", "a.png (3)", "a.png (4)")
    for index, seed in enumerate((1, 2, 4, 3)):
        assert torch.equal(
            dataset.images(30, [index])[0], the_set(ingest_files([("x", png(seed))], name="")).images(30)[0]
        )
    assert ingest.rejected == ()
    assert ingest.notes == (
        "different files are named a.png; one of them has the id a.png (2)",
        "a.png was given twice with the same content; the second was left out",
        "different files are named a.png; one of them has the id a.png (4)",
    )


def test_a_bad_file_does_not_take_the_name_of_a_good_one() -> None:
    ingest = ingest_files([("a.png", b"bad"), ("a.png", png())], name="upload")
    assert the_set(ingest).ids == ("a.png",)
    assert len(ingest.rejected) == 1


def test_files_of_one_name_in_different_folders_are_different_files() -> None:
    ingest = ingest_zip(zipped(("a/b.png", png(1)), ("c/b.png", png(1))), name="up.zip")
    assert the_set(ingest).ids == ("a/b.png", "c/b.png")
    assert ingest.notes == ()


def test_a_name_that_is_twice_in_one_archive() -> None:
    archive = zipped(("a.png", png(1)), ("a.png", png(2)), ("captions.csv", b"file,caption\na.png,first\n"))
    dataset = the_set(ingest_zip(archive, name="up.zip"))
    assert dataset.ids == ("a.png", "a.png (2)")
    assert dataset.texts == ("first", None)


def test_captions_typed_read_and_guessed() -> None:
    table = b"file,caption,label,owner\nred_car.png,from the file,vehicle,ann\nblue_hat.png,from the file,,\n"
    files = [(f"{name}.png", png(i)) for i, name in enumerate(("red_car", "blue_hat", "old-shoe", "IMG_1"))]
    typed = {"red_car.png": " typed ", "old-shoe.png": None, "IMG_1.png": "", "gone.png": "x"}
    ingest = ingest_files([*files, ("captions.csv", table)], name="upload", captions=typed, guess_captions=True)
    assert the_set(ingest).texts == ("typed", "from the file", "old shoe", None)
    assert the_set(ingest).labels == ("vehicle", None, None, None)
    assert the_set(ingest).owners == ("ann", None, None, None)
    assert ingest.notes == (
        "captions guessed from file names: 1",
        "captions were typed for a file that is not among the pictures: gone.png",
    )
    assert the_set(ingest_files(files, name="upload")).texts == (None,) * 4


def test_captions_for_missing_files_are_named() -> None:
    table = b"file,caption\ngood.png,x\ngone.png,x\nlost.png,x\nbad.png,x\n"
    ingest = ingest_files([GOOD[0], ("bad.png", b"bad"), ("captions.csv", table)], name="upload")
    assert ingest.notes == (
        "captions.csv has captions for 2 files that are not among the pictures: gone.png, lost.png",
    )
    many = b"file,caption\n" + b"".join(b"gone%d.png,x\n" % number for number in range(500))
    note = ingest_files([GOOD[0], ("captions.csv", many)], name="upload").notes[0]
    assert note.endswith("gone9.png and 490 more")


def test_bad_caption_lines_are_named() -> None:
    table = b"file,caption\ngood.png,red, white\nfine.jpg,a picture\n"
    ingest = ingest_files([*GOOD, ("captions.csv", table)], name="upload")
    assert the_set(ingest).texts == (None, "a picture")
    assert ingest.rejected[0].name == "captions.csv"
    assert reasons(ingest) == [
        "captions.csv, line 2: 3 fields where the header has 2; put a caption with commas in double quotes"
    ]


def test_captions_are_seen_from_their_own_folder_or_the_root() -> None:
    archive = zipped(
        ("birds/a.png", png(1)),
        ("birds/captions.csv", b"file,caption\na.png,a bird\n"),
        ("cats/a.png", png(2)),
        ("cats/captions.jsonl", b'{"file": "cats/a.png", "caption": "a cat"}'),
        ("a.png", png(3)),
        ("captions.tsv", b"file\tcaption\na.png\tneither\nbirds\\a.png\tignored\n"),
    )
    ingest = ingest_zip(archive, name="up.zip")
    assert dict(zip(the_set(ingest).ids, the_set(ingest).texts, strict=True)) == {
        "birds/a.png": "a bird",
        "cats/a.png": "a cat",
        "a.png": "neither",
    }
    assert reasons(ingest) == ["captions.tsv, line 3: birds/a.png already has a caption"]


def test_each_archive_has_its_own_captions() -> None:
    one = zipped(("a.png", png(1)), ("captions.csv", b"file,caption\na.png,one\n"))
    two = zipped(("a.png", png(2)), ("captions.csv", b"file,caption\na.png,two\n"))
    loose = [("a.png", png(3)), ("captions.csv", b"file,caption\na.png,three\n")]
    dataset = the_set(ingest_files([("1.zip", one), ("2.ZIP", two), *loose], name="upload"))
    assert set(zip(dataset.ids, dataset.texts, strict=True)) == {
        ("a.png", "one"),
        ("a.png (2)", "two"),
        ("a.png (3)", "three"),
    }


def test_captions_match_names_with_accents_in_either_form() -> None:
    name = unicodedata.normalize("NFD", "café.png")
    ingest = ingest_files([(name, png()), ("captions.csv", "file,caption\ncafé.png,coffee\n".encode())], name="upload")
    assert the_set(ingest).texts == ("coffee",)
    assert ingest.notes == ()


def test_notes_of_decoding_are_passed_on() -> None:
    name, content = hostile_upload("animated_gif")
    assert ingest_files([(name, content)], name="upload").notes == ("wave.gif holds several frames; the first is used",)


def test_zip_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "up.zip"
    path.write_bytes(zipped(("a.png", png()), ("b.png", b"bad")))
    ingest = ingest_zip(path, name="mine")
    assert the_set(ingest).name == "mine"
    assert the_set(ingest).ids == ("a.png",)
    assert [rejection.name for rejection in ingest.rejected] == ["b.png"]
    path.unlink()
    assert the_set(ingest).images(16).shape == (1, 3, 16, 16)
    with pytest.raises(MucError, match=r"there is no file .*up\.zip; give the path of a zip"):
        ingest_zip(path, name="mine")
    path.write_bytes(b"no zip")
    assert ingest_zip(path, name="mine").dataset is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "birds").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "b.png").write_bytes(png(1))
    (root / "birds" / "a.JPG").write_bytes(encode(picture(seed=2), "JPEG"))
    (root / "birds" / "captions.csv").write_bytes(b"file,caption,owner\na.JPG,a bird,ann\n")
    (root / "bad.png").write_bytes(b"bad")
    (root / ".hidden" / "c.png").write_bytes(png(3))
    (root / ".DS_Store").write_bytes(b"x")
    for name in ("README.md", "notes.txt", "list.txt", "LICENSE"):
        (root / name).write_text("text")
    return root


def test_folder(folder: Path) -> None:
    ingest = ingest_folder(folder, name="mine")
    dataset = the_set(ingest)
    assert dataset.name == "mine"
    assert dataset.ids == ("b.png", "birds/a.JPG")
    assert dataset.texts == (None, "a bird")
    assert dataset.owners == (None, "ann")
    assert reasons(ingest) == [
        "bad.png is not a picture, or its beginning is damaged; PNG, JPEG, WebP, GIF, BMP and TIFF files are accepted"
    ]
    assert len(ingest.notes) == 1
    assert ingest.notes[0].startswith("left out, because they are not pictures: 2 .txt, ")
    assert np.array_equal(dataset.images(30, [0])[0, :, 15, 15], [0, 0, 255])
    assert the_set(ingest_folder(str(folder), name="mine")).digest() == dataset.digest()


def test_folder_reads_headers_only_and_decodes_on_demand(folder: Path) -> None:
    whole = encode(Image.effect_noise((200, 200), 50))
    (folder / "cut.png").write_bytes(whole[:5000])
    dataset = the_set(ingest_folder(folder, name="mine"))
    assert "cut.png" in dataset.ids
    assert dataset.images(16, [dataset.index_of("b.png")]).shape == (1, 3, 16, 16)
    with pytest.raises(BadImage, match=r"^cut\.png is damaged or cut short"):
        dataset.images(16, [dataset.index_of("cut.png")])
    (folder / "cut.png").write_bytes(whole)
    assert dataset.images(16, [dataset.index_of("cut.png")]).shape == (1, 3, 16, 16)
    (folder / "birds" / "a.JPG").unlink()
    with pytest.raises(BadImage, match=r"^birds/a\.JPG cannot be read any more: No such file"):
        dataset.images(16)


def test_large_folder_keeps_nothing_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MEMORY_LIMIT_BYTES", 3 * 16 * 16)
    dataset = the_set(ingest_folder(folder, name="mine"))
    before = dataset.images(16)
    part = dataset.subset(["birds/a.JPG"])
    assert torch.equal(part.images(16)[0], before[1])
    (folder / "b.png").write_bytes(png(9))
    assert not torch.equal(dataset.images(16, [0])[0], before[0])
    (folder / "birds" / "a.JPG").unlink()
    assert torch.equal(part.images(16)[0], before[1])  # small enough to be kept


def test_folder_with_links_pipes_and_unreadable_names(folder: Path) -> None:
    os.symlink(folder / "b.png", folder / "linked.png")
    os.symlink(folder / "nowhere.png", folder / "broken.png")
    os.symlink(folder / "birds", folder / "again")
    os.mkfifo(folder / "pipe.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(png(5))
    ingest = ingest_folder(folder, name="mine")
    assert the_set(ingest).ids == ("b.png", "linked.png", "birds/a.JPG")
    rejected = {rejection.name: rejection.reason for rejection in ingest.rejected}
    assert set(rejected) == {"bad.png", "broken.png", "pipe.png", "\\udcff.png"}
    assert "broken link" in rejected["broken.png"]
    assert "broken link or not an ordinary file" in rejected["pipe.png"]
    assert "1 linked folders" in ingest.notes[0]
    repr(ingest).encode()


def test_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(MucError, match=r"there is no folder .*none; give the path of a folder"):
        ingest_folder(tmp_path / "none", name="mine")
    with pytest.raises(MucError, match=r"holds no picture that can be used$"):
        ingest_folder(tmp_path, name="mine")
    (tmp_path / "a.png").write_bytes(b"bad")
    with pytest.raises(MucError, match=r"holds no picture that can be used; a\.png is not a picture"):
        ingest_folder(tmp_path, name="mine")


def test_encoded_pictures_are_decoded_sharp_at_each_size() -> None:
    stream = io.BytesIO()
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    noise.save(stream, "PNG")
    dataset = the_set(ingest_files([("a.png", stream.getvalue())], name="upload"))
    assert dataset.images(16).shape == (1, 3, 16, 16)
    assert np.array_equal(dataset.images(64)[0].permute(1, 2, 0).numpy(), np.asarray(noise))


def write_classes(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(png())


def test_a_folder_in_a_folder_is_a_label(tmp_path: Path) -> None:
    write_classes(tmp_path, "top.png", "bird/a.png", "bird/more/b.png", "cat/a.png", "train/a.png")
    table = b"file,caption,label,owner\nbird/a.png,x,eagle,ann\ncat/a.png,y,,\n"
    (tmp_path / "captions.csv").write_bytes(table)
    dataset = the_set(ingest_folder(tmp_path, name="mine"))
    assert dict(zip(dataset.ids, dataset.labels, strict=True)) == {
        "top.png": None,
        "bird/a.png": "eagle",
        "bird/more/b.png": "bird",
        "cat/a.png": "cat",
        "train/a.png": "train",
    }


def test_folders_of_a_split_are_no_labels(tmp_path: Path) -> None:
    write_classes(tmp_path, "top.png", "Train/bird/a.png", "val/cat/a.png", "test/a.png")
    dataset = the_set(ingest_folder(tmp_path, name="mine"))
    assert dict(zip(dataset.ids, dataset.labels, strict=True)) == {
        "top.png": None,
        "Train/bird/a.png": "bird",
        "test/a.png": None,
        "val/cat/a.png": "cat",
    }


def test_folders_in_a_zip_are_no_labels() -> None:
    assert the_set(ingest_zip(zipped(("bird/a.png", png())), name="up.zip")).labels == (None,)


def test_a_large_folder_is_read_as_a_small_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.png").unlink()
    (folder / "birds" / "captions.csv").write_bytes(
        b"file,caption,owner\na.JPG,a bird,ann\na.JPG,again,\ngone.png,x,\n"
    )
    (folder / "caf\u00e9\x07.png").write_bytes(png())
    small = ingest_folder(folder, name="mine")
    monkeypatch.setattr(ingest_module, "LARGE", 1)
    monkeypatch.setattr(dataset_module, "LARGE", 1)
    large = ingest_folder(folder, name="mine")
    assert (large.notes, large.rejected) == (small.notes, small.rejected)
    one, two = the_set(small), the_set(large)
    assert (one.ids, one.texts) == (two.ids, two.texts)
    assert (tuple(one.labels), tuple(one.owners)) == (tuple(two.labels), tuple(two.owners))
    assert torch.equal(one.images(16), two.images(16))
    (folder / "b.png").write_bytes(b"bad")
    with pytest.raises(BadImage, match=r"^b\.png is not a picture"):
        the_set(ingest_folder(folder, name="mine")).images(16)
