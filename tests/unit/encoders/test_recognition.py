"""Recognising models by the names and shapes of their tensors; most files here are shapes without numbers."""

import json
from collections.abc import Mapping
from pathlib import Path

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from muc_core.encoders.checkpoint import Checkpoint, Kind
from muc_core.encoders.recognition import Recognition, catalogue, recognise, recognise_checkpoint, sources
from muc_core.encoders.recognition.heads import read_head
from muc_core.encoders.recognition.sources import locate
from muc_core.errors import MucError, UnknownName


def shapes_of(model: str) -> dict[str, Tensor]:
    return dict(catalogue.skeleton(model).state_dict())


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def linear(name: str, before: int, after: int, *, bias: bool = True) -> dict[str, Tensor]:
    weight = {f"{name}.weight": torch.zeros(after, before)}
    return weight | ({f"{name}.bias": torch.zeros(after)} if bias else {})


def norm(name: str, width: int) -> dict[str, Tensor]:
    filled = {part: torch.ones(width) for part in ("weight", "bias", "running_mean", "running_var")}
    return below(f"{name}.", filled | {"num_batches_tracked": torch.tensor(7)})


def recognised(
    tensors: Mapping[str, Tensor], arch: str | None = None, *, kind: Kind = "torch", name: str = "a.pt"
) -> Recognition:
    return recognise_checkpoint(Checkpoint(Path(name), kind, tensors, {}), arch=arch)


def refused(tensors: Mapping[str, Tensor], arch: str | None = None) -> str:
    with pytest.raises(MucError) as caught:
        recognised(tensors, arch)
    return str(caught.value)


# backbones


@pytest.mark.parametrize(
    "model",
    [
        "demo-resnet",
        "cifar-resnet18",
        "cifar-resnet34",
        "cifar-resnet50",
        "torchvision/resnet18",
        "torchvision/resnet34",
        "torchvision/resnet50",
        "torchvision/resnet101",
        "torchvision/wide_resnet50_2",
        "torchvision/vit_b_16",
        "torchvision/convnext_tiny",
        "torchvision/densenet121",
        "torchvision/regnet_y_400mf",
        "timm/vit_tiny_patch16_224",
        "timm/vit_base_patch16_384",
        "timm/swin_tiny_patch4_window7_224",
    ],
)
def test_a_model_is_recognised_from_its_tensors_alone(model: str) -> None:
    found = recognised(shapes_of(model))
    assert (found.family, found.architecture, found.output) == ("backbone", model, "features")
    assert (found.share, found.missing, found.unexpected) == (1, (), ())
    assert found.confidence.startswith("certain")


@pytest.mark.parametrize("wrapping", ["state_dict.", "module.", "model.", "state_dict.module.", "a.b.c.", "net.0."])
def test_a_model_is_found_below_any_name(wrapping: str) -> None:
    found = recognised(below(wrapping, shapes_of("cifar-resnet18")))
    assert found.architecture == "cifar-resnet18"
    assert wrapping.rstrip(".") in found.format


def test_models_that_cannot_be_told_apart_are_named() -> None:
    found = recognised(shapes_of("torchvision/resnet50"))
    assert "timm/resnet50" in found.others
    assert "timm/resnet50" in found.confidence
    assert recognised(shapes_of("torchvision/resnet50"), "timm/resnet50").architecture == "timm/resnet50"


def test_the_classifier_is_left_out_and_said_to_be() -> None:
    found = recognised(shapes_of("torchvision/resnet18") | linear("fc", 512, 1000))
    assert found.share == 1
    assert any("fc" in note for note in found.notes)
    assert found.weights is not None
    assert "fc.weight" not in found.weights


def test_counters_that_old_files_lack_are_not_missed() -> None:
    old = {name: t for name, t in shapes_of("torchvision/resnet18").items() if "num_batches" not in name}
    assert recognised(old).share == 1


# what does not fit


def test_a_mostly_random_model_is_refused_with_the_keys_that_did_not_fit() -> None:
    half = {
        name: t for name, t in shapes_of("torchvision/resnet18").items() if not name.startswith(("layer3", "layer4"))
    }
    said = refused(half, "torchvision/resnet18")
    assert "layer3.0.conv1.weight [256, 128, 3, 3]" in said
    assert "random" in said


