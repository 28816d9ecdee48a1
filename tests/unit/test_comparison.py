"""Two encoders over one set of items: numbers, warnings, refusals, and the way through JSON and back."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from muc_core.audit import alignment_matrix, summarise
from muc_core.comparison import Comparison, ModeChoice, OrderChoice, compare
from muc_core.data.dataset import ImageTextDataset, Item, TensorImages
from muc_core.data.interpolation import Interpolation
from muc_core.errors import Cancelled, MissingTextTower, MucError

WORDS = 16


@dataclass(frozen=True)
class ToyEncoder:
    """Reads a picture's number from its pixels and a text's number from its last word; the two get the same direction,
    unless the number is among the forgotten ones, whose pictures are turned away by `strength`."""

    name: str = "toy"
    forgotten: tuple[int, ...] = ()
    strength: float = 1.0
    has_text: bool = True
    dimension: int = WORDS
    family: str = "clip"
    image_size: int = 8
    interpolation: Interpolation = "bicubic"
    broken: float | None = None

    @property
    def digest(self) -> str:
        return f"{self.forgotten}-{self.strength}-{self.broken}"

    def _directions(self, numbers: Sequence[int]) -> npt.NDArray[np.float32]:
        return np.stack(
            [np.random.default_rng(number).standard_normal(self.dimension).astype(np.float32) for number in numbers]
        )

    def encode_images(self, images: Tensor) -> Tensor:
        numbers = [int(picture[0].float().mean().round()) // 4 for picture in images]
        vectors = self._directions(numbers)
        for row, number in enumerate(numbers):
            if number in self.forgotten:
                vectors[row] += self.strength * 3 * self._directions([1000 + number])[0]
            if self.broken is not None and number == 0:
                vectors[row] = self.broken
        return torch.from_numpy(vectors)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        if not self.has_text:
            raise MissingTextTower(f"{self.name} has no text tower")
        return torch.from_numpy(self._directions([int(text.split()[-1]) for text in texts]))


def toy_set(numbers: Sequence[int], *, captions: bool = True, name: str = "toys") -> ImageTextDataset:
    pixels = torch.stack([torch.full((3, 8, 8), 4 * number, dtype=torch.uint8) for number in numbers])
    items = [Item(f"toy-{number}", f"toy number {number}" if captions else None) for number in numbers]
    return ImageTextDataset(name, items, TensorImages(pixels))


ITEMS, CONTROLS = toy_set(range(6)), toy_set(range(6, 14), name="controls")
BEFORE, AFTER = ToyEncoder("before"), ToyEncoder("after", forgotten=(0, 1, 2))


def test_numbers_are_those_of_the_audit() -> None:
    result = compare(BEFORE, AFTER, ITEMS)
    assert result.mode == "image-text"
    assert (result.ids, result.texts) == (ITEMS.ids, ITEMS.texts)
    assert (result.before_encoder.name, result.after_encoder.name) == ("before", "after")
    assert result.before_encoder.digest == BEFORE.digest
    for encoder, alignment in ((BEFORE, result.before), (AFTER, result.after)):
        images, texts = encoder.encode_images(ITEMS.images(8)), encoder.encode_texts([t or "" for t in ITEMS.texts])
        np.testing.assert_allclose(alignment.picture.matrix, alignment_matrix(images, texts), atol=1e-6)
        summary, scores = summarise(images, texts)
        assert alignment.summary == summary
        np.testing.assert_array_equal(alignment.items.margin, scores.margin)
        np.testing.assert_array_equal(alignment.items.rank, scores.rank)
    assert result.controls is None


def test_gap_is_positive_for_what_was_forgotten_and_zero_for_the_rest() -> None:
    result = compare(BEFORE, AFTER, ITEMS)
    assert (result.gap_per_item[:3] > 0.2).all()
    np.testing.assert_array_equal(result.gap_per_item[3:], np.zeros(3))
    np.testing.assert_array_equal(result.gap.matrix, result.before.picture.matrix - result.after.picture.matrix)
    assert result.gap.ids == result.ids


def test_items_and_controls_are_scored_in_one_pool() -> None:
    result = compare(BEFORE, AFTER, ITEMS, controls=CONTROLS)
    assert result.controls is not None
    assert result.controls.ids == CONTROLS.ids
    everything = toy_set(range(14))
    for encoder, alignment, controls in (
        (BEFORE, result.before, result.controls.before),
        (AFTER, result.after, result.controls.after),
    ):
        texts = encoder.encode_texts([text or "" for text in everything.texts])
        matrix = alignment_matrix(encoder.encode_images(everything.images(8)), texts)
        for row in range(14):
            others = [j for j in range(14) if j != row]
            negative = float(np.mean([(matrix[row, j] + matrix[j, row]) / 2 for j in others]))
            scores, place = (alignment.items, row) if row < 6 else (controls, row - 6)
            assert scores.positive[place] == pytest.approx(matrix[row, row], abs=1e-6)
            assert scores.negative[place] == pytest.approx(negative, abs=1e-6)
            assert scores.margin[place] == pytest.approx(matrix[row, row] - negative, abs=1e-6)
    np.testing.assert_array_equal(result.controls.gap, np.zeros(8))
    # The matrix and its summary are about the items alone.
    alone = compare(BEFORE, AFTER, ITEMS)
    assert result.before.summary == alone.before.summary
    np.testing.assert_array_equal(result.after.picture.matrix, alone.after.picture.matrix)


def test_finding_gives_the_numbers_and_no_verdict() -> None:
    result = compare(BEFORE, AFTER, ITEMS, controls=CONTROLS)
    means = result.means
    start, end = means["items_before_positive"], means["items_after_positive"]
    assert start == pytest.approx(1)
    assert end == pytest.approx(result.after.items.positive.mean())
    assert result.finding == (
        f"The items' own-caption similarity fell from 1.00 to {end:.2f}; that of the controls stayed at 1.00."
    )
    assert compare(AFTER, BEFORE, toy_set([0])).finding.startswith("The item's own-caption similarity rose from ")
    assert "no controls to hold it against" in compare(BEFORE, AFTER, ITEMS).finding
    assert "forg" not in result.finding


def test_means_are_missing_where_nothing_was_measured() -> None:
    means = compare(BEFORE, AFTER, toy_set([0])).means
    assert means["items_before_margin"] is None
    assert means["controls_before_positive"] is None
    assert means["items_before_positive"] == pytest.approx(1)


@pytest.mark.parametrize("captions", [True, False])
def test_two_views_when_captions_cannot_be_used_and_it_is_said(captions: bool) -> None:
    blind = replace(AFTER, has_text=not captions)
    result = compare(BEFORE, blind, toy_set(range(6), captions=captions), controls=CONTROLS, views=3)
    assert result.mode == "two-view"
    reason = "the encoder 'after' cannot read captions" if captions else "6 of 6 items have no caption (the first is"
    assert any(reason in warning for warning in result.warnings)
    assert result.finding.startswith("The items' similarity between views of the same picture ")
    matrix = result.before.picture.matrix
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)


def test_one_missing_caption_is_enough_for_two_views() -> None:
    items = ImageTextDataset(
        "mixed", [Item("a", "toy number 0"), Item("b", "  ")], TensorImages(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    )
    result = compare(BEFORE, AFTER, items, controls=CONTROLS, views=2)
    assert result.mode == "two-view"
    assert any("1 of 2 items have no caption (the first is 'b')" in warning for warning in result.warnings)
    with pytest.raises(MucError, match=r"item 'b' has no caption \(1 of 2 lack one\)"):
        compare(BEFORE, AFTER, items, mode="image-text")


def test_the_mode_can_be_asked_for() -> None:
    result = compare(BEFORE, AFTER, ITEMS, controls=CONTROLS, mode="two-view", views=2)
    assert result.mode == "two-view"
    assert result.warnings == ()
    with pytest.raises(MissingTextTower, match="the encoder 'blind' has no text tower; use the mode two-view"):
        compare(BEFORE, ToyEncoder("blind", has_text=False), ITEMS, mode="image-text")


def test_warns_of_what_a_reader_must_know() -> None:
    def warnings_of(after: ToyEncoder, items: ImageTextDataset, controls: ImageTextDataset | None) -> str:
        return " ".join(compare(BEFORE, after, items, controls=controls).warnings)

    assert warnings_of(AFTER, ITEMS, CONTROLS) == ""
    assert "There are no controls" in warnings_of(AFTER, ITEMS, None)
    assert "only one control" in warnings_of(AFTER, ITEMS, toy_set([9]))
    assert "Both encoders are the same" in warnings_of(BEFORE, ITEMS, CONTROLS)
    assert "only one item" in warnings_of(AFTER, toy_set([0]), None)
    assert "negatives come from the controls alone" in warnings_of(AFTER, toy_set([0]), CONTROLS)


def test_controls_without_captions_are_left_out_and_it_is_said() -> None:
    some = ImageTextDataset(
        "some",
        [Item("toy-7", "toy number 7"), Item("x"), Item("toy-8", "toy number 8")],
        TensorImages(toy_set([7, 5, 8]).images(8)),
    )
    result = compare(BEFORE, AFTER, ITEMS, controls=some)
    assert result.controls is not None
    assert result.controls.ids == ("toy-7", "toy-8")
    assert "1 of 3 controls have no caption and were left out." in result.warnings
    none = compare(BEFORE, AFTER, ITEMS, controls=toy_set(range(7, 9), captions=False))
    assert none.controls is None
    assert "2 of 2 controls have no caption and were left out." in none.warnings
    assert any("There are no controls" in warning for warning in none.warnings)


def test_one_item_has_a_margin_once_there_are_controls() -> None:
    alone = compare(BEFORE, AFTER, toy_set([0]))
    assert math.isnan(alone.before.items.margin[0])
    assert alone.before.summary.negative_mean is None
    among = compare(BEFORE, AFTER, toy_set([0]), controls=CONTROLS)
    assert math.isfinite(among.before.items.margin[0])
    assert among.before.summary.negative_mean is None


@pytest.mark.parametrize("order", ["given", "diagonal", "cluster"])
def test_orders_change_the_pictures_alone(order: OrderChoice) -> None:
    result = compare(BEFORE, AFTER, ITEMS, order=order)
    plain = compare(BEFORE, AFTER, ITEMS)
    places = [ITEMS.index_of(name) for name in result.before.picture.ids]
    assert sorted(places) == list(range(6))
    assert result.before.picture.ids == result.after.picture.ids
    for one, other in ((result.before, plain.before), (result.after, plain.after)):
        np.testing.assert_allclose(one.picture.matrix, other.picture.matrix[np.ix_(places, places)], atol=1e-6)
        np.testing.assert_array_equal(one.items.positive, other.items.positive)
    if order == "diagonal":
        assert (np.diff(np.diag(result.gap.matrix)) <= 1e-6).all()


@pytest.mark.parametrize("order", ["given", "diagonal", "cluster"])
def test_large_sets_get_a_thinned_picture_and_exact_numbers(order: OrderChoice) -> None:
    full = compare(BEFORE, AFTER, ITEMS)
    sampled = compare(BEFORE, AFTER, ITEMS, max_cells=4, seed=1, order=order)
    pooled = compare(BEFORE, AFTER, ITEMS, max_cells=4, reduction="pooled", order=order)
    for thinned, kind in ((sampled, "sampled"), (pooled, "pooled")):
        assert thinned.before.picture.kind == thinned.after.picture.kind == thinned.gap.kind == kind
        assert thinned.before.picture.matrix.shape == (4, 4)
        assert thinned.before.picture.ids == thinned.after.picture.ids
        assert thinned.before.summary == full.before.summary
        np.testing.assert_array_equal(thinned.gap_per_item, full.gap_per_item)


@pytest.mark.parametrize("mode", ["image-text", "two-view"])
def test_the_same_seed_gives_the_same_comparison(mode: ModeChoice) -> None:
    def once(seed: int) -> str:
        return compare(BEFORE, AFTER, ITEMS, controls=CONTROLS, mode=mode, views=3, seed=seed).to_json()

    assert once(1) == once(1)


@pytest.mark.parametrize("controls", [CONTROLS, None])
@pytest.mark.parametrize("numbers", [range(6), range(1)])
def test_json_brings_back_exactly_what_went_in(controls: ImageTextDataset | None, numbers: range) -> None:
    first = compare(BEFORE, AFTER, toy_set(numbers), controls=controls, order="cluster")
    text = first.to_json()
    second = Comparison.from_json(text)
    assert second.to_json() == text
    assert second.settings == first.settings
    assert second.warnings == first.warnings
    assert second.after.summary == first.after.summary
    assert second.before_encoder == first.before_encoder
    np.testing.assert_array_equal(second.before.picture.matrix, first.before.picture.matrix)
    np.testing.assert_array_equal(second.after.items.margin, first.after.items.margin)
    if controls:
        assert first.controls is not None
        assert second.controls is not None
        np.testing.assert_array_equal(second.controls.after.rank, first.controls.after.rank)
    content = json.loads(text)
    assert content["finding"] == first.finding
    assert content["gap"]["matrix"] == first.gap.matrix.tolist()


def test_json_of_something_else_is_refused() -> None:
    for text in ("{", "[]", "{}", '{"format": "muc-comparison/1"}'):
        with pytest.raises(MucError, match="not a comparison as JSON"):
            Comparison.from_json(text)
    with pytest.raises(MucError, match="has the format 'muc-comparison/9'; this version reads 'muc-comparison/1'"):
        Comparison.from_json('{"format": "muc-comparison/9"}')


def test_refuses_an_item_among_the_controls() -> None:
    with pytest.raises(MucError, match=r"'toy-5' is an item and a control \(1 are both\)"):
        compare(BEFORE, AFTER, ITEMS, controls=toy_set(range(5, 9)))


def test_refuses_what_it_does_not_know() -> None:
    with pytest.raises(MucError, match="no mode 'both'; known: auto, image-text, two-view"):
        compare(BEFORE, AFTER, ITEMS, mode="both")  # type: ignore[arg-type]
    with pytest.raises(MucError, match="no order 'size'; known: given, diagonal, cluster"):
        compare(BEFORE, AFTER, ITEMS, order="size")  # type: ignore[arg-type]
    with pytest.raises(MucError, match="views is 1; the two-view mode needs at least 2"):
        compare(BEFORE, AFTER, ITEMS, mode="two-view", views=1)
    with pytest.raises(MucError, match="max_cells is 1"):
        compare(BEFORE, AFTER, ITEMS, max_cells=1)


def test_vectors_that_cannot_be_compared_are_refused_by_encoder_and_item() -> None:
    with pytest.raises(MucError, match="in the encoder 'worse' the image vector of item 'toy-0' is zero"):
        compare(BEFORE, ToyEncoder("worse", broken=0.0), ITEMS)
    with pytest.raises(MucError, match="not finite for 'toy-0'"):
        compare(BEFORE, ToyEncoder("worse", broken=math.nan), ITEMS)


def test_encoders_of_different_dimension_can_be_compared() -> None:
    result = compare(BEFORE, ToyEncoder("small", dimension=4), ITEMS, controls=CONTROLS)
    assert (result.before_encoder.dimension, result.after_encoder.dimension) == (WORDS, 4)
    assert np.isfinite(result.gap.matrix).all()


class Listener:
    def __init__(self, *, stop_after: int = 10**6) -> None:
        self.shares: list[float] = []
        self.stop_after = stop_after

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        assert 0 <= step <= total
        assert message
        self.shares.append(step / total)
        if len(self.shares) >= self.stop_after:
            raise Cancelled


@pytest.mark.parametrize("mode", ["image-text", "two-view"])
@pytest.mark.parametrize("controls", [CONTROLS, None])
def test_progress_goes_from_start_to_end_and_can_be_stopped(
    controls: ImageTextDataset | None, mode: ModeChoice
) -> None:
    listener = Listener()
    compare(BEFORE, AFTER, ITEMS, controls=controls, mode=mode, views=3, progress=listener)
    assert listener.shares == sorted(listener.shares)
    assert listener.shares[-1] == 1
    with pytest.raises(Cancelled):
        compare(BEFORE, AFTER, ITEMS, controls=controls, progress=Listener(stop_after=2))
