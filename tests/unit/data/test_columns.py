"""Columns of texts and ids against plain tuples and dictionaries."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muc_core.data.columns import ColumnBuilder, ColumnItems, FullColumn, RepeatedId, RowIds, TextColumn, TextIds
from muc_core.data.dataset import Item

texts = st.text(st.characters(codec="utf-8"), max_size=6)
optional = st.none() | texts


def column(values: list[str | None]) -> TextColumn:
    builder = ColumnBuilder()
    for value in values:
        builder.append(value)
    return TextColumn(builder.finish())


@settings(deadline=None)
@given(st.lists(optional, max_size=30), st.slices(30))
def test_a_column_is_a_sequence(values: list[str | None], part: slice) -> None:
    for made in (column(values), TextColumn.of_few(pa.array(values, pa.string()))):
        assert list(made) == [made[index] for index in range(len(made))] == values
        assert list(made[part]) == values[part]
        if values:
            assert made[-1] == values[-1]
        with pytest.raises(IndexError):
            made[len(values)]
        assert (None in made) == (None in values)


def test_missing_columns() -> None:
    assert list(TextColumn.missing(3)) == [None, None, None]


def test_a_builder_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muc_core.data.columns._AT_ONCE", 2)
    values = ["a", None, "b", "", "c"]
    assert list(column(values)) == values


@settings(deadline=None)
@given(st.lists(texts, unique=True, max_size=30), texts)
def test_ids_are_found(ids: list[str], other: str) -> None:
    made = TextIds(pa.array(ids, pa.string()))
    assert list(made) == ids
    assert [made.find(item_id) for item_id in ids] == list(range(len(ids)))
    assert made.find(other) == (ids.index(other) if other in ids else None)
    ordered = TextIds(pa.array(sorted(ids), pa.string()))
    assert [ordered.find(item_id) for item_id in sorted(ids)] == list(range(len(ids)))


@settings(deadline=None)
@given(st.lists(texts, unique=True, min_size=1, max_size=10), st.data())
def test_repeated_ids_are_named(ids: list[str], data: st.DataObject) -> None:
    twice = data.draw(st.sampled_from(ids))
    repeated = data.draw(st.permutations([*ids, twice]))
    with pytest.raises(RepeatedId) as caught:
        TextIds(pa.array(repeated, pa.string()))
    assert caught.value.item_id == twice
    assert repr(twice) in str(caught.value)


def test_a_full_column_has_no_gap() -> None:
    assert FullColumn(pa.array(["a", "b", "c"]))[1:] == ("b", "c")
    with pytest.raises(ValueError, match="missing"):
        FullColumn(pa.array(["a", None]))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5)), unique_by=lambda pair: pair[0], max_size=5))
def test_rows_are_numbered(shards: list[tuple[str, int]]) -> None:
    made = RowIds([f"x/{name}" for name, _ in shards], [count for _, count in shards])
    expected = [f"x/{name}/{row:08d}" for name, count in shards for row in range(count)]
    assert list(made) == [made[index] for index in range(len(made))] == list(made[:]) == expected
    assert [made.find(item_id) for item_id in expected] == list(range(len(expected)))
    for wrong in ("x/a/00000009", "x/a/0", "x/a/-0000001", "x/a/", "a/00000000", "x/a/0000000٣", "x/a/" + "0" * 99):
        assert made.find(wrong) is None
    backwards = np.arange(len(expected))[::-1]
    assert list(made.take(backwards)) == expected[::-1]


def test_items_over_columns() -> None:
    read: list[str] = []

    def reader(what: str) -> TextColumn:
        read.append(what)
        return TextColumn(pa.array([f"{what} 0", None, f"{what} 2"]))

    items = ColumnItems(
        TextIds(pa.array(["b", "a", "c"])), texts=lambda: reader("text"), labels=lambda: reader("label")
    )
    assert (len(items), items.find("a"), items.find("d")) == (3, 1, None)
    assert read == []
    assert items[2] == Item("c", "text 2", "label 2", None)
    assert list(items) == [items[0], items[1], items[2]]
    assert items[::2] == (items[0], items[2])
    part = items.take([2, 1])
    assert list(part) == [items[2], items[1]]
    assert read == ["text", "label"]
    with pytest.raises(RepeatedId):
        items.take([1, 1])