def test_one_missing_layer_is_refused() -> None:
    tensors = shapes_of("torchvision/resnet18")
    del tensors["layer2.0.conv1.weight"]
    said = refused(tensors)
    assert "layer2.0.conv1.weight" in said
    assert "torchvision/resnet18" in said


def test_a_wrong_shape_is_named() -> None:
    tensors = shapes_of("cifar-resnet18") | {"layer1.0.conv1.weight": torch.empty(64, 32, 3, 3, device="meta")}
    said = refused(tensors)
    assert "layer1.0.conv1.weight [64, 64, 3, 3]" in said
    assert "layer1.0.conv1.weight [64, 32, 3, 3]" in said


def test_many_unknown_tensors_are_refused() -> None:
    tensors = shapes_of("torchvision/resnet18")
    extra = {f"layer1.{n}.se.weight": torch.empty(4, device="meta") for n in range(8)}
    assert "layer1.0.se.weight [4]" in refused(tensors | extra)


def test_a_few_unknown_tensors_are_told() -> None:
    found = recognised(shapes_of("torchvision/resnet18") | {"layer1.9.scale": torch.empty(1, device="meta")})
    assert found.unexpected == ("layer1.9.scale [1]",)
    assert found.confidence.startswith("probable: 120 of 121")


@pytest.mark.parametrize("arch", ["torchvision/resnet50", "cifar-resnet18", "ViT-B-32", "timm/vit_tiny_patch16_224"])
def test_a_wrong_architecture_is_refused(arch: str) -> None:
    assert arch in refused(shapes_of("torchvision/resnet18"), arch)


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="resnet19"):
        recognise(tmp_path / "a.pt", arch="resnet19")


def test_nothing_known_is_refused_with_what_the_file_has() -> None:
    said = refused({"lstm.weight_ih": torch.zeros(4, 4), "lstm.bias": torch.zeros(4)})
    assert "lstm.weight_ih" in said
    assert "--arch" in said


# two views


def test_an_encoder_beside_its_momentum_encoder_is_the_one_that_is_used() -> None:
    model = shapes_of("cifar-resnet18")
    for own, other in (("backbone.", "backbone_momentum."), ("student.", "teacher."), ("online.", "target.")):
        for tensors in (below(own, model) | below(other, model), below(other, model) | below(own, model)):
            found = recognised(tensors)
            assert own.rstrip(".") in found.format
            assert other not in found.format


def test_a_single_linear_layer_is_a_head_only_beside_a_queue() -> None:
    model = shapes_of("torchvision/resnet18") | linear("fc", 512, 128)
    assert recognised(below("module.", model)).family == "backbone"
    queue = {"module.queue": torch.randn(128, 32), "module.queue_ptr": torch.tensor([5])}
    found = recognised(below("module.encoder_q.", model) | queue)
    assert (found.family, found.architecture) == ("moco", "torchvision/resnet18:128@32")
    assert found.weights is not None
    assert int(found.weights["queue_pointer"]) == 5
    assert torch.allclose(found.weights["queue"].norm(dim=0), torch.ones(32))
    assert any("momentum" in note for note in found.notes)


def test_a_queue_of_another_length_is_left_out_and_said_to_be() -> None:
    model = below("backbone.", shapes_of("cifar-resnet18")) | below("projection_head.", linear("0", 512, 64))
    found = recognised(model | {"queue": torch.randn(100, 32)})
    assert found.architecture == "cifar-resnet18:64"
    assert any("queue" in note for note in found.notes)


def test_the_head_is_checked_where_it_is_named() -> None:
    model = below("backbone.", shapes_of("cifar-resnet18")) | below("projection_head.", linear("0", 512, 64))
    assert recognised(model, "cifar-resnet18:64").architecture == "cifar-resnet18:64"
    assert "is 64, not 128" in refused(model, "cifar-resnet18:128")


