"""A batch through a model on all threads at hand."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

FEWEST = 32
"""Items that are worth a thread."""

MOST = 64
"""Items at a time: what a layer makes of many more does not stay in the processor's cache."""


def in_shares(forward: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """What `forward` makes of a batch, each share of it computed by one of torch's threads; in order, on the CPU.

    torch would divide each layer among its threads, which wait for one another after every one of a small model's many
    layers. The result is the same, bit for bit, where a layer computes an item alike in a batch of any size.

    Args:
        forward: items `[n, ...]` to vectors `[n, d]`, each on its own; called in several threads at once.
        batch: of a batch on another device, and of one too small to share, nothing is divided.
    """
    threads = torch.get_num_threads()
    shares = 1 if batch.device.type != "cpu" else min(threads, len(batch) // FEWEST)
    if shares <= 1:
        return forward(batch)
    try:
        with ThreadPoolExecutor(shares, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(forward, batch.tensor_split(max(shares, -(-len(batch) // MOST))))))
    finally:
        torch.set_num_threads(threads)  # the setting is also that of all threads to come
