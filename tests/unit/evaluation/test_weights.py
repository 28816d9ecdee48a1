"""Weights in 8 bits and on a straight line, against slow plain arithmetic."""

import pytest
import torch
from torch import Tensor

from muc_core.errors import MucError
from muc_core.evaluation.weights import at_strength, int8_weights, straight_line


def weights(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "conv": torch.randn(4, 3, 2, 2, generator=generator),
        "linear": torch.randn(5, 7, generator=generator) * torch.tensor([1e-3, 1, 10, 0, 5])[:, None],
        "bias": torch.randn(5, generator=generator),
        "count": torch.tensor(10 * seed),
    }


def test_each_channel_has_at_most_255_levels_and_keeps_its_largest_value() -> None:
    given, found = weights(), int8_weights(weights())
    for name in ("conv", "linear"):
        for before, after in zip(given[name].flatten(1), found[name].flatten(1), strict=True):
            scale = max(abs(value) for value in before.tolist()) / 127
            expected = [round(value / scale) * scale if scale else 0.0 for value in before.tolist()]
            assert after.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-9)
            assert after.abs().max() == pytest.approx(before.abs().max().item())
    assert (given["linear"] != found["linear"]).any()


def test_biases_and_counts_stay_as_they_are() -> None:
    given, found = weights(3), int8_weights(weights(3))
    assert list(found) == list(given)
    assert torch.equal(found["bias"], given["bias"])
    assert found["count"].item() == 30


def test_stored_in_half_precision_they_come_back_in_full() -> None:
    assert {t.dtype for t in int8_weights({"w": torch.ones(2, 2).half()}).values()} == {torch.float32}


def test_rounding_twice_changes_nothing_more() -> None:
    once = int8_weights(weights())
    for name, tensor in int8_weights(once).items():
        torch.testing.assert_close(tensor, once[name])


def test_a_line_goes_from_one_end_to_the_other() -> None:
    start, end = weights(1), weights(2)
    for share, expected in ((0.0, start), (1.0, end)):
        for name, tensor in straight_line(start, end, share).items():
            torch.testing.assert_close(tensor, expected[name])
    quarter = straight_line(start, end, 0.25)
    torch.testing.assert_close(quarter["conv"], 0.75 * start["conv"] + 0.25 * end["conv"])
    assert quarter["count"].item() == 10
    assert straight_line(start, end, 0.75)["count"].item() == 20


@pytest.mark.parametrize("change", [{"bias": torch.zeros(6)}, {"more": torch.zeros(1)}])
def test_no_line_joins_different_architectures(change: dict[str, Tensor]) -> None:
    with pytest.raises(MucError, match="different names or shapes"):
        straight_line(weights(), weights() | change, 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        straight_line(weights(), weights(), share)


def normed(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return weights(seed) | {
        "norm.running_mean": torch.randn(6, generator=generator),
        "norm.running_var": torch.rand(6, generator=generator) * torch.tensor([1e-4, 1, 50, 1, 1, 0]),
    }


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0, 1.2, 1.5])
def test_the_dial_goes_straight_but_for_variances(strength: float) -> None:
    original, unlearned = normed(1), normed(2)
    found = at_strength(original, unlearned, strength)
    assert list(found) == list(original)
    for name in ("conv", "linear", "bias", "norm.running_mean"):
        expected = [
            (1 - strength) * a + strength * b
            for a, b in zip(original[name].flatten().tolist(), unlearned[name].flatten().tolist(), strict=True)
        ]
        assert found[name].flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    pairs = zip(original["norm.running_var"].tolist(), unlearned["norm.running_var"].tolist(), strict=True)
    geometric = [a ** (1 - strength) * b**strength if a > 0 and b > 0 else 0.0 for a, b in pairs]
    assert found["norm.running_var"].tolist() == pytest.approx(geometric, rel=1e-4)
    assert found["count"].item() == (10 if strength < 0.5 else 20)


def test_the_ends_of_the_dial_are_exact() -> None:
    original, unlearned = normed(1), normed(2)
    for strength, expected in ((0.0, original), (1.0, unlearned)):
        for name, tensor in at_strength(original, unlearned, strength).items():
            assert torch.equal(tensor, expected[name])


def test_variances_stay_positive_beyond_the_end_where_a_straight_line_would_not() -> None:
    original, unlearned = {"running_var": torch.tensor([1.0, 4.0])}, {"running_var": torch.tensor([0.1, 4.0])}
    straight = torch.lerp(original["running_var"], unlearned["running_var"], 1.5)
    assert straight[0] < 0
    found = at_strength(original, unlearned, 1.5)["running_var"]
    assert found.tolist() == pytest.approx([0.1**1.5, 4.0])


def test_a_channel_that_was_never_on_does_not_run_away() -> None:
    original, unlearned = {"n.running_var": torch.tensor([0.0, 2.0])}, {"n.running_var": torch.tensor([2.0, 0.0])}
    assert at_strength(original, unlearned, 0.25)["n.running_var"].tolist() == pytest.approx([0.5, 1.5])
    assert at_strength(original, unlearned, 1.5)["n.running_var"].tolist() == pytest.approx([2.0, 0.0])


def test_near_one_another_the_two_lines_agree() -> None:
    original, unlearned = {"running_var": torch.tensor([1.0])}, {"running_var": torch.tensor([1.02])}
    for strength in (0.25, 0.75, 1.5):
        straight = 1 + 0.02 * strength
        assert at_strength(original, unlearned, strength)["running_var"].item() == pytest.approx(straight, abs=2e-4)


@pytest.mark.parametrize("strength", [-0.1, 1.6])
def test_the_dial_has_ends(strength: float) -> None:
    with pytest.raises(MucError, match=r"between 0 and 1\.5"):
        at_strength(weights(), weights(), strength)


def test_the_dial_joins_no_different_architectures() -> None:
    with pytest.raises(MucError, match="different names or shapes"):
        at_strength(weights(), weights() | {"more": torch.zeros(1)}, 0.5)
