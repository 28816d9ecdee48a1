"""Vectors in shards on the disk: those of one piece, gone on with after a break, and refused for something else."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from muc_core.encoders import shards
from muc_core.encoders.embed import embed_images
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.shards import embedded_on_disk
from muc_core.errors import MucError
from tests import tiny

VECTORS = torch.randn(23, 5, generator=torch.Generator().manual_seed(0))


class Embedder:
    """Hands out vectors, remembers for which items, and breaks at a given call."""

    def __init__(self, breaks_at: int | None = None) -> None:
        self.asked: list[range] = []
        self.breaks_at = breaks_at

    def __call__(self, rows: range) -> Tensor:
        if len(self.asked) == self.breaks_at:
            raise KeyboardInterrupt
        self.asked.append(rows)
        return VECTORS[rows.start : rows.stop]


def test_shards_are_the_whole_and_are_embedded_once(tmp_path: Path) -> None:
    embed = Embedder()
    for _ in range(2):
        found = embedded_on_disk(tmp_path / "new", 23, embed, of="x", shard=4)
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, VECTORS.numpy())
    assert embed.asked == [range(start, min(start + 4, 23)) for start in range(0, 23, 4)]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"vectors.npy", "vectors.json"}


def test_a_broken_run_is_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        embedded_on_disk(tmp_path, 23, Embedder(breaks_at=2), of="x", shard=4)
    rest = Embedder()
    np.testing.assert_array_equal(embedded_on_disk(tmp_path, 23, rest, of="x", shard=4), VECTORS.numpy())
    assert [rows.start for rows in rest.asked] == [8, 12, 16, 20]


def test_each_of_two_processes_embeds_every_other_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: Iterator[int] = iter([1, 1])  # the second process asks twice: for its shards, and whether to join them
    second, first = Embedder(), Embedder()
    with monkeypatch.context() as patch:
        patch.setattr(shards, "world_size", lambda: 2)
        patch.setattr(shards, "wait_for_all", lambda: None)
        patch.setattr(shards, "rank", lambda: next(numbers))
        with pytest.raises(FileNotFoundError):
            embedded_on_disk(tmp_path, 23, second, of="x", shard=4)  # the first has not joined them yet
    assert [rows.start for rows in second.asked] == [4, 12, 20]
    np.testing.assert_array_equal(embedded_on_disk(tmp_path, 23, first, of="x", shard=4), VECTORS.numpy())
    assert [rows.start for rows in first.asked] == [0, 8, 16]


@pytest.mark.parametrize(("n", "of"), [(22, "x"), (23, "another encoder")])
def test_vectors_of_something_else_are_refused(n: int, of: str, tmp_path: Path) -> None:
    embedded_on_disk(tmp_path, 23, Embedder(), of="x", shard=4)
    with pytest.raises(MucError, match="something else"):
        embedded_on_disk(tmp_path, n, Embedder(), of=of, shard=4)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MucError, match="file"):
        embedded_on_disk(tmp_path / "file", 23, Embedder(), of="x")


def test_rows_of_a_set_are_embedded_as_in_the_whole() -> None:
    family, data = tiny.clip(), tiny.dataset(9)
    manifest = EncoderManifest(name="t", title="t", family="clip", architecture="muc-tiny")
    encoder = family.encoder(family.build("muc-tiny", 0).state_dict(), manifest)
    whole = embed_images(encoder, data)
    torch.testing.assert_close(embed_images(encoder, data, rows=range(3, 8), batch_size=2), whole[3:8])
