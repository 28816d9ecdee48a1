"""Weight files: pickles that run code, lying headers, models that read files, never end, or ask for all memory."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.hostile.case import Case, Expected, written
from tests.hostile.pictures import flipped

COMMAND = "touch EXECUTED"


def cases() -> Iterator[Case]:
    for name, make in PICKLES.items():
        yield Case(f"pickle_{name}", "weights", written("model.pt", make))
        yield Case(f"pickle_{name}_in_zip", "weights", written("model.ckpt", partial(_archived, make)))
    for name, (make, expected) in _STATES.items():
        yield Case(f"torch_{name}", "weights", written("model.pth", make), expected)
    for name, (make, expected) in _SAFETENSORS.items():
        yield Case(f"safetensors_{name}", "weights", written("model.safetensors", make), expected)
    for name, (build, expected) in _ONNX.items():
        yield Case(f"onnx_{name}", "weights", build, expected)
    for name, (build, expected) in _TEXT_TOWERS.items():
        yield Case(name, "text tower", build, expected)
    for name, (make, expected) in _PROGRAMS.items():
        yield Case(f"torchscript_{name}", "weights", written("model.pt", make), expected)
    for name, (build, expected) in _FOLDERS.items():
        yield Case(f"folder_{name}", "weights", build, expected)
    for name, make in _OTHERS.items():
        yield Case(f"other_{name}", "weights", written("model.bin", make))


# pickles


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


def calls_system() -> object:
    """An object that runs a command when it is unpickled."""
    return _Calls(os.system, COMMAND)


PICKLES: dict[str, Callable[[], bytes]] = {
    "system": lambda: pickle.dumps(_Calls(os.system, COMMAND), 2),
    "system_in_a_state": lambda: pickle.dumps({"state_dict": {}, "epoch": _Calls(os.system, COMMAND)}, 4),
    "popen": lambda: pickle.dumps(_Calls(subprocess.Popen, COMMAND.split()), 2),
    "eval": lambda: pickle.dumps(_Calls(eval, f"__import__('os').system({COMMAND!r})"), 2),
    "exec": lambda: pickle.dumps(_Calls(exec, "open('EXECUTED', 'w')"), 2),
    "open": lambda: pickle.dumps(_Calls(open, "EXECUTED", "w"), 2),
    "getattr": lambda: pickle.dumps(_Calls(getattr, "", "format"), 2),
    "import": lambda: pickle.dumps(_Calls(__import__, "antigravity"), 2),
    "torch_load": lambda: pickle.dumps(_Calls(torch.load, "/etc/passwd"), 2),
    "numpy_load": lambda: pickle.dumps(_Calls(np.load, "/etc/passwd", None, True), 2),
    "old_instruction": lambda: f"(S'{COMMAND}'\nios\nsystem\n.".encode(),
    "global_only": lambda: b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
    "dotted": lambda: b"\x80\x04\x8c\x05torch\x8c\x0dnn.os.system\x93\x8c\x0etouch EXECUTED\x85R.",
    "extension": lambda: b"\x80\x02\x82\x01.",
    "persistent": lambda: b"\x80\x02X\x01\x00\x00\x00aQ.",
    "memo_of_2_gb": lambda: b"\x80\x02]r\xff\xff\xff\x7f.",
    "bytes_of_4_gb": lambda: b"\x80\x03B\xff\xff\xff\xff.",
    "frame_of_16_eb": lambda: b"\x80\x04\x95" + b"\xff" * 8 + b"K\x01.",
    "deep": lambda: b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
    "billion_laughs": lambda: b"\x80\x02" + b"](" * 40 + b"K\x01" + b"t2" * 40 + b".",
    "big_integer": lambda: b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "protocol_99": lambda: b"\x80\x63K\x01.",
    "no_stop": lambda: b"\x80\x02K\x01",
}


def _archived(make: Callable[[], bytes]) -> bytes:
    """The pickle in the archive that torch.save writes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", make())
        archive.writestr("model/version", b"3\n")
    return stream.getvalue()


