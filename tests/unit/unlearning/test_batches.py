"""How an epoch is divided into steps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from muc_core.errors import MucError
from muc_core.unlearning.batches import BatchPlan, derangement


@given(
    retain=st.integers(1, 400), forget=st.integers(1, 400), batch=st.integers(2, 128), fewest=st.sampled_from([0, 2])
)
def test_a_plan_uses_everything_once_or_says_what_would_do(retain: int, forget: int, batch: int, fewest: int) -> None:
    try:
        plan = BatchPlan(retain, forget, "both", batch, fewest)
    except MucError:
        return  # what the error asks for is accepted: see the next test
    steps = list(plan.epoch(torch.Generator().manual_seed(1)))
    assert len(steps) == plan.steps
    assert sorted(torch.cat([r for r, _ in steps]).tolist()) == list(range(retain))
    assert sorted(torch.cat([f for _, f in steps]).tolist()) == list(range(forget))
    assert all(len(r) + len(f) <= batch for r, f in steps)
    assert all(len(f) >= fewest for _, f in steps)
    assert all(len(r) >= 1 for r, _ in steps)


@given(retain=st.integers(1, 3000), forget=st.integers(2, 300), batch=st.integers(2, 512))
def test_the_batch_size_that_an_error_asks_for_is_accepted(retain: int, forget: int, batch: int) -> None:
    for _ in range(3):
        try:
            BatchPlan(retain, forget, "both", batch, 2)
            return
        except MucError as refusal:
            batch = int(str(refusal).rsplit("batch_size to ", 1)[1].split(" ")[0])
    raise AssertionError("three answers did not suffice")


@pytest.mark.parametrize(
    ("retain", "forget", "uses", "words"),
    [
        (5, 0, "both", "forget set is empty"),
        (5, 0, "forget", "forget set is empty"),
        (0, 5, "both", "nothing is left to retain"),
        (1, 0, "retain", "at least two pictures"),
        (9, 1, "both", "at least 2 in each step"),
    ],
)
def test_parts_that_cannot_be_used_are_refused_in_words(retain: int, forget: int, uses: str, words: str) -> None:
    with pytest.raises(MucError, match=words):
        BatchPlan(retain, forget, uses, 4, 2)  # type: ignore[arg-type]


@given(n=st.integers(2, 60), seed=st.integers(0, 2**31))
def test_derangements_have_no_fixed_point(n: int, seed: int) -> None:
    permutation = derangement(n, torch.Generator().manual_seed(seed))
    assert sorted(permutation.tolist()) == list(range(n))
    assert not any(i == p for i, p in enumerate(permutation.tolist()))


def test_all_nine_derangements_of_four_are_equally_likely() -> None:
    generator = torch.Generator().manual_seed(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(2700):
        key = tuple(derangement(4, generator).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 9
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_one_sample_has_no_derangement() -> None:
    with pytest.raises(ValueError, match="two"):
        derangement(1, torch.Generator())
