"""Vectors mapped from files: after an audit has read them they take no memory, and nothing in them is lost."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from benchmarks.measure import status_bytes
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.vectors import ImageTextVectors, ViewVectors, release_pages

MB = 2**20


def mapped(path: Path, shape: tuple[int, ...], seed: int, mode: Literal["r", "r+", "c"] = "r") -> np.ndarray:
    np.save(path, np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
    found: np.ndarray = np.load(path, mmap_mode=mode)
    return found


def test_an_audit_lets_go_of_the_files_it_has_read(tmp_path: Path) -> None:
    views, texts = mapped(tmp_path / "views.npy", (20_000, 256), 0), mapped(tmp_path / "texts.npy", (20_000, 256), 1)
    vectors = ImageTextVectors(views[None], texts)
    ids = [str(row) for row in range(20_000)]
    expected = audit(
        ImageTextVectors(np.array(views)[None], np.array(texts)),
        owner_ids=ids[:100],
        control_ids=ids[100:],
        settings=AuditSettings(permutations=99),
    )
    vectors.release()
    before = status_bytes("RssFile")
    found = audit(vectors, owner_ids=ids[:100], control_ids=ids[100:], settings=AuditSettings(permutations=99))
    # the last look, whether owner's pictures are among the controls, reads the pictures once more: 20 of 40 MB
    assert status_bytes("RssFile") - before < 25 * MB
    assert found == expected


def test_pages_of_a_file_come_back_when_they_are_read(tmp_path: Path) -> None:
    views = mapped(tmp_path / "views.npy", (2, 5_000, 256), 0)
    whole = np.array(views)
    held = status_bytes("RssFile")
    ViewVectors(views[:, 10:]).release()  # a part of a file stands for the file
    assert held - status_bytes("RssFile") > 8 * MB
    assert np.array_equal(views, whole)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_what_was_written_to_a_map_stays(mode: Literal["r+", "c"], tmp_path: Path) -> None:
    array = mapped(tmp_path / "a.npy", (50, 16), 0, mode)
    array[3] = 7
    release_pages(array)
    assert (array[3] == 7).all()


def test_arrays_in_memory_are_left_alone() -> None:
    array = np.ones((3, 4))
    release_pages(array[None, 1:])
    assert (array == 1).all()