def _saved(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _resnet() -> dict[str, Tensor]:
    import torchvision

    torch.manual_seed(0)
    state: dict[str, Tensor] = torchvision.models.resnet18(weights=None).state_dict()
    return state


def _resnet_of(value: float) -> dict[str, Tensor]:
    return {
        name: torch.full_like(tensor, value) if tensor.is_floating_point() else tensor
        for name, tensor in _resnet().items()
    }


@cache
def _sound_state() -> bytes:
    return _saved(_resnet())


def _repacked(change: Callable[[str, bytes], tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_saved({"w": torch.ones(4)}))) as old, zipfile.ZipFile(stream, "w", method) as new:
        for member in old.infolist():
            new.writestr(*change(member.filename, old.read(member)))
    return stream.getvalue()


_STATES: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound": (_sound_state, "used"),
    "compressed": (lambda: _repacked(lambda name, data: (name, data), zipfile.ZIP_DEFLATED), "refused"),
    "climbs": (lambda: _repacked(lambda name, data: ("../../" + name, data)), "refused"),
    "storage_cut": (lambda: _repacked(lambda name, data: (name, data[:4] if "data/" in name else data)), "refused"),
    "storage_missing": (lambda: _repacked(lambda name, data: (name.replace("/data/0", "/data/9"), data)), "refused"),
    "cut": (lambda: _sound_state()[: len(_sound_state()) // 2], "refused"),
    "expanded": (lambda: _saved({f"w{n}": torch.zeros(1).expand(10**9) for n in range(50)}), "refused"),
    "views_of_one": (lambda: _saved({f"w{n}": torch.zeros(1000)[n:] for n in range(900)}), "refused"),
    "sparse": (
        lambda: _saved({"w": torch.ones(4).to_sparse()}),
        "refused",
    ),
    "meta": (lambda: _saved({"w": torch.empty(10**12, device="meta")}), "refused"),
    "quantised": (lambda: _saved({"w": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}), "refused"),
    "complex": (lambda: _saved({"w": torch.ones(4, dtype=torch.complex64)}), "refused"),
    "not_finite": (lambda: _saved(_resnet_of(float("nan"))), "refused"),
    "huge_numbers": (lambda: _saved(_resnet_of(1e38)), "refused"),
    "empty": (lambda: _saved({}), "refused"),
    "a_list": (lambda: _saved([torch.ones(1)] * 10), "refused"),
    "one_tensor": (lambda: _saved(torch.ones(10)), "refused"),
    "100001_entries": (lambda: _saved({f"w{n}": 0 for n in range(100_001)}), "refused"),
    "deep": (lambda: _saved(_deep(400)), "refused"),
    "itself": (lambda: _saved(_itself()), "refused"),
    "terminal_names": (lambda: _saved({"\x1b]0;owned\x07": torch.ones(1)}), "refused"),
    "long_names": (lambda: _saved({"x" * 10_000_000: torch.ones(1)}), "refused"),
    "formula_names": (lambda: _saved({"=1+1": torch.ones(1), "<script>": torch.ones(2)}), "refused"),
    "old_format": (lambda: _old(), "refused"),
    **{
        f"flipped_{seed}": (
            partial(lambda s: flipped(_saved({"conv1.weight": torch.ones(64, 3, 7, 7)}), s, 0.0005), seed),
            "refused",
        )
        for seed in range(8)
    },
}


def _deep(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {"w": torch.ones(1)}
    for _ in range(depth):
        content = {"a": content}
    return content


def _itself() -> dict[str, Any]:
    content: dict[str, Any] = {"w": torch.ones(1)}
    content["again"] = content
    return content


def _old() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.ones(4)}, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()[:-10]


# safetensors


def _header(content: object, data: bytes = b"", length: int | None = None) -> bytes:
    told = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(told) if length is None else length) + told + data


def _one(dtype: str = "F32", shape: Sequence[int] = (2,), offsets: Sequence[int] = (0, 8)) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


_SAFETENSORS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "header_of_16_eb": (lambda: _header(_one(), bytes(8), 2**64 - 1), "refused"),
    "header_of_100_mb": (lambda: _header(_one(), bytes(8), 100_000_000), "refused"),
    "header_longer_than_the_file": (lambda: _header(_one(), bytes(8), 9999), "refused"),
    "header_of_spaces": (lambda: _header(b"{" + b" " * 90_000_000 + b"}"), "refused"),
    "header_of_keys": (
        lambda: _header({f"k{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(150_000)}),
        "refused",
    ),
    "header_deep": (lambda: _header(b'{"a":' * 200_000), "refused"),
    "header_a_list": (lambda: _header(b"[]"), "refused"),
    "header_no_utf_8": (lambda: _header(b'{"\xff":1}'), "refused"),
    "header_keys_twice": (
        lambda: _header(
            b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
            bytes(8),
        ),
        "refused",
    ),
    "offsets_behind_the_end": (lambda: _header(_one(offsets=(0, 2**40)), bytes(8)), "refused"),
    "offsets_backwards": (lambda: _header(_one(offsets=(8, 0)), bytes(8)), "refused"),
    "offsets_overlap": (lambda: _header({**_one(), "v": _one()["w"]}, bytes(8)), "refused"),
    "offsets_negative": (lambda: _header(_one(offsets=(-8, 0)), bytes(8)), "refused"),
    "hole": (lambda: _header(_one(), bytes(8_000_000)), "refused"),
    "shape_overflows": (lambda: _header(_one(shape=(2**33, 2**33)), bytes(8)), "refused"),
    "shape_negative": (lambda: _header(_one(shape=(-2,)), bytes(8)), "refused"),
    "shape_of_100000": (lambda: _header(_one(shape=[1] * 100_000 + [2]), bytes(8)), "refused"),
    "shape_zero": (lambda: _header(_one(shape=(0, 2**62), offsets=(0, 0))), "refused"),
    "dtype_unknown": (lambda: _header(_one(dtype="OBJECT"), bytes(8)), "refused"),
    "dtype_of_4_bits": (lambda: _header(_one(dtype="F4", shape=(16,)), bytes(8)), "refused"),
    "dtype_of_8_bits": (lambda: _header(_one(dtype="F8_E4M3", shape=(8,)), bytes(8)), "refused"),
    "metadata_a_number": (lambda: _header({"__metadata__": 7, **_one()}, bytes(8)), "refused"),
    "metadata_terminal": (lambda: _header({"__metadata__": {"a": "\x1b[2J"}, **_one()}, bytes(8)), "refused"),
    "names_terminal": (lambda: _header({"\x1b]0;owned\x07\n": _one()["w"]}, bytes(8)), "refused"),
    "names_surrogate": (
        lambda: _header(b'{"\\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "refused",
    ),
    "empty": (lambda: _header({}), "refused"),
    "cut": (lambda: _header(_one(), bytes(4)), "refused"),
    "pickle_behind": (lambda: _header(_one(), bytes(8) + pickle.dumps(_Calls(os.system, COMMAND))), "refused"),
    "resnet_of_strings": (
        lambda: _header(
            {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}}, bytes(37632)
        ),
        "refused",
    ),
}


# ONNX

FLOAT = TensorProto.FLOAT


def _graph(
    nodes: list[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    outputs: Sequence[str] = ("vectors",),
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 17,
    kind: int = FLOAT,
    shape: Sequence[int | str] = ("n", 3, 16, 16),
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("pixels", kind, list(shape))],
        [helper.make_tensor_value_info(name, FLOAT, ["n", "d"]) for name in outputs],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("local", 1)] if functions else [])]
    content: bytes = helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=list(functions)
    ).SerializeToString()
    return content


