"""CIFAR's batches are read, and pickles that would run code are not run."""

import os
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muc_core.data.formats import cifar as module
from muc_core.data.formats.cifar import CIFARS, download_cifar, open_cifar
from muc_core.data.sets import load_dataset
from muc_core.errors import MucError, UnknownName
from tests.data_sets import cifar_pixels, complaint, write_cifar

CIFAR10 = CIFARS.get("cifar10")
PIXELS = cifar_pixels(2)
BATCH = {"data": PIXELS, "labels": [0, 2]}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle(tmp_path: Path, protocol: int) -> None:
    for name in ("cifar10", "cifar100"):
        batches = write_cifar(tmp_path, name, protocol=protocol)
        dataset = load_dataset(f"{name}:{tmp_path}")
        assert load_dataset(str(batches)).digest() == dataset.digest()
        assert torch.equal(dataset.images(32, [0, 1]), torch.from_numpy(PIXELS).reshape(2, 3, 32, 32))
        assert dataset.labels[:2] == ("bird", "cat")


def test_as_python_2_wrote_it(tmp_path: Path) -> None:
    """The published files: protocol 2, texts as bytes, the array's bytes as such."""
    batches = write_cifar(tmp_path, "cifar10")
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03",
            b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87R",
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
            b"T" + struct.pack("<i", PIXELS.nbytes) + PIXELS.tobytes() + b"tb",
        ]
    )
    content = b"\x80\x02}q\x00(U\x04data" + array + b"U\x06labels](K\x00K\x02eU\x0bbatch_labelU\x08batch 1 u."
    (batches / "data_batch_1").write_bytes(content)
    # what NumPy itself reads from it
    assert np.array_equal(pickle.loads(content, encoding="latin1")["data"], PIXELS)
    dataset = open_cifar(tmp_path, CIFAR10)
    assert dataset.labels[:2] == ("bird", "dog")
    assert torch.equal(dataset.images(32, [0, 1]), torch.from_numpy(PIXELS).reshape(2, 3, 32, 32))


class Hostile:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function = function
        self.arguments = arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def hostile(trace: Path) -> dict[str, bytes]:
    command = f"touch {trace}"
    keyed = {**BATCH, "extra": Hostile(os.system, command)}
    return {
        "system": pickle.dumps({**BATCH, "labels": Hostile(os.system, command)}, 2),
        "system beside what is needed": pickle.dumps(keyed, 4),
        "in the place of all": pickle.dumps(Hostile(os.system, command)),
        "eval": pickle.dumps({"data": Hostile(eval, f"open({str(trace)!r}, 'w')"), "labels": []}, 0),
        "old instruction": f"(S{command!r}\nios\nsystem\n.".encode(),
        "another function of numpy": pickle.dumps({**BATCH, "data": Hostile(np.load, str(trace), None, True)}, 2),
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x12ndarray.__reduce__\x93.",
        "an attribute of a stand-in": b"\x80\x04\x8c\x05numpy\x8c\x10dtype.__init__\x93.",
        "an extension": b"\x80\x02\x82\x01.",
        "an object from elsewhere": b"\x80\x02K\x01Q.",
        "state of a class": b"\x80\x02cnumpy\ndtype\n}U\x01aK\x01sb.",
    }


