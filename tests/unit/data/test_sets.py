"""Sets by name: what each spec means, and errors that list what is known."""

import logging
from pathlib import Path

import pytest
import torch

from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.sets import SetInfo, list_sets, load_dataset, resolve_ids, resolve_items
from muc_core.data.splits import DataSplit
from muc_core.errors import MucError, UnknownName
from tests.hostile import png, zipped

ITEMS = [
    Item("b1", "a bird", "bird", "ann"),
    Item("c1", "a cat", "cat", "ann"),
    Item("b2", "a bird", "bird", "bob"),
    Item("b3", "a bird", "bird", "cec"),
    Item("d1", "a dog", None, None),
    Item("c2", "a cat", "cat", "ann"),
]
DATASET = ImageTextDataset("pets", ITEMS, TensorImages(torch.zeros(6, 3, 8, 8, dtype=torch.uint8)))
SPLIT = DataSplit(seed=0, forget=("c1",), retain=("b1", "b2", "d1"), held_out=("b3",), calibration=("c2",))


@pytest.mark.parametrize(
    ("spec", "ids"),
    [
        ("train", ("c1", "b1", "b2", "d1")),
        ("forget", ("c1",)),
        ("retain", ("b1", "b2", "d1")),
        ("held-out", ("b3",)),
        ("calibration", ("c2",)),
        ("owner:ann", ("b1", "c1")),
        ("category:bird", ("b1", "b2")),
    ],
)
def test_specs_with_a_split(spec: str, ids: tuple[str, ...]) -> None:
    assert resolve_ids(spec, DATASET, SPLIT) == ids
    items = resolve_items(spec, dataset=DATASET, split=SPLIT)
    assert (items.ids, items.name) == (ids, spec)


def test_specs_without_a_split() -> None:
    assert resolve_ids("owner:ann", DATASET, None) == ("b1", "c1", "c2")
    assert resolve_ids("category:bird", DATASET, None) == ("b1", "b2", "b3")
    with pytest.raises(MucError, match="'held-out' is part of a split, and this data set is not split"):
        resolve_ids("held-out", DATASET, None)


def test_owners_and_categories_can_be_forgotten_as_they_resolve() -> None:
    for spec in ("owner:ann", "category:bird", "category:cat"):
        assert SPLIT.choose_forget(resolve_ids(spec, DATASET, SPLIT)).forget


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("owner:dan", UnknownName, r"there is no owner 'dan' in 'pets'.*Known: ann, bob$"),
        ("category:brid", UnknownName, r"no category 'brid' in 'pets'; did you mean 'bird'\? Known: bird, cat"),
        ("owner:", UnknownName, r"there is no owner ''"),
        ("owner:cec", MucError, "no item of owner 'cec' was trained on"),
        ("everything", UnknownName, "no set 'everything'; known: train, forget, retain, held-out, calibration, owner:"),
        ("colour:red", UnknownName, "there is no set 'colour:red'; known: train"),
        ("", UnknownName, "there is no set ''"),
    ],
)  # fmt: skip
def test_unknown_specs_list_what_is_known(spec: str, error: type[MucError], message: str) -> None:
    with pytest.raises(error, match=message):
        resolve_ids(spec, DATASET, SPLIT)


def test_unknown_items_mention_paths() -> None:
    with pytest.raises(
        UnknownName, match=r"no set 'nowhere'; known: .*ids:FILE, or the path of a folder, zip or picture"
    ):
        resolve_items("nowhere", dataset=DATASET, split=SPLIT)
    with pytest.raises(UnknownName, match="there is no owner 'x'"):
        resolve_items("owner:x", dataset=DATASET, split=SPLIT)


def test_an_empty_part_is_refused() -> None:
    nothing = SPLIT.model_copy(update={"forget": (), "retain": SPLIT.train})
    with pytest.raises(MucError, match="the forget set is empty; choose at least one item"):
        resolve_ids("forget", DATASET, nothing)
    assert "forget" not in [info.spec for info in list_sets(DATASET, nothing)]


def test_list_sets() -> None:
    assert list_sets(DATASET, SPLIT) == [
        SetInfo("train", 4, "all items trained on"),
        SetInfo("forget", 1, "items to be forgotten"),
        SetInfo("retain", 3, "items trained on and kept"),
        SetInfo("held-out", 1, "never trained on: the controls"),
        SetInfo("calibration", 1, "never trained on: for calibration"),
        SetInfo("owner:ann", 2, "items trained on owned by ann"),
        SetInfo("owner:bob", 1, "items trained on owned by bob"),
        SetInfo("category:bird", 2, "items trained on in the category bird"),
        SetInfo("category:cat", 1, "items trained on in the category cat"),
    ]
    assert [info.spec for info in list_sets(DATASET, None)][:2] == ["owner:ann", "owner:bob"]