def _mean(
    *, after: Sequence[onnx.NodeProto] = (), weights: Sequence[onnx.TensorProto] = (), last: str = "means", **more: Any
) -> bytes:
    """The mean of each colour, to which something is done."""
    nodes = [helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[2, 3], keepdims=0), *after]
    return _graph([*nodes, helper.make_node("Identity", [last], ["vectors"])], weights, **more)


def _external(location: str, length: int = 64) -> bytes:
    """A weight that lies in another file."""
    weight = TensorProto(name="weight", data_type=FLOAT, dims=[3, length // 12], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", str(length // 12 * 12))):
        weight.external_data.add(key=key, value=value)
    return _mean(after=[helper.make_node("MatMul", ["means", "weight"], ["product"])], weights=[weight], last="product")


def _allocates(*lengths: int) -> bytes:
    """Adds the sum of a tensor of ones of this shape."""
    shape = numpy_helper.from_array(np.array(lengths, np.int64), "shape")
    one = numpy_helper.from_array(np.ones(1, np.float32))
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["many"], value=one),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("Add", ["means", "sum"], ["all"]),
    ]
    return _mean(after=nodes, weights=[shape], last="all")


def _endless() -> bytes:
    """A loop of 2^62 turns."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["still"]), helper.make_node("Add", ["sum", "sum"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", FLOAT, None),
        ],
    )
    weights = [numpy_helper.from_array(np.array(2**62), "turns"), numpy_helper.from_array(np.array(True), "yes")]
    return _mean(
        after=[helper.make_node("Loop", ["turns", "yes", "means"], ["all"], body=body)], weights=weights, last="all"
    )


def _calls_itself() -> bytes:
    function = helper.make_function(
        "local",
        "Again",
        ["x"],
        ["y"],
        [helper.make_node("Again", ["x"], ["y"], domain="local")],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )
    return _mean(
        after=[helper.make_node("Again", ["means"], ["all"], domain="local")], last="all", functions=[function]
    )


def _doubling_functions(depth: int = 30) -> bytes:
    """Each function calls the next one twice: 2^30 nodes when all is put in place."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = []
    for number in range(depth):
        inner = f"F{number + 1}"
        domain = {"domain": "local"} if number + 1 < depth else {}
        name = inner if number + 1 < depth else "Relu"
        nodes = [helper.make_node(name, ["x"], ["m"], **domain), helper.make_node(name, ["m"], ["y"], **domain)]
        functions.append(helper.make_function("local", f"F{number}", ["x"], ["y"], nodes, opsets))
    return _mean(after=[helper.make_node("F0", ["means"], ["all"], domain="local")], last="all", functions=functions)


