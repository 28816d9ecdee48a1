"""Every weight file of the field: written in its own layout, recognised, added, and giving the vectors of its model."""

import argparse
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import onnx
import open_clip
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor, nn

from muc_core.encoders import preprocessing
from muc_core.encoders.families.meru import MeruFamily
from muc_core.encoders.families.onnx import VOCABULARY
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.recognition import FORMATS, catalogue
from muc_core.workspace import Workspace, trial
from muc_core.workspace.importing import import_encoder, try_out

IMAGENET = (preprocessing.IMAGENET_MEAN, preprocessing.IMAGENET_STD)
TINY = "tiny-for-tests"
TOWER = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32}
TEXTS = {"context_length": 77, "vocab_size": VOCABULARY, "width": 32, "heads": 2, "layers": 2}


def small_resnet() -> nn.Module:
    """A ResNet-18 for pictures of 32 x 32 pixels."""
    model: nn.Module = torchvision.models.resnet18(weights=None)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return warmed(model, 32)


def large_resnet() -> nn.Module:
    """torchvision's ResNet-18."""
    return warmed(torchvision.models.resnet18(weights=None), 64)


def warmed(model: nn.Module, size: int) -> nn.Module:
    """A model whose batch norm has seen something, so that a lost statistic is noticed."""
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, size, size))
    return model.eval()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    return small_resnet()


@pytest.fixture(scope="module")
def large() -> nn.Module:
    torch.manual_seed(1)
    return large_resnet()


