"""What a fingerprint of picture files covers, and which of many files are looked for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muc_core.data import pictures as module
from muc_core.data.pictures import FilePictures, check_files, sampled_fingerprint
from muc_core.errors import BadImage, MucError
from tests.hostile import png

FILES = [bytes([number]) * (number + 1) for number in range(20)]


def fingerprint(files: list[bytes]) -> bytes:
    return sampled_fingerprint(np.array([len(file) for file in files], dtype=np.int64), lambda row: files[row])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=30), st.data())
def test_a_few_files_are_covered_whole(files: list[bytes], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(files) - 1))
    other = data.draw(st.binary(max_size=9).filter(lambda content: content != files[row]))
    assert fingerprint(files) == fingerprint(list(files))
    assert fingerprint([*files[:row], other, *files[row + 1 :]]) != fingerprint(files)


def test_of_many_files_all_sizes_and_some_contents_are_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLED", 3)
    read: list[int] = []

    def reader(row: int) -> bytes:
        read.append(row)
        return FILES[row]

    sizes = np.array([len(file) for file in FILES], dtype=np.int64)
    whole = sampled_fingerprint(sizes, reader)
    assert read == [0, 9, 19]
    for row in range(20):
        longer = [*FILES[:row], FILES[row] + b"x", *FILES[row + 1 :]]
        assert fingerprint(longer) != whole
        changed = [*FILES[:row], b"?" * (row + 1), *FILES[row + 1 :]]
        assert (fingerprint(changed) != whole) == (row in read)


def test_fingerprints_of_files(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    names = [f"{number}.png" for number in range(3)]
    pictures = FilePictures(tmp_path, names, names)
    assert len(pictures) == 3
    assert pictures.fingerprint([0, 1]) != pictures.fingerprint([1, 0])
    (tmp_path / "1.png").unlink()
    pictures.fingerprint([0, 2])
    with pytest.raises(BadImage, match=r"the picture 1\.png cannot be read from .*No such file"):
        pictures.fingerprint([0, 1])
    with pytest.raises(BadImage, match="cannot be read"):
        FilePictures(tmp_path, ["nul\0"], ["nul"]).read(0)


def test_of_many_files_some_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLED", 2)
    for name in ("a", "c"):
        (tmp_path / name).write_bytes(b"")
    check_files(tmp_path, ["a", "b", "c"], str)
    with pytest.raises(MucError, match=r"^3: there is no picture 'b' in .*\?images=FOLDER"):
        check_files(tmp_path, ["a", "a", "c", "b"], str)