def _nested(depth: int) -> bytes:
    """Branches inside branches."""
    yes = numpy_helper.from_array(np.array(True), "yes")
    inner = [helper.make_node("Identity", ["means"], ["out"])]
    result = [helper.make_tensor_value_info("out", FLOAT, None)]
    for _ in range(depth):
        graph = helper.make_graph(inner, "g", [], result)
        other = helper.make_graph([helper.make_node("Identity", ["means"], ["out"])], "h", [], result)
        inner = [helper.make_node("If", ["yes"], ["out"], then_branch=graph, else_branch=other)]
    return _mean(after=inner, weights=[yes], last="out")


def _chain(count: int) -> bytes:
    names = ["means", *(f"m{n}" for n in range(count))]
    return _mean(after=[helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)], last=names[-1])


def _cycle() -> bytes:
    nodes = [helper.make_node("Add", ["means", "b"], ["a"]), helper.make_node("Add", ["means", "a"], ["b"])]
    return _mean(after=nodes, last="b")


def _raw_weight(dims: Sequence[int], raw: bytes, kind: int = FLOAT) -> bytes:
    weight = TensorProto(name="weight", data_type=kind, dims=list(dims), raw_data=raw)
    return _mean(after=[helper.make_node("MatMul", ["means", "weight"], ["product"])], weights=[weight], last="product")


def _plain(make: Callable[[], bytes], name: str = "model.onnx") -> Callable[[Path], Path]:
    return written(name, make)