@pytest.mark.parametrize("name", ["projection_head.layers", "projector", "projection", "proj_head", "g", "head.mlp"])
def test_heads_are_found_under_many_names(name: str) -> None:
    head = below(f"{name}.", linear("0", 512, 256) | linear("2", 256, 128))
    found = recognised(below("backbone.", shapes_of("cifar-resnet18")) | head)
    assert (found.family, found.architecture) == ("simclr", "cifar-resnet18:256-128")


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (linear("0", 8, 4), "4"),
        (linear("0", 8, 6) | linear("2", 6, 4), "6-4"),
        (linear("fc1", 8, 6) | linear("fc2", 6, 4, bias=False), "6-4"),
        (linear("0", 8, 6, bias=False) | norm("1", 6) | linear("3", 6, 4) | norm("4", 4), "6-4-bn"),
        (linear("fc1", 8, 6) | norm("bn1", 6) | linear("fc2", 6, 4) | norm("bn2", 4), "6-4-bn"),
        (linear("9", 8, 6) | linear("10", 6, 4), "6-4"),
        (linear("0", 8, 6) | norm("1", 6) | linear("3", 6, 4), None),
        (linear("0", 7, 4), None),
        (linear("0", 8, 6) | linear("2", 5, 4), None),
        (norm("0", 8) | linear("1", 8, 4), None),
        ({"0.weight": torch.zeros(4, 8, 1, 1)}, None),
        ({}, None),
    ],
)
def test_heads_are_read(layers: dict[str, Tensor], text: str | None) -> None:
    head = read_head(layers, 8)
    assert (head.text if head else None) == text


# CLIP


@pytest.mark.parametrize("architecture", ["muc-tiny", "ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50", "ViT-B-16-SigLIP"])
def test_clip_models_are_recognised(architecture: str) -> None:
    found = recognised(below("state_dict.module.", shapes_of(f"open_clip/{architecture}")))
    assert (found.family, found.architecture, found.share) == ("clip", architecture, 1)


def test_the_activation_is_told_to_be_a_guess() -> None:
    tensors = shapes_of("open_clip/ViT-B-32")
    found = recognised(tensors)
    assert any("--arch ViT-B-32-quickgelu" in note for note in found.notes)
    assert "ViT-B-32-quickgelu" in found.others
    assert recognised(tensors, "ViT-B-32-quickgelu").architecture == "ViT-B-32-quickgelu"
    assert recognised(tensors, name="vit-b-32-quickgelu.pt").architecture == "ViT-B-32-quickgelu"


@pytest.mark.parametrize("kind", ["torch", "torchscript"])
def test_openai_weights_are_known_by_their_marks(kind: Kind) -> None:
    marks = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    found = recognised(shapes_of("open_clip/RN50") | marks, kind=kind)
    assert found.architecture == "RN50-quickgelu"
    assert not found.unexpected
    assert found.weights is not None
    assert not marks.keys() & found.weights.keys()


def test_a_scale_in_a_list_is_taken_out() -> None:
    tensors = shapes_of("open_clip/muc-tiny") | {"logit_scale": torch.tensor([2.5])}
    found = recognised(tensors)
    assert found.weights is not None
    assert found.weights["logit_scale"].shape == ()
    assert float(found.weights["logit_scale"]) == 2.5


def test_preprocessing_comes_from_the_published_weights() -> None:
    found = recognised(shapes_of("open_clip/ViT-B-16-SigLIP"))
    assert found.preprocessing.mean == (0.5, 0.5, 0.5)
    assert "published" in found.preprocessing_source


def test_preprocessing_of_image_models_comes_from_their_library() -> None:
    found = recognised(shapes_of("timm/vit_base_patch16_384"))
    assert found.preprocessing.size == 384
    assert "timm" in found.preprocessing_source
    assert "assumed" in recognised(shapes_of("cifar-resnet18")).preprocessing_source


# where files come from


def test_a_tag_names_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "download_pretrained", lambda config: str(tmp_path / "w.bin"))
    found = locate("ViT-B-32:openai")
    assert (found.path, found.title) == (tmp_path / "w.bin", "ViT-B-32:openai")
    assert found.architecture == "ViT-B-32-quickgelu"
    assert locate("ViT-B-32:laion2b_s34b_b79k").architecture == "ViT-B-32"
    with pytest.raises(UnknownName, match="ViT-B-32:laion2b_s34b_b79k"):
        locate("ViT-B-32")
    with pytest.raises(UnknownName, match="ViT-B-32:laion2b_s34b_b79k"):
        locate("ViT-B-32:nonsense")