def test_each_listed_set_resolves_to_its_count() -> None:
    demo, split = load_demo(), demo_split()
    sets = list_sets(demo, split)
    assert len(sets) > 80
    for info in sets:
        assert len(resolve_ids(info.spec, demo, split)) == info.count
    assert resolve_ids("owner:artist", demo, split) == split.forget


def test_random_sets_are_drawn_from_what_was_trained_on_with_the_seed_of_the_split() -> None:
    drawn = {resolve_ids("random:2", DATASET, SPLIT.model_copy(update={"seed": seed})) for seed in range(40)}
    assert len(drawn) == 6  # every pair of the four
    for ids in drawn:
        assert len(ids) == 2
        assert set(ids) < set(SPLIT.train)
        assert SPLIT.choose_forget(ids).forget == ids
    assert resolve_ids("random:50%", DATASET, SPLIT) == resolve_ids("random:2", DATASET, SPLIT)
    assert len(resolve_ids("random:5", DATASET, None)) == 5


@pytest.mark.parametrize("value", ["", "0", "-1", "4", "100%", "1e9%", "nan%", "inf%", "two", "1.5", "%"])
def test_random_sets_that_are_none_or_all_are_refused(value: str) -> None:
    with pytest.raises(MucError, match="write random:1 to random:3, or a share such as random:10%"):
        resolve_ids(f"random:{value}", DATASET, SPLIT)


def test_ids_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_bytes("\ufeff# the birds\r\nb2\r\n\r\n  b3  \r\n# c1\r\n".encode())
    assert resolve_ids(f"ids:{file}", DATASET, SPLIT) == ("b2", "b3")
    assert resolve_items(f"ids:{file}", dataset=DATASET, split=None).ids == ("b2", "b3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"b1\nx9\n", r"ids\.txt, line 2: 'pets' has no item 'x9'"),
        (b"b1\n\nb1\n", r"ids\.txt, line 3: 'b1' is named in line 1 already"),
        (b"# nothing\n", r"ids\.txt names no item"),
        (b"\xff\xfe", r"ids\.txt is not UTF-8 text"),
        (None, r"ids\.txt cannot be read: No such file"),
    ],
)
def test_wrong_files_of_ids(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "ids.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MucError, match=message):
        resolve_ids(f"ids:{file}", DATASET, SPLIT)


def test_paths(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "bad.png").write_bytes(b"bad")
    (tmp_path / "captions.csv").write_bytes(b"file,caption\na.png,mine\n")
    (tmp_path / "up.zip").write_bytes(zipped(("a.png", png(1)), ("captions.csv", b"file,caption\na.png,mine\n")))
    caplog.set_level(logging.WARNING)
    for spec, name in ((str(tmp_path), tmp_path.name), (str(tmp_path / "up.zip"), "up")):
        for dataset in (load_dataset(spec), resolve_items(spec, dataset=DATASET, split=SPLIT)):
            assert (dataset.name, dataset.ids, dataset.texts) == (name, ("a.png",), ("mine",))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["bad.png", "bad.png"]
    assert resolve_items(str(tmp_path / "a.png"), dataset=DATASET, split=None).ids == ("a.png",)


def test_paths_without_pictures(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"bad")
    with pytest.raises(MucError, match=r"bad\.png holds no picture that can be used; bad\.png is not a picture"):
        resolve_items(str(bad), dataset=DATASET, split=None)
    with pytest.raises(MucError, match=r"holds no picture that can be used; bad\.png is not a picture"):
        load_dataset(str(tmp_path))
    for spec in ("nowhere", "", "x" * 5000, "nul\0"):
        with pytest.raises(UnknownName, match=r"there is no data set .*; known: demo, or the path"):
            load_dataset(spec)
        with pytest.raises(UnknownName, match=r"there is no set .*; known: train, "):
            resolve_items(spec, dataset=DATASET, split=SPLIT)


def test_many_rejections_are_summed_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "good.png").write_bytes(png())
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(b"bad")
    load_dataset(str(tmp_path))
    assert len(caplog.records) == 21
    assert "10 more files or lines were not used" in caplog.text


def test_demo_by_name() -> None:
    assert load_dataset("demo") is load_demo()