def _external_beside(folder: Path) -> Path:
    (folder / "weights.bin").write_bytes(bytes(60))
    return written("model.onnx", lambda: _external("weights.bin"))(folder)


def _external_link(folder: Path) -> Path:
    (folder / "weights.bin").symlink_to("/etc/passwd")
    return written("model.onnx", lambda: _external("weights.bin"))(folder)


_ONNX: dict[str, tuple[Callable[[Path], Path], Expected]] = {
    "sound": (_plain(_mean), "used"),
    "external_absolute": (_plain(lambda: _external("/etc/passwd")), "refused"),
    "external_climbs": (_plain(lambda: _external("../../../../../../../etc/passwd")), "refused"),
    "external_device": (_plain(lambda: _external("/dev/zero", 2**31)), "refused"),
    "external_url": (_plain(lambda: _external("http://169.254.169.254/latest")), "refused"),
    "external_missing": (_plain(lambda: _external("weights.bin")), "refused"),
    "external_memory": (_plain(lambda: _external("*/_ORT_MEM_ADDR_/*")), "refused"),
    "external_beside": (_external_beside, "refused"),
    "external_link": (_external_link, "refused"),
    "asks_for_40_gb": (_plain(lambda: _allocates(10, 10**9)), "refused"),
    "asks_for_3_gb": (_plain(lambda: _allocates(3, 2**28)), "refused"),
    "asks_for_exabytes": (_plain(lambda: _allocates(2**40, 2**40)), "refused"),
    "asks_for_less_than_nothing": (_plain(lambda: _allocates(-5)), "refused"),
    "endless_loop": (_plain(_endless), "refused"),
    "function_calls_itself": (_plain(_calls_itself), "refused"),
    "functions_double": (_plain(_doubling_functions), "refused"),
    "branches_15_deep": (_plain(lambda: _nested(15)), "either"),
    "branches_2000_deep": (_plain(lambda: _nested_bytes(2000)), "refused"),
    "chain_of_100000": (_plain(lambda: _chain(100_000)), "either"),
    "cycle": (_plain(_cycle), "refused"),
    "custom_operator": (
        _plain(lambda: _mean(after=[helper.make_node("Shell", ["means"], ["all"], domain="evil")], last="all")),
        "refused",
    ),
    "operator_unknown": (
        _plain(lambda: _mean(after=[helper.make_node("System", ["means"], ["all"])], last="all")),
        "refused",
    ),
    "opset_9999": (_plain(lambda: _mean(opset=9999)), "refused"),
    "weight_shorter_than_its_shape": (_plain(lambda: _raw_weight((3, 10**6), bytes(8))), "refused"),
    "weight_of_exabytes": (_plain(lambda: _raw_weight((2**31, 2**31), bytes(8))), "refused"),
    "weight_negative": (_plain(lambda: _raw_weight((-3, -4), bytes(48))), "refused"),
    "weight_of_strings": (_plain(lambda: _raw_weight((3, 4), bytes(48), TensorProto.STRING)), "refused"),
    "pictures_of_10_dimensions": (_plain(lambda: _mean(shape=["n", *[3] * 9])), "refused"),
    "pictures_of_2_billion": (_plain(lambda: _mean(shape=["n", 3, 2**31 - 1, 2**31 - 1])), "refused"),
    "batch_of_2_billion": (_plain(lambda: _mean(shape=[2**31 - 1, 3, 16, 16])), "refused"),
    "pictures_of_text": (_plain(lambda: _mean(kind=TensorProto.STRING)), "refused"),
    "two_outputs": (
        _plain(
            lambda: _graph(
                [helper.make_node("ReduceMean", ["pixels"], [n], axes=[2, 3], keepdims=0) for n in "ab"], outputs="ab"
            )
        ),
        "refused",
    ),
    "no_graph": (_plain(lambda: b"\x08\x09"), "refused"),
    "empty": (_plain(lambda: b""), "refused"),
    "noise": (_plain(lambda: np.random.default_rng(0).bytes(5000)), "refused"),
    "names_terminal": (
        _plain(lambda: _mean(after=[helper.make_node("X\x1b[2J", ["means"], ["all"])], last="all")),
        "refused",
    ),
    **{
        f"flipped_{seed}": (
            _plain(partial(lambda s: flipped(_raw_weight((3, 400), bytes(4800)), s, 0.0005), seed)),
            "either",
        )
        for seed in range(10)
    },
    "cut": (_plain(lambda: _raw_weight((3, 400), bytes(4800))[:3000]), "refused"),
}