def test_a_repository_of_the_hub_is_described_by_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings_file = tmp_path / sources.CONFIG
    content = {
        "model_cfg": open_clip.get_model_config("ViT-B-16"),
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear"},
    }
    settings_file.write_text(json.dumps(content))

    def fetch(repository: str, filename: str | None = None) -> str:
        assert repository == "owner/name"
        return str(tmp_path / (filename or "open_clip_model.safetensors"))

    monkeypatch.setattr(sources, "download_pretrained_from_hf", fetch)
    found = locate("hf-hub:owner/name")
    assert found.architecture == "ViT-B-16"
    assert found.preprocessing is not None
    assert (found.preprocessing.mean, found.preprocessing.interpolation) == ((0.5, 0.5, 0.5), "bilinear")

    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    assert locate(tmp_path).architecture == "ViT-B-16"
    content["model_cfg"]["embed_dim"] = 17
    settings_file.write_text(json.dumps(content))
    with pytest.raises(MucError, match="does not have by name"):
        locate(tmp_path)
    settings_file.write_text("[1")
    with pytest.raises(MucError, match="damaged"):
        locate(tmp_path)


def test_without_a_network_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(config: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(sources, "download_pretrained", offline)
    with pytest.raises(MucError, match=r"no route to host.*network"):
        locate("ViT-B-32:laion2b_s34b_b79k")


def test_no_file_and_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no file"):
        locate("nowhere.pt")
    with pytest.raises(MucError, match="folder"):
        locate(tmp_path)


# the catalogue


@pytest.mark.parametrize(
    "name",
    ["cifar-resnet50", "torchvision/resnet152", "timm/convnext_nano", "open_clip/ViT-B-32", "open_clip/muc-tiny"],
)
def test_the_catalogue_agrees_with_the_installed_libraries(name: str) -> None:
    assert catalogue.entries()[name] == catalogue.describe(name, catalogue.skeleton_shapes(name))


def test_the_catalogue_has_nearly_all_models() -> None:
    every = set(catalogue.catalogue_names())
    known = every & catalogue.entries().keys()
    assert len(known) > 0.95 * len(every)


def test_a_damaged_catalogue_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "catalogue.json").write_text('{"models": {"a": 3}}')
    monkeypatch.setattr(catalogue, "FILE", tmp_path / "catalogue.json")
    catalogue.entries.cache_clear()
    try:
        with pytest.raises(MucError, match="damaged"):
            catalogue.entries()
    finally:
        catalogue.entries.cache_clear()


# anything at all

NAMES = st.sampled_from(
    [
        "conv1.weight",
        "bn1.weight",
        "layer1.0.conv1.weight",
        "fc.weight",
        "0.weight",
        "4.0.conv1.weight",
        "queue",
        "..",
        ".",
    ]
) | st.text(max_size=12)
PREFIXES = st.sampled_from(["", "backbone.", "module.encoder_q.", "projection_head.", "visual.", "text."])
TENSORS = st.lists(st.integers(0, 4), max_size=4).map(lambda shape: torch.zeros(shape))


@settings(max_examples=150, deadline=None)
@given(
    tensors=st.dictionaries(st.builds(str.__add__, PREFIXES, NAMES), TENSORS, max_size=12),
    model=st.sampled_from([None, "demo-resnet"]),
    dropped=st.sets(st.integers(0, 60), max_size=5),
    prefix=PREFIXES,
    arch=st.sampled_from([None, "demo-resnet", "demo-resnet:8", "muc-tiny", "torchscript"]),
)
def test_any_tensors_are_recognised_or_refused(
    tensors: dict[str, Tensor], model: str | None, dropped: set[int], prefix: str, arch: str | None
) -> None:
    whole = shapes_of(model) if model else {}
    part = {name: tensor for place, (name, tensor) in enumerate(whole.items()) if place not in dropped}
    try:
        found = recognised(below(prefix, part) | tensors, arch)
    except MucError:
        return
    assert found.share >= 0.95
    assert not found.missing