@pytest.mark.parametrize("case", hostile(Path("x")))
@pytest.mark.parametrize("file", ["data_batch_3", "batches.meta"])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, case: str, file: str) -> None:
    trace = tmp_path / "trace"
    batches = write_cifar(tmp_path, "cifar10")
    (batches / file).write_bytes(hostile(trace)[case])
    before = {name: (dict(vars(kind)), kind.__init__) for name, kind in module._STAND_INS.items()}
    with pytest.raises(MucError, match=rf"{file} (is a pickle that would run code|is damaged|has no)") as caught:
        load_dataset(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    assert before == {name: (dict(vars(kind)), kind.__init__) for name, kind in module._STAND_INS.items()}


def test_the_planted_pickle_would_have_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(hostile(trace)["system"])
    assert trace.exists()


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    batches = write_cifar(tmp_path, "cifar10")
    (batches / "test_batch").write_bytes(hostile(tmp_path / "trace")["system"])
    with pytest.raises(MucError, match=r"test_batch is a pickle that would run code .* not|posix\.system") as caught:
        load_dataset(str(tmp_path))
    assert "it asks for posix.system" in str(caught.value)
    assert "nothing in it was run" in str(caught.value)


def test_a_memo_that_would_fill_all_memory(tmp_path: Path) -> None:
    batches = write_cifar(tmp_path, "cifar10")
    (batches / "test_batch").write_bytes(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".")
    with pytest.raises(MucError, match="it asks for too much memory"):
        load_dataset(str(tmp_path))


def test_no_function_of_numpy_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, "cifar10", protocol=4)

    def refuse(*_: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr("numpy._core.multiarray._reconstruct", refuse)
    assert len(open_cifar(tmp_path, CIFAR10)) == 12


def _dtype(name: str) -> Any:
    return PIXELS.astype(name)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([], "holds no dictionary"),
        ({}, r"has no array data of unsigned bytes \[n, 3072\]"),
        ({**BATCH, "data": PIXELS.tolist()}, "has no array data"),
        ({**BATCH, "data": PIXELS[:, :3000]}, "has no array data"),
        ({**BATCH, "data": PIXELS.T.copy().T}, "has no array data"),
        ({**BATCH, "data": _dtype("i1")}, "has no array data"),
        ({**BATCH, "data": _dtype("f4")}, "has no array data"),
        ({**BATCH, "data": PIXELS[:0]}, "has no array data"),
        ({"data": PIXELS}, "has no list labels of whole numbers"),
        ({**BATCH, "labels": [0.5, 1]}, "has no list labels"),
        ({**BATCH, "labels": [True, 1]}, "has no list labels"),
        ({**BATCH, "labels": [0]}, "has 1 labels for 2 pictures"),
        ({**BATCH, "labels": [0, 3]}, "has the label 3; batches.meta names the classes 0 to 2"),
        ({**BATCH, "labels": [-1, 0]}, "has the label -1"),
    ],
)
def test_batches_with_faults(tmp_path: Path, batch: object, message: str) -> None:
    batches = write_cifar(tmp_path, "cifar10")
    (batches / "data_batch_2").write_bytes(pickle.dumps(batch, 3))
    with pytest.raises(MucError, match=rf"data_batch_2 {message}"):
        open_cifar(tmp_path, CIFAR10)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "has no list label_names"),
        ({"label_names": []}, "has no list label_names"),
        ({"label_names": [1]}, "has no list label_names"),
        ({"label_names": [b"\xff"] * 3}, "are not UTF-8"),
    ],
)
def test_names_with_faults(tmp_path: Path, meta: object, message: str) -> None:
    batches = write_cifar(tmp_path, "cifar10")
    (batches / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    with pytest.raises(MucError, match=message):
        open_cifar(tmp_path, CIFAR10)


def test_missing_files(tmp_path: Path) -> None:
    batches = write_cifar(tmp_path, "cifar10")
    (batches / "data_batch_4").unlink()
    with pytest.raises(MucError, match="data_batch_4 is missing; the folder of the batches needs it"):
        load_dataset(str(tmp_path))
    with pytest.raises(MucError, match="holds no folder cifar-100-python with meta"):
        load_dataset(f"cifar100:{tmp_path}")


WHOLE = pickle.dumps(BATCH, 2)
# the array's bytes take nearly all of it, and damage to them only changes pixels
PLACES = [place for _, _, place in pickletools.genops(WHOLE) if place is not None]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 3), st.integers(0, 255)), max_size=6), st.binary())
def test_anything_at_all(tmp_path: Path, changes: list[tuple[int, int, int]], content: bytes) -> None:
    file = tmp_path / "batch"
    damaged = bytearray(WHOLE)
    for place, beside, value in changes:
        damaged[min(place + beside, len(damaged) - 1)] = value
    for candidate in (bytes(damaged), content, b"\x80\x02" + content + b"."):
        file.write_bytes(candidate)
        batches: list[Any] = []
        said = complaint(lambda: batches.append(module._batch(file, CIFAR10, 3)))  # noqa: B023  (called at once)
        assert said is None or "\n" not in said
        for pixels, labels in batches:
            assert pixels.shape == (len(labels), 3, 32, 32)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(0, 5), st.integers(0, 99))
def test_what_is_written_is_read(tmp_path: Path, labels: list[int], protocol: int, seed: int) -> None:
    file = tmp_path / "batch"
    data = cifar_pixels(len(labels), seed)
    file.write_bytes(pickle.dumps({"data": data, "labels": labels}, protocol))
    pixels, read = module._batch(file, CIFAR10, 10)
    assert np.array_equal(pixels.reshape(len(labels), -1), data)
    assert read == labels


def test_download_is_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str, str]] = []

    def fetch(url: str, root: str, *, filename: str, md5: str) -> None:
        asked.append((url, root, filename, md5))
        write_cifar(Path(root), "cifar100")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fetch)
    assert len(load_dataset(str(download_cifar("cifar100", tmp_path)))) == 4
    (url, root, filename, md5) = asked[0]
    from torchvision.datasets import CIFAR100

    assert (url, filename, md5) == (CIFAR100.url, CIFAR100.filename, CIFAR100.tgz_md5)
    assert root == str(tmp_path)
    with pytest.raises(UnknownName, match="known: cifar10, cifar100"):
        download_cifar("cifar", tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", fail)
    with pytest.raises(MucError, match=r"cifar-10-python\.tar\.gz could not be fetched: no route to host"):
        download_cifar("cifar10", tmp_path)