def _nested_bytes(depth: int) -> bytes:
    """As `_nested`, written by hand: graph, node, attribute, graph and so on."""
    content = b""
    for _ in range(depth):
        for field in (b"\x32", b"\x2a", b"\x0a"):
            content = field + _varint(len(content)) + content
    return b"\x08\x09\x3a" + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _with_image_tower(make: Callable[[], bytes]) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "image.onnx").write_bytes(_mean())
        (folder / "text.onnx").write_bytes(make())
        return folder / "text.onnx"

    return build


_TEXT_TOWERS: dict[str, tuple[Callable[[Path], Path], Expected]] = {
    "an_image_tower": (_with_image_tower(_mean), "refused"),
    "external": (_with_image_tower(lambda: _external("/etc/passwd")), "refused"),
    "endless_loop": (_with_image_tower(_endless), "refused"),
    "noise": (_with_image_tower(lambda: np.random.default_rng(1).bytes(5000)), "refused"),
    "pickle": (_with_image_tower(PICKLES["system"]), "refused"),
}


# TorchScript


class _Weighted(nn.Module):
    """An archive without a tensor is no model."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


class _Means(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.weight


class _Endless(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        total = x.mean((2, 3))
        while bool(total.sum() == total.sum()):
            total = total * 1.0000001
        return total


class _Hungry(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x.mean((2, 3)) + torch.ones([10, 1000000000]).sum()
        return found


class _Fatter(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for _ in range(1000):
            kept.append(torch.ones([16777216]))
        return x.mean((2, 3)) + torch.stack(kept).sum()


class _Raises(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        if bool(x.sum() == x.sum()):
            raise ValueError("\x1b[2J<script>alert(1)</script>")
        return x


class _Prints(_Weighted):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(10_000):
            print("a long line that nobody asked for")
        return x.mean((2, 3))


def _scripted(module: nn.Module) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(module), stream)
    return stream.getvalue()


def _rewritten(change: Callable[[str], str]) -> bytes:
    """An exported program whose source is changed afterwards."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_scripted(_Means()))) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith(".py"):
                data = change(data.decode()).encode()
            new.writestr(member.filename, data)
    return stream.getvalue()


def _calling(line: str) -> Callable[[], bytes]:
    return lambda: _rewritten(lambda source: source.replace("return ", f"{line}\n    return ", 1))


_PROGRAMS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound": (lambda: _scripted(_Means()), "used"),
    "endless": (lambda: _scripted(_Endless()), "refused"),
    "asks_for_40_gb": (lambda: _scripted(_Hungry()), "refused"),
    "takes_more_and_more": (lambda: _scripted(_Fatter()), "refused"),
    "raises": (lambda: _scripted(_Raises()), "refused"),
    "prints": (lambda: _scripted(_Prints()), "either"),
    "saves": (_calling('_0 = ops.aten.save(x, "EXECUTED")'), "refused"),
    "saves_spelt": (_calling('_0 = torch . save (x, "EXECUTED")'), "refused"),
    "reads": (_calling('_0 = torch.from_file("/etc/passwd", False, 10)'), "refused"),
    "foreign_operator": (_calling("_0 = ops.evil.run(x)"), "refused"),
    "python_operator": (_calling("_0 = ^os_system(0)(x)"), "refused"),
    "remote_call": (_calling('_0 = rpc_async("x", x)'), "refused"),
    "calls_itself": (_calling("_0 = self.forward(x)"), "refused"),
    "broken_source": (lambda: _rewritten(lambda source: source + "\ndef (((" * 1000), "refused"),
    "deep_source": (lambda: _rewritten(lambda source: source + "\n_9 = " + "(" * 100_000), "refused"),
    "no_utf_8": (lambda: _rewritten(lambda source: source).replace(b"class", b"cl\xffss"), "refused"),
    "cut": (lambda: _scripted(_Means())[:900], "refused"),
    "pickle_constants": (lambda: _constants(PICKLES["system"]()), "refused"),
    **{
        f"flipped_{seed}": (partial(lambda s: flipped(_scripted(_Means()), s, 0.001), seed), "either")
        for seed in range(8)
    },
}


