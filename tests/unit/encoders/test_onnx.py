"""ONNX models as a black box: each way to take pictures and texts, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from muc_core.encoders.families.onnx import IMAGE, TEXT, VOCABULARY, inspect_image_tower
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.errors import MissingTextTower, MucError

SIZE = 8
FLOAT, HALF, WHOLE, IDS = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.INT64
PREPARED = Preprocessing(size=SIZE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
RAW = Preprocessing(size=SIZE, mean=(0, 0, 0), std=(1, 1, 1))

Shape = Sequence[int | str]


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Shape]],
    outputs: dict[str, Shape],
    **held: object,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, list(shape)) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, FLOAT, list(shape)) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def image_tower(folder: Path, shape: Shape, *, kind: int = FLOAT, points: bool = False, outputs: int = 1) -> Path:
    """The mean of each colour."""
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["embedding"], axes=axes, keepdims=int(points)),
        helper.make_node("Identity", ["numbers"], ["map"]),
    ]
    given = {"embedding": [shape[0], 3, 1, 1] if points else [shape[0], 3], "map": list(shape)}
    return save(folder / IMAGE, nodes, [("pixels", kind, shape)], dict(list(given.items())[:outputs]))


def text_tower(folder: Path, shape: Shape = ("n", 77), *, width: int = 3, words: int = VOCABULARY) -> Path:
    """The mean of the tokens' vectors."""
    table = np.random.default_rng(0).normal(size=(words, width)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["tokens"]),
        helper.make_node("ReduceMean", ["tokens"], ["embedding"], axes=[1], keepdims=0),
    ]
    return save(folder / TEXT, nodes, [("ids", IDS, shape)], {"embedding": [shape[0], width]}, table=table)


def manifest(preprocessing: Preprocessing | None = PREPARED, *, text: bool = False) -> EncoderManifest:
    files = {IMAGE: "0", TEXT: "0"} if text else {IMAGE: "0"}
    return EncoderManifest(
        name="theirs",
        title="theirs",
        family="onnx",
        architecture="onnx",
        preprocessing=preprocessing,
        weights_digest="0",
        files=files,
    )


def pictures(n: int = 3, size: int = 12) -> Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


# pictures


@pytest.mark.parametrize(
    "shape",
    [
        ("n", 3, SIZE, SIZE),
        (1, 3, SIZE, SIZE),
        (2, 3, SIZE, SIZE),
        (8, 3, SIZE, SIZE),
        ("n", 3, "h", "w"),
        ("n", "c", "h", "w"),
    ],
)
@pytest.mark.parametrize("kind", [FLOAT, HALF])
def test_vectors_are_those_of_the_model(shape: Shape, kind: int, tmp_path: Path) -> None:
    image_tower(tmp_path, shape, kind=kind)
    encoder = load_encoder(manifest(), tmp_path)
    found = encoder.encode_images(pictures())
    assert (encoder.dimension, encoder.image_size, encoder.has_text) == (3, SIZE, False)
    assert found.dtype == torch.float32
    expected = PREPARED.apply(pictures()).mean((2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 if kind == FLOAT else 2e-3)


@pytest.mark.parametrize("shape", [("n", SIZE, SIZE, 3), (2, SIZE, SIZE, 3)])
def test_channels_may_be_last(shape: Shape, tmp_path: Path) -> None:
    image_tower(tmp_path, shape)
    found = load_encoder(manifest(), tmp_path).encode_images(pictures())
    torch.testing.assert_close(found, PREPARED.apply(pictures()).mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_whole_numbers_are_pixels(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE), kind=WHOLE)
    small = pictures(size=SIZE)
    torch.testing.assert_close(load_encoder(manifest(RAW), tmp_path).encode_images(small), small.float().mean((2, 3)))
    with pytest.raises(MucError, match="normalises them by itself"):
        load_encoder(manifest(), tmp_path)


def test_a_map_of_single_points_is_a_vector(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE), points=True)
    assert load_encoder(manifest(), tmp_path).encode_images(pictures()).shape == (3, 3)


def test_the_vectors_are_found_among_several_outputs(tmp_path: Path) -> None:
    assert inspect_image_tower(image_tower(tmp_path, ("n", 3, SIZE, SIZE), outputs=2)).output == "embedding"


def test_a_tower_describes_itself(tmp_path: Path) -> None:
    tower = inspect_image_tower(image_tower(tmp_path, (2, SIZE, SIZE, 3), kind=WHOLE))
    assert str(tower) == "takes pixels [2, 8, 8, 3] as uint8, gives embedding"


