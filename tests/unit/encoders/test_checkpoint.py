"""Weight files from anywhere: what is opened, what is refused with a sentence, and that no code of theirs runs."""

import argparse
import io
import os
import pathlib
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import omegaconf
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from muc_core.encoders import checkpoint
from muc_core.encoders.checkpoint import load_torchscript, read_checkpoint
from muc_core.errors import MucError

STATE = {"conv.weight": torch.arange(8.0).reshape(2, 4), "conv.bias": torch.ones(2)}


class Planted:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path, how: Callable[..., object] = os.mkdir) -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return self.how, (str(self.marker),)


class Unknown:
    """A class that no checkpoint of somebody else's can bring along."""

    def __init__(self) -> None:
        self.depth = 3


def saved(path: Path, content: object, *, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(MucError) as caught:
        read_checkpoint(path)
    assert path.name in str(caught.value)
    return str(caught.value)


def same(found: Any, expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


# what is opened


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_state_dict_of_torch_save_is_opened_in_both_formats(zipped: bool, tmp_path: Path) -> None:
    found = read_checkpoint(saved(tmp_path / "a.pt", OrderedDict(STATE), zipped=zipped))
    assert (found.kind, found.name) == ("torch", "a.pt")
    assert same(found.tensors, STATE)


def test_safetensors_are_opened_whatever_they_are_called(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.bin")
    found = read_checkpoint(tmp_path / "a.bin")
    assert found.kind == "safetensors"
    assert same(found.tensors, STATE)


def test_nested_dictionaries_are_joined_by_dots_and_the_optimiser_is_left_out(tmp_path: Path) -> None:
    content = {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": STATE,
        "optimizer": {"state": {0: {"momentum": torch.zeros(2)}}},
        "lr_schedulers": [{"last": 1}],
        "hyper_parameters": {"temperature": 0.5},
    }
    found = read_checkpoint(saved(tmp_path / "a.ckpt", content))
    assert set(found.tensors) == {"state_dict.conv.weight", "state_dict.conv.bias"}
    assert found.facts == {"epoch": 3, "arch": "resnet18", "hyper_parameters.temperature": 0.5}


@pytest.mark.parametrize(
    "extra",
    [
        argparse.Namespace(lr=0.06, folder=pathlib.PurePosixPath("a")),
        omegaconf.OmegaConf.create({"model": {"depth": 18, "parts": [1, 2.5, "x", None, True]}}),
        np.float64(0.5),
        np.int64(3),
        np.arange(3),
        pathlib.Path("data"),
        defaultdict(list, {"loss": [1.0]}),
        defaultdict(dict),
    ],
    ids=["namespace", "omegaconf", "float64", "int64", "array", "path", "lists", "dicts"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_settings_that_training_scripts_keep_do_no_harm(extra: object, zipped: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", {"state_dict": STATE, "hyper_parameters": extra}, zipped=zipped)
    found = read_checkpoint(path)
    assert same({key.removeprefix("state_dict."): value for key, value in found.tensors.items()}, STATE)


def test_what_stands_in_for_settings_is_gone_afterwards(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", {"state_dict": STATE, "args": argparse.Namespace(lr=1)})
    before = torch.serialization.get_safe_globals()
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == set(before)
    with pytest.raises(pickle.UnpicklingError, match="Namespace"):
        torch.load(path, weights_only=True)


# code that must not run


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".onnx.pt"])
def test_a_planted_pickle_does_not_run(suffix: str, zipped: bool, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = saved(tmp_path / f"a{suffix}", {"state_dict": STATE, "hook": Planted(marker)}, zipped=zipped)
    said = refusal(path)
    assert not marker.exists()
    assert "mkdir" in said
    assert "weights_only=False" in said
    assert "save_file" in said
    with path.open("rb") as file:  # the trap would have sprung
        torch.load(file, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_bare_planted_pickle_does_not_run(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": Planted(marker)}, protocol=protocol))
    refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "how", [os.mkdir, os.system, exec, eval, getattr, torch.load, __import__], ids=lambda f: f.__name__
)
def test_no_function_can_be_reached(how: Callable[..., object], tmp_path: Path) -> None:
    path = saved(tmp_path / "a.ckpt", {"state_dict": STATE, "args": argparse.Namespace(x=Planted(tmp_path / "m", how))})
    assert "was not opened" in refusal(path)
    assert not (tmp_path / "m").exists()


def test_a_whole_pickled_model_is_refused_by_the_name_of_its_class(tmp_path: Path) -> None:
    said = refusal(saved(tmp_path / "model.pt", torch.nn.Linear(2, 2)))
    assert "torch.nn.modules.linear.Linear" in said
    assert "state_dict()" in said


def test_a_pickle_called_safetensors_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert "not a readable safetensors file" in refusal(saved(tmp_path / "a.safetensors", {"a": Planted(marker)}))
    assert not marker.exists()


def test_an_unknown_class_is_named(tmp_path: Path) -> None:
    assert "Unknown" in refusal(saved(tmp_path / "a.pt", {"state_dict": STATE, "config": Unknown()}))


# TorchScript


class Writer(torch.nn.Module):
    """Writes a file when it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x


def script(module: torch.nn.Module, path: Path, source: Callable[[str], str] = lambda text: text) -> Path:
    """A TorchScript archive whose program is changed by `source`."""
    with pytest.warns((DeprecationWarning, FutureWarning), match=r"torch\.export"):
        torch.jit.script(module).save(str(path))  # type: ignore[no-untyped-call]
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            held = old.read(entry)
            new.writestr(entry, source(held.decode()).encode() if entry.filename.endswith(".py") else held)
    return path


def test_a_torchscript_archive_is_opened(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    path = script(module, tmp_path / "a.pt")
    found = read_checkpoint(path)
    assert found.kind == "torchscript"
    assert same(found.tensors, module.state_dict())
    x = torch.ones(1, 3)
    assert torch.allclose(load_torchscript(path)(x), module(x))


@pytest.mark.parametrize(
    "hidden",
    [
        "torch.save(x, 'a')",
        "torch . save(x, 'a')",
        "(torch. # a comment\n    save)(x, 'a')",
        "torch.from_file('a')",
        "ops.aten.save(x, 'a')",
        "ops.evil.run(x)",
        "ops . c10d.send(x)",
        "^PythonFunction()(x)",
    ],
)
def test_a_program_that_reaches_outside_is_refused(hidden: str, tmp_path: Path) -> None:
    path = script(torch.nn.Linear(3, 2), tmp_path / "a.pt", lambda text: f"{text}\n    {hidden}\n")
    assert "reaches outside" in refusal(path)


def test_a_program_that_computes_in_uncommon_ways_is_allowed(tmp_path: Path) -> None:
    class Saver(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            saved_from = x + 1
            found: torch.Tensor = torch.fft.rfft(saved_from).abs()
            return found

    with pytest.warns((DeprecationWarning, FutureWarning), match=r"torch\.export"):
        torch.jit.trace(Saver(), torch.ones(1, 4)).save(str(tmp_path / "a.pt"))  # type: ignore[no-untyped-call]
    assert load_torchscript(tmp_path / "a.pt")(torch.ones(1, 4)).shape == (1, 3)


def test_a_state_dict_is_not_taken_for_torchscript(tmp_path: Path) -> None:
    with pytest.raises(MucError, match=r"torch\.jit"):
        load_torchscript(saved(tmp_path / "a.pt", STATE))


# damaged, huge and odd files


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "torchscript"])
def test_a_file_cut_short_is_refused(kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    if kind == "safetensors":
        save_file(STATE, whole)
    elif kind == "torchscript":
        script(torch.nn.Linear(3, 2), whole)
    else:
        saved(whole, STATE, zipped=kind == "zip")
    content = whole.read_bytes()
    for length in (1, 7, 9, 40, len(content) // 2, len(content) - 1):
        path = tmp_path / "cut.pt"
        path.write_bytes(content[:length])
        refusal(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\0" * 10_000_000)
    assert path.stat().st_size < 100_000
    assert "compressed" in refusal(path)
    monkeypatch.setattr(checkpoint, "MAX_FILE_BYTES", 5_000_000)
    assert "unpack" in refusal(path)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_FILE_BYTES", 100)
    assert "GiB" in refusal(saved(tmp_path / "a.pt", STATE))


@pytest.mark.parametrize("length", [2**20, 100_000_000, 2**40, 2**63])
def test_a_huge_safetensors_header_is_refused(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a":' + b" " * 100)
    refusal(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.ones(3), "single tensor"),
        ([torch.ones(3)], "list"),
        ({"epoch": 1}, "no tensors"),
        ({"a": torch.ones(3).to_sparse()}, "sparse"),
        ({"a": torch.ones(1).expand(10**12)}, "larger than its content"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "complex"),
        ({"a": torch.empty(2, device="meta")}, "without content"),
    ],
)
def test_what_is_no_state_dict_is_refused(content: object, said: str, tmp_path: Path) -> None:
    assert said in refusal(saved(tmp_path / "a.pt", content))


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89HDF\r\n\x1a\n", b"PK\x05\x06" + b"\0" * 18, b"\x80", b"\0" * 600]
)
def test_files_of_another_kind_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.weights"
    path.write_bytes(content)
    refusal(path)


def test_archives_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(3))
    assert "zip archive" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MucError, match="no file"):
        read_checkpoint(tmp_path / "a.pt")
    with pytest.raises(MucError, match="cannot be read"):
        read_checkpoint(tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from([b"", b"\x80\x02", b"\x80\x02}q\x00", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{", b"\x08\x07"]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_are_opened_or_refused(start: bytes, rest: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pt"
    path.write_bytes(start + rest)
    with suppress(MucError):
        read_checkpoint(path)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), zipped=st.booleans())
def test_a_changed_byte_is_survived(
    place: int, value: int, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = saved(tmp_path_factory.getbasetemp() / "changed.pt", {"state_dict": STATE, "a": 1}, zipped=zipped)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    with suppress(MucError):
        read_checkpoint(path)


def test_a_damaged_program_is_told_without_addresses_in_memory(tmp_path: Path) -> None:
    path = script(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    content = path.read_bytes()
    place = content.index(b"\x80\x02c__torch__")  # where the pickle of the program's weights begins
    path.write_bytes(content[: place + 2] + b"\xf1" + content[place + 3 :])
    with pytest.raises(MucError, match="Unknown opcode for unpickling: 241") as refusal:
        read_checkpoint(path)
    assert "0x" not in str(refusal.value)