def _constants(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_scripted(_Means()))) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, content if member.filename.endswith(".pkl") else old.read(member))
    return stream.getvalue()


# folders, and what is no weight file


def _encoder_folder(manifest: object, **files: bytes) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "manifest.json").write_bytes(
            manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        )
        for name, content in files.items():
            (folder / name.replace("_dot_", ".")).write_bytes(content)
        return folder

    return build


def _manifest(**changed: object) -> dict[str, object]:
    plain = {
        "name": "theirs",
        "title": "theirs",
        "family": "onnx",
        "architecture": "onnx",
        "weights_digest": "0",
        "files": {},
    }
    return {**plain, **changed}


def _open_clip_folder(config: bytes, weights: bytes = b"") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        (folder / "open_clip_config.json").write_bytes(config)
        (folder / "open_clip_model.safetensors").write_bytes(weights)
        return folder

    return build


_FOLDERS: dict[str, tuple[Callable[[Path], Path], Expected]] = {
    "climbs": (_encoder_folder(_manifest(files={"../../../etc/passwd": "0" * 64})), "refused"),
    "absolute": (_encoder_folder(_manifest(files={"/etc/passwd": "0" * 64})), "refused"),
    "device": (_encoder_folder(_manifest(files={"/dev/zero": "0" * 64})), "refused"),
    "name_climbs": (_encoder_folder(_manifest(name="../../evil")), "refused"),
    "family_unknown": (_encoder_folder(_manifest(family="os.system")), "refused"),
    "manifest_deep": (_encoder_folder(b"[" * 500_000), "refused"),
    "manifest_binary": (_encoder_folder(b"\xff" * 1000), "refused"),
    "manifest_of_80_mb": (_encoder_folder(b"[" + b"{}," * 27_000_000 + b"{}]"), "refused"),
    "manifest_more": (_encoder_folder(_manifest(surprise=1)), "refused"),
    "remote_inside": (
        _encoder_folder(_manifest(family="remote"), remote_dot_json=b'{"url": "http://169.254.169.254/"}'),
        "refused",
    ),
    "open_clip_unknown": (_open_clip_folder(b'{"model_cfg": {"embed_dim": 7}}'), "refused"),
    "open_clip_deep": (_open_clip_folder(b'{"model_cfg":' * 100_000), "refused"),
    "open_clip_list": (_open_clip_folder(b"[]"), "refused"),
    "empty": (lambda folder: folder, "refused"),
}

_OTHERS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "noise": lambda: np.random.default_rng(2).bytes(100_000),
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(1000),
    "gguf": lambda: b"GGUF\x03\x00\x00\x00" + b"\xff" * 16,
    "numpy_objects": lambda: _numpy_objects(),
    "tar": lambda: b"a".ljust(257, b"\0") + b"ustar".ljust(255, b"\0"),
    "script": lambda: f"#!{sys.executable}\nopen('EXECUTED', 'w')\n".encode(),
    "elf": lambda: b"\x7fELF\x02\x01\x01" + bytes(1000),
    "html": lambda: b"<!doctype html><script>alert(1)</script>",
    "lfs_pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
}


def _numpy_objects() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([_Calls(os.system, COMMAND)], object), allow_pickle=True)
    return stream.getvalue()