@dataclass(frozen=True)
class Written:
    """A file as its makers write it, and what the model in it gives.

    Attributes:
        architecture, family: what it must be recognised as.
        model: prepared pictures to vectors.
        prepared: how, as its makers do it.
        texts: token ids to vectors, where there is a text tower.
    """

    path: Path
    family: str
    architecture: str
    model: Callable[[Tensor], Tensor]
    prepared: Preprocessing
    texts: Callable[[Tensor], Tensor] | None = None


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def without_fc(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


def features_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """What a ResNet gives before its last layer, computed from its parts."""

    def features(x: Tensor) -> Tensor:
        for name, part in model.named_children():
            if name != "fc":
                x = part(x)
        return x.flatten(1)

    return features


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def normed_mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    head = nn.Sequential(*layers[:-1])
    head.train()
    with torch.no_grad():
        head(torch.randn(16, widths[0]))
    return head.eval()


def behind(model: nn.Module, head: nn.Module) -> Callable[[Tensor], Tensor]:
    features = features_of(model)
    return lambda x: head(features(x))


SMALL = Preprocessing(size=32)
LARGE = Preprocessing(size=224, interpolation="bilinear")


# the writers: one for each layout


def torchvision_weights(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    path = folder / "resnet18-f37072fd.pth"
    torch.save(large.state_dict(), path)
    return Written(path, "backbone", "torchvision/resnet18", features_of(large), LARGE)


def timm_weights(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    model: Any = timm.create_model("test_vit", pretrained=False).eval()
    path = folder / "model.safetensors"
    save_file(model.state_dict(), path)
    config = model.pretrained_cfg
    prepared = Preprocessing(size=config["input_size"][-1], mean=config["mean"], std=config["std"])
    return Written(
        path,
        "backbone",
        "timm/test_vit",
        lambda x: model.forward_head(model.forward_features(x), pre_logits=True),
        prepared,
    )


def cifar_classifier(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """kuangliu's naming: `shortcut`, `linear`, saved below `net` with `module.` of data parallel training."""
    renamed = {name.replace("downsample", "shortcut"): tensor for name, tensor in without_fc(small).items()}
    renamed |= {"linear.weight": torch.randn(10, 512), "linear.bias": torch.randn(10)}
    path = folder / "ckpt.pth"
    torch.save({"net": below("module.", renamed), "acc": 95.1, "epoch": 199}, path)
    prepared = Preprocessing(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    return Written(path, "backbone", "cifar-resnet18", features_of(small), prepared)


def lightly_simclr(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """A Lightning checkpoint whose backbone is `nn.Sequential(*list(resnet.children())[:-1])`."""
    head = normed_mlp(512, 512, 128)
    state = below("backbone.", nn.Sequential(*list(small.children())[:-1]).state_dict())
    state |= below("projection_head.layers.", head.state_dict())
    content = {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict(state),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.randn(3)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hyper_parameters": argparse.Namespace(lr=0.06, batch=512),
    }
    path = folder / "epoch=1-step=10.ckpt"
    torch.save(content, path)
    return Written(path, "simclr", "cifar-resnet18:512-128-bn", behind(small, head), SMALL)


def lightly_moco(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    head, other = mlp(512, 512, 64), mlp(512, 512, 64)
    state = below("backbone.", without_fc(small)) | below("projection_head.layers.", head.state_dict())
    state |= below("backbone_momentum.", without_fc(large_like(small))) | below(
        "projection_head_momentum.layers.", other.state_dict()
    )
    state |= {"criterion.memory_bank.bank": torch.randn(64, 96), "criterion.memory_bank.bank_ptr": torch.tensor([32])}
    path = folder / "moco.ckpt"
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.5.0"}, path)
    return Written(path, "moco", "cifar-resnet18:512-64@96", behind(small, head), SMALL)


def large_like(model: nn.Module) -> nn.Module:
    other = small_resnet()
    other.load_state_dict({name: tensor * 0.5 for name, tensor in model.state_dict().items()})
    return other


def model_backbone(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """A Lightning module that holds its network as `model`."""
    head = mlp(512, 512, 128)
    state = below("model.backbone.", without_fc(small)) | below("model.projector.", head.state_dict())
    path = folder / "last.ckpt"
    torch.save({"state_dict": state}, path)
    return Written(path, "simclr", "cifar-resnet18:512-128", behind(small, head), SMALL)


def facebook_moco_v1(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    return _facebook(folder / "moco_v1_200ep_pretrain.pth.tar", large, nn.Linear(512, 128), "128")


def facebook_moco_v2(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    return _facebook(folder / "moco_v2_800ep_pretrain.pth.tar", large, mlp(512, 512, 128), "512-128")


def _facebook(path: Path, large: nn.Module, head: nn.Module, text: str) -> Written:
    query = without_fc(large) | below("fc.", head.state_dict())
    state = below("module.encoder_q.", query) | below("module.encoder_k.", query)
    state |= {"module.queue": torch.randn(128, 256), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": {"state": {}}}, path)
    return Written(path, "moco", f"torchvision/resnet18:{text}@256", behind(large, head), LARGE)


def sthalles_simclr(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    head = mlp(512, 512, 128)
    state = below("backbone.", without_fc(large) | below("fc.", head.state_dict()))
    path = folder / "checkpoint_0100.pth.tar"
    torch.save({"epoch": 100, "arch": "resnet18", "state_dict": state, "optimizer": {}}, path)
    return Written(path, "simclr", "torchvision/resnet18:512-128", behind(large, head), LARGE)


def encoder_projector(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    head = mlp(512, 256)
    state = below("encoder.", without_fc(small)) | below("projector.", head.state_dict())
    path = folder / "simclr.safetensors"
    save_file(state, path)
    return Written(path, "simclr", "cifar-resnet18:256", behind(small, head), SMALL)


def convnet_without_a_known_head(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """Batch norm after the first layer only, which cannot be built here: features come out."""
    head = nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 128))
    state = below("convnet.", without_fc(small)) | below("projector.", head.state_dict())
    path = folder / "model.pt"
    torch.save(state, path)
    prepared = Preprocessing(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    return Written(path, "backbone", "cifar-resnet18", features_of(small), prepared)


def tiny_clip() -> CLIP:
    torch.manual_seed(3)
    return open_clip.create_model(TINY, load_weights=False).eval()


def open_clip_training(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """What open_clip's training writes."""
    model = tiny_clip()
    path = folder / "epoch_32.pt"
    torch.save(
        {"epoch": 32, "name": "run", "state_dict": below("module.", model.state_dict()), "optimizer": {"state": {}}},
        path,
    )
    prepared = Preprocessing(size=32, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return Written(path, "clip", TINY, model.encode_image, prepared, model.encode_text)


def open_clip_published(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    model = tiny_clip()
    path = folder / "open_clip_model.safetensors"
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, path)
    prepared = Preprocessing(size=32, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return Written(path, "clip", TINY, model.encode_image, prepared, model.encode_text)


class Archived(nn.Module):
    """What OpenAI scripted: the model with the three numbers that its loader reads."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, part in model.named_children():
            self.add_module(name, part)
        for name, parameter in model.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, number in (("input_resolution", 32), ("context_length", 77), ("vocab_size", VOCABULARY)):
            self.register_buffer(name, torch.tensor(number))

    def forward(self, x: Tensor) -> Tensor:
        return x


def openai_archive(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    model = open_clip.create_model(f"{TINY}-quickgelu", load_weights=False).eval()
    held = Archived(_parts(model))
    path = folder / "ViT-B-32.pt"
    with pytest.warns((DeprecationWarning, FutureWarning), match=r"torch\.export"):
        torch.jit.trace(held, torch.zeros(1)).save(str(path))  # type: ignore[no-untyped-call]
    prepared = Preprocessing(size=32, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return Written(path, "clip", f"{TINY}-quickgelu", model.encode_image, prepared, model.encode_text)


def meru_training(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    """This program's; the authors' towers are too large for here, see tests/unit/encoders/test_meru_files.py."""
    model = MeruFamily().build(TINY, 6).eval()
    with torch.no_grad():
        model.log_curvature.fill_(0.4)
    path = folder / "meru.pt"
    torch.save({"step": 7, "model": model.state_dict()}, path)
    prepared = Preprocessing(size=32, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    return Written(path, "meru", TINY, model.encode_image, prepared, model.encode_text)


def _parts(module: nn.Module) -> nn.Module:
    """Parameters of a module in modules that can be traced whatever its own code is."""
    plain = nn.Module()
    for name, part in module.named_children():
        plain.add_module(name, _parts(part))
    for name, parameter in module.named_parameters(recurse=False):
        plain.register_parameter(name, parameter)
    return plain


class Exported(nn.Module):
    """Small enough to export in no time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv2d(3, 12, kernel_size=8, stride=8)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x).mean((2, 3))
        return found


def torchscript(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    model = Exported().eval()
    path = folder / "traced.pt"
    with pytest.warns((DeprecationWarning, FutureWarning), match=r"torch\.export"):
        torch.jit.trace(model, torch.zeros(1, 3, 224, 224)).save(str(path))  # type: ignore[no-untyped-call]
    return Written(path, "torchscript", "torchscript", model, Preprocessing(size=224))


def onnx_model(folder: Path, small: nn.Module, large: nn.Module) -> Written:
    model = Exported().eval()
    path = folder / "tower.onnx"
    weights = [
        numpy_helper.from_array(model.state_dict()["conv.weight"].numpy(), "weight"),
        numpy_helper.from_array(model.state_dict()["conv.bias"].numpy(), "bias"),
    ]
    nodes = [
        helper.make_node("Conv", ["pixels", "weight", "bias"], ["map"], strides=[8, 8]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tower",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 64, 64])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 12])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return Written(path, "onnx", "onnx", model, Preprocessing(size=64))


WRITERS = (
    torchvision_weights,
    timm_weights,
    cifar_classifier,
    lightly_simclr,
    lightly_moco,
    model_backbone,
    facebook_moco_v1,
    facebook_moco_v2,
    sthalles_simclr,
    encoder_projector,
    convnet_without_a_known_head,
    open_clip_training,
    open_clip_published,
    openai_archive,
    meru_training,
    torchscript,
    onnx_model,
)


@pytest.fixture(scope="module", autouse=True)
def tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two CLIP models small enough for a test, known to open_clip and in the catalogue."""
    folder = tmp_path_factory.mktemp("configs")
    plain = {"embed_dim": 24, "vision_cfg": TOWER, "text_cfg": TEXTS}
    (folder / f"{TINY}.json").write_text(json.dumps(plain))
    (folder / f"{TINY}-quickgelu.json").write_text(json.dumps({**plain, "quick_gelu": True}))
    open_clip.add_model_config(folder)
    names = [f"{catalogue.CLIP}{TINY}", f"{catalogue.CLIP}{TINY}-quickgelu"]
    known = catalogue.entries()
    described = {name: catalogue.describe(name, catalogue.skeleton_shapes(name)) for name in names}
    patch = pytest.MonkeyPatch()
    patch.setattr(catalogue, "entries", lambda: {**known, **described})
    yield
    patch.undo()


def _here(told: bytes) -> tuple[int, bytes]:
    """What a trial does in a process of its own."""
    try_out(**json.loads(told)["request"])
    return 0, b'{"refused": null}'


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@torch.inference_mode()
def test_a_file_of_the_field_gives_the_vectors_of_its_model(
    write: Callable[[Path, nn.Module, nn.Module], Written],
    small: nn.Module,
    large: nn.Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.inference_mode(False):
        written = write(tmp_path, small, large)
    if write is openai_archive:  # the small architecture of these tests is known in this process alone
        monkeypatch.setattr(trial, "start", _here)
    workspace = Workspace(tmp_path / "home", assets=tmp_path / "none")
    report = import_encoder(workspace, written.path, name="theirs")
    manifest = report.record.manifest
    assert (manifest.family, manifest.architecture) == (written.family, written.architecture)
    assert manifest.preprocessing == written.prepared
    assert manifest.source is not None
    assert written.path.name in manifest.source
    assert report.recognition is not None
    assert report.recognition.share == 1
    assert not report.recognition.missing

    encoder = workspace.load("theirs")
    pictures = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    expected = written.model(written.prepared.apply(pictures))
    found = encoder.encode_images(pictures)
    assert found.shape == (3, encoder.dimension)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert encoder.has_text == (written.texts is not None)
    if written.texts is not None:
        said = ["a red bird", "the moon"]
        tokens = open_clip.tokenize(said)
        torch.testing.assert_close(encoder.encode_texts(said), written.texts(tokens), rtol=1e-4, atol=1e-4)


def test_every_format_is_written_by_this_test() -> None:
    assert set(FORMATS.names()) == {"image-model", "two-view", "open-clip", "meru", "torchscript", "onnx"}