@pytest.mark.parametrize(
    ("shape", "kind", "said"),
    [
        (("n", 1, SIZE, SIZE), FLOAT, "red, green and blue"),
        (("n", 3, SIZE, SIZE + 1), FLOAT, "square"),
        (("n", 3, SIZE, SIZE), TensorProto.INT32, "float or uint8"),
    ],
)
def test_other_pictures_are_refused(shape: Shape, kind: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(MucError, match=said):
        inspect_image_tower(image_tower(tmp_path, shape, kind=kind))


def test_two_towers_in_one_file_are_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["image_embeds"], axes=[2, 3], keepdims=0),
        helper.make_node("Cast", ["input_ids"], ["text_embeds"], to=FLOAT),
    ]
    inputs = [("pixel_values", FLOAT, ("n", 3, SIZE, SIZE)), ("input_ids", IDS, ("n", 77))]
    path = save(tmp_path / IMAGE, nodes, inputs, {"image_embeds": ("n", 3), "text_embeds": ("n", 77)})
    with pytest.raises(MucError, match="image tower alone"):
        inspect_image_tower(path)


def test_a_map_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["pixels"], ["map"])]
    save(tmp_path / IMAGE, nodes, [("pixels", FLOAT, ("n", 3, SIZE, SIZE))], {"map": ("n", 3, SIZE, SIZE)})
    with pytest.raises(MucError, match="one vector each"):
        load_encoder(manifest(), tmp_path)


def test_another_size_than_the_models_is_refused(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    with pytest.raises(MucError, match="8 x 8 pixels, not of 9 x 9"):
        load_encoder(manifest(Preprocessing(size=9)), tmp_path)


def test_a_manifest_without_preprocessing_is_refused(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    with pytest.raises(MucError, match="prepared"):
        load_encoder(manifest(None), tmp_path)


# texts


@pytest.mark.parametrize("shape", [("n", 77), (1, 77), (4, 77), ("n", "length"), ("n", 20)])
def test_texts_go_through_open_clips_tokenizer(shape: Shape, tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    text_tower(tmp_path, shape)
    encoder = load_encoder(manifest(text=True), tmp_path)
    assert encoder.has_text
    said = ["a red bird", "the moon over a house", ""]
    length = shape[1] if isinstance(shape[1], int) else 77
    table = np.random.default_rng(0).normal(size=(VOCABULARY, 3)).astype(np.float32)
    expected = table[SimpleTokenizer(context_length=length)(said).numpy()].mean(axis=1)
    np.testing.assert_allclose(encoder.encode_texts(said).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("words", "said"), [(30_000, "smaller"), (250_000, "larger")])
def test_another_vocabulary_is_refused(words: int, said: str, tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    text_tower(tmp_path, words=words, width=3)
    with pytest.raises(MucError, match=f"{said} than the 49,408 tokens"):
        load_encoder(manifest(text=True), tmp_path)


def test_towers_of_different_length_are_refused(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    text_tower(tmp_path, width=4)
    with pytest.raises(MucError, match="3 numbers and its text tower 4"):
        load_encoder(manifest(text=True), tmp_path)


def test_a_text_tower_with_a_mask_is_refused(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["embedding"], to=FLOAT),
    ]
    save(tmp_path / TEXT, nodes, [("ids", IDS, ("n", 77)), ("mask", IDS, ("n", 77))], {"embedding": ("n", 77)})
    with pytest.raises(MucError, match="attention mask"):
        load_encoder(manifest(text=True), tmp_path)


def test_texts_without_a_text_tower_are_refused(tmp_path: Path) -> None:
    image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    with pytest.raises(MissingTextTower, match="--text-onnx"):
        load_encoder(manifest(), tmp_path).encode_texts(["a"])


# damaged files


def test_weights_in_a_second_file_are_refused(tmp_path: Path) -> None:
    path = image_tower(tmp_path, ("n", 3, SIZE, SIZE))
    tower = onnx.load(path)
    tower.graph.initializer.append(numpy_helper.from_array(np.ones((64, 64), np.float32), "table"))
    tower.graph.node.append(helper.make_node("Identity", ["table"], ["unused"]))
    onnx.save(tower, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    (tmp_path / "weights.data").unlink()
    with pytest.raises(MucError, match="one file"):
        inspect_image_tower(path)


@settings(max_examples=30, deadline=None)
@given(content=st.binary(max_size=200), length=st.integers(0, 250))
def test_any_bytes_are_refused(content: bytes, length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = image_tower(folder, ("n", 3, SIZE, SIZE)).read_bytes()
    path = folder / "any.onnx"
    for part in (content, whole[: min(length, len(whole) - 1)]):
        path.write_bytes(part)
        with pytest.raises(MucError, match=r"any\.onnx"):
            inspect_image_tower(path)
