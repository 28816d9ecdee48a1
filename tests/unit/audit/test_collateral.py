"""Collateral: sizes against slow loops, intervals that cover even for the most harmed, and who is named."""

import numpy as np
import numpy.typing as npt
import pytest

from muc_core.audit.collateral import MOST, SHOWN, Bystander, collateral
from muc_core.audit.result import Collateral
from muc_core.audit.vectors import ImageTextVectors, ViewVectors
from muc_core.errors import MucError


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def pictures(
    texts: npt.NDArray[np.float64], rng: np.random.Generator, *, views: int = 6, noise: float = 0.5
) -> ImageTextVectors:
    seen = texts + noise * rng.normal(size=(views, *texts.shape))
    return ImageTextVectors(seen.astype(np.float32), texts.astype(np.float32))


def bystanders(n: int, *, classes: int = 4, shared_texts: bool = False) -> list[Bystander]:
    return [
        Bystander(
            f"item {i}",
            "controls" if i % 2 else "retained",
            label=f"class {i % (2 * classes) // 2}",
            text=f"text {i % (2 * classes) // 2 if shared_texts else i}",
        )
        for i in range(n)
    ]


def slow_margin(vectors: ImageTextVectors | ViewVectors, i: int) -> tuple[float, float]:
    """Of the item and of its partner, pair by pair."""
    views = unit(vectors.views.astype(np.float64))

    def similar(a: int, b: int) -> float:
        if isinstance(vectors, ImageTextVectors):
            return float(unit(views[:, a].mean(axis=0)) @ unit(vectors.texts[b].astype(np.float64)))
        pairs = [views[v, a] @ views[w, b] for v in range(len(views)) for w in range(len(views)) if v != w]
        return float(np.mean(pairs))

    others = [j for j in range(vectors.n) if j != i]
    own = similar(i, i)
    rows, columns = np.mean([similar(i, j) for j in others]), np.mean([similar(j, i) for j in others])
    return own - float(rows + columns) / 2, own - float(columns)


@pytest.mark.parametrize("kind", ["image-text", "two-view"])
def test_sizes_are_those_of_a_slow_loop(kind: str) -> None:
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(12, 8))
    before, after = pictures(texts, rng, noise=0.2), pictures(texts, rng, noise=2.0)
    first, second = (v if kind == "image-text" else ViewVectors(v.views) for v in (before, after))
    items = bystanders(12)
    found = collateral(first, second, items)
    place = {item.id: row for row, item in enumerate(items)}
    assert len(found.items) == SHOWN
    for change in found.items:
        slow = [slow_margin(vectors, place[change.name])[0] for vectors in (first, second)]
        assert (change.before, change.after) == pytest.approx(tuple(slow), abs=1e-5)
        assert change.lost == pytest.approx(slow[0] - slow[1], abs=1e-5)
        assert change.interval is not None
        assert change.interval.low < change.lost < change.interval.high
    assert [change.lost for change in found.items] == sorted((c.lost for c in found.items), reverse=True)
    for text in found.texts:
        row = next(row for row, item in enumerate(items) if item.text == text.name)
        slow = [slow_margin(vectors, row)[1] for vectors in (first, second)]
        assert (text.before, text.after) == pytest.approx(tuple(slow), abs=1e-5)
    assert bool(found.texts) == (kind == "image-text")


def test_the_one_that_was_ruined_its_class_and_its_text_are_named_first() -> None:
    rng = np.random.default_rng(1)
    texts = rng.normal(size=(80, 16))
    items = bystanders(80, shared_texts=True)
    before = pictures(texts, rng)
    views, captions = before.views.copy(), before.texts.copy()
    ruined = [row for row, item in enumerate(items) if item.label == "class 2" and item.group == "retained"]
    views[:, ruined] -= 0.5 * captions[ruined]
    views[:, ruined[0]] = -captions[ruined[0]]
    found = collateral(before, ImageTextVectors(views, captions), items)
    assert found.items[0].name == items[ruined[0]].id
    assert (found.classes[0].name, found.classes[0].group, found.classes[0].count) == ("class 2", "retained", 10)
    assert (found.texts[0].name, found.texts[0].group, found.texts[0].count) == ("text 2", "retained", 10)
    assert found.compared == {"items": 80, "classes": 8, "texts": 8}
    retained, controls = (next(g for g in found.groups if g.group == name) for name in ("retained", "controls"))
    assert retained.lost.value > controls.lost.value
    assert retained.down is not None
    assert retained.down >= 8
    assert abs(controls.lost.value) < 0.01
    sentences = found.explain()
    assert len(sentences) == 5
    assert f"{items[ruined[0]].id!r} (text 2) lost" in sentences[2]


def test_intervals_of_the_most_harmed_cover_what_other_views_would_give() -> None:
    """Chosen for being the largest of many, they would be too high without allowing for the choice."""
    rng = np.random.default_rng(2)
    items = bystanders(40)
    missed = shown = 0
    for _ in range(30):
        centres = rng.normal(size=(40, 12))
        seen, many = (centres + rng.normal(size=(views, 40, 12)) for views in (6, 60))
        few, all_views = ([ViewVectors(v.astype(np.float32)) for v in (x, 0.9 * x + 0.2)] for x in (seen, many))
        truth = [vectors.scores([item.id for item in items]).margin for vectors in all_views]
        for change in collateral(few[0], few[1], items).items:
            assert change.interval is not None
            row = int(change.name.split()[1])
            missed += not change.interval.low <= truth[0][row] - truth[1][row] <= change.interval.high
            shown += 1
    assert shown >= 200
    assert missed <= 0.08 * shown


def test_an_unchanged_encoder_harms_nobody() -> None:
    rng = np.random.default_rng(3)
    vectors = pictures(rng.normal(size=(20, 8)), rng)
    found = collateral(vectors, vectors, bystanders(20))
    assert found.items == found.classes == found.texts == ()
    assert [(group.down, group.up, group.lost.value) for group in found.groups] == [(0, 0, 0.0)] * 2


def test_with_two_views_sizes_come_without_intervals_and_that_is_said() -> None:
    rng = np.random.default_rng(4)
    texts = rng.normal(size=(20, 8))
    found = collateral(pictures(texts, rng, views=2), pictures(texts, rng, views=2, noise=2), bystanders(20))
    assert found.items[0].interval is None
    assert "cannot be told from so few views" in found.items[0].meaning
    assert found.groups[0].down is None
    again = Collateral.model_validate_json(found.model_dump_json())
    assert again == found


def test_what_cannot_be_compared_is_refused() -> None:
    rng = np.random.default_rng(5)
    vectors = pictures(rng.normal(size=(20, 8)), rng)
    with pytest.raises(MucError, match="of every item"):
        collateral(vectors, vectors, bystanders(19))
    with pytest.raises(MucError, match="of the same kind"):
        collateral(vectors, ViewVectors(vectors.views), bystanders(20))
    with pytest.raises(MucError, match=f"2 to {MOST:,}"):
        collateral(vectors, vectors, bystanders(1))
