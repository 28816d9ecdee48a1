"""Shares of a batch on several threads: the same vectors in the same order, and torch's setting as it was."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from muc_core.encoders.families.clip import ClipEncoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.threads import FEWEST, MOST, in_shares
from tests import tiny


@pytest.fixture(autouse=True)
def _setting_of_torch() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


class Forward:
    """Doubles what it gets, and notes how much that was and with how many of torch's threads."""

    def __init__(self) -> None:
        self.shares: list[int] = []
        self.threads: set[int] = set()
        self.names: set[str] = set()

    def __call__(self, batch: Tensor) -> Tensor:
        self.shares.append(len(batch))
        self.threads.add(torch.get_num_threads())
        self.names.add(threading.current_thread().name)
        return batch * 2


@pytest.mark.parametrize(
    ("threads", "count", "shares"),
    [(3, 190, [63, 63, 64]), (3, 70, [35, 35]), (8, 64, [32, 32]), (2, 5 * MOST, [MOST] * 5), (2, 200, [50] * 4)],
)
def test_each_thread_takes_shares_that_are_not_large_with_no_threads_of_its_own(
    threads: int, count: int, shares: list[int]
) -> None:
    torch.set_num_threads(threads)
    forward, batch = Forward(), torch.arange(count)[:, None]
    assert torch.equal(in_shares(forward, batch), 2 * batch)
    assert sorted(forward.shares) == shares
    assert forward.threads == {1}
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("threads", "count"), [(1, 200), (4, 2 * FEWEST - 1), (4, 0)])
def test_one_thread_or_few_items_are_not_divided(threads: int, count: int) -> None:
    torch.set_num_threads(threads)
    forward, batch = Forward(), torch.arange(count)[:, None]
    assert torch.equal(in_shares(forward, batch), 2 * batch)
    assert (forward.shares, forward.names) == ([count], {threading.current_thread().name})


def test_threads_that_start_later_have_the_setting_again() -> None:
    torch.set_num_threads(3)
    in_shares(Forward(), torch.zeros(96, 1))
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [3]


def test_an_error_in_one_share_comes_through_and_the_setting_is_back() -> None:
    torch.set_num_threads(2)

    def forward(batch: Tensor) -> Tensor:
        if batch[-1] == 99:
            raise RuntimeError("the last share is bad")
        return batch

    with pytest.raises(RuntimeError, match="the last share is bad"):
        in_shares(forward, torch.arange(100)[:, None])
    assert torch.get_num_threads() == 2


def test_an_encoder_gives_the_vectors_it_gives_on_one_thread() -> None:
    model = tiny.clip().build("muc-tiny", 0)
    manifest = EncoderManifest(name="t", title="t", family="clip", architecture="muc-tiny", weights_digest="0" * 64)
    encoder = ClipEncoder(model, manifest)
    images = torch.randint(256, (96, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    texts = [f"drawing number {number}" for number in range(96)]
    torch.set_num_threads(1)
    alone = encoder.encode_images(images), encoder.encode_texts(texts)
    torch.set_num_threads(2)
    torch.testing.assert_close(encoder.encode_images(images), alone[0])
    torch.testing.assert_close(encoder.encode_texts(texts), alone[1])
