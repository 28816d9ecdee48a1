"""SimCLR and MoCo: architectures, heads, what the black box gives, and how the momentum encoder and the queue move."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import muc_core.unlearning.methods  # noqa: F401
from muc_core.encoders.backbones import backbone_names, build_backbone
from muc_core.encoders.checkpoint import half
from muc_core.encoders.families.moco import MOMENTUM, MoCoModel
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.encoders.manifest import EncoderManifest, Output
from muc_core.encoders.parallel import Share
from muc_core.encoders.preprocessing import Preprocessing
from muc_core.encoders.two_view import TwoViewModel, build_head
from muc_core.errors import MissingTextTower, MucError, UnknownName
from muc_core.unlearning.engine import Trainer, TrainingSet
from muc_core.unlearning.method import METHODS
from muc_core.unlearning.settings import Seeds
from tests import tiny

TWO_VIEW = ("simclr", "moco")
PICTURES = tiny.dataset(6, size=32).images(32)


def manifest(
    family: str, *, output: Output | None = None, preprocessing: Preprocessing | None = None
) -> EncoderManifest:
    return EncoderManifest(
        name="t",
        title="t",
        family=family,
        architecture="demo-resnet:20",
        output=output,
        preprocessing=preprocessing,
        weights_digest="0",
    )


def batch(partner: Tensor | None = None) -> Batch:
    """Six pictures, the last three to be forgotten; each view is darker than the one before."""
    drawn = iter(range(1, 9))
    return Batch(
        images=PICTURES,
        tokens=None,
        forget=torch.tensor([3, 4, 5]),
        partner=torch.tensor([], dtype=torch.long) if partner is None else partner,
        draw=lambda images, _: images.float() / 255 / next(drawn),
    )


@pytest.mark.parametrize(
    ("name", "size", "dimension", "parameters"),
    [
        ("demo-resnet", 32, 112, 352_672),
        ("cifar-resnet18", 32, 512, 11_168_832),
        ("cifar-resnet50", 32, 2048, 23_500_352),
        ("torchvision/resnet18", 224, 512, 11_176_512),
        ("torchvision/mobilenet_v3_small", 224, 1024, 1_517_856),
        ("timm/resnet10t", 176, 512, 4_922_488),
    ],
)
def test_backbones_give_features_of_the_length_they_say(name: str, size: int, dimension: int, parameters: int) -> None:
    backbone = build_backbone(name)
    assert (backbone.preprocessing.size, backbone.dimension) == (size, dimension)
    assert sum(p.numel() for p in backbone.module.parameters()) == parameters
    with torch.no_grad():
        assert backbone.module.eval()(torch.zeros(1, 3, size, size)).shape == (1, dimension)


def test_a_cifar_stem_keeps_all_pixels() -> None:
    module = build_backbone("cifar-resnet18").module
    seen: list[torch.Size] = []
    module.get_submodule("layer1").register_forward_hook(lambda _m, given, _out: seen.append(given[0].shape))
    module.eval()(torch.zeros(1, 3, 32, 32))
    assert seen == [(1, 64, 32, 32)]


def test_backbones_are_listed_and_unknown_ones_refused() -> None:
    assert {"demo-resnet", "cifar-resnet18", "torchvision/vit_b_16", "timm/vit_tiny_patch16_224"} <= set(
        backbone_names()
    )
    for name in ("resnet9000", "timm/", "torchvision/nothing", "keras/resnet50"):
        with pytest.raises(UnknownName, match="cifar-resnet18"):
            build_backbone(name)


def test_heads_have_the_widths_they_are_written_with() -> None:
    layers = build_head("30-20", 40).get_submodule("layers")
    assert isinstance(layers, torch.nn.Sequential)
    assert [type(layer).__name__ for layer in layers] == ["Linear", "ReLU", "Linear"]
    assert [tuple(p.shape) for p in layers.parameters()] == [(30, 40), (30,), (20, 30), (20,)]
    normed = build_head("30-20-bn", 40).get_submodule("layers")
    assert isinstance(normed, torch.nn.Sequential)
    assert [type(layer).__name__ for layer in normed] == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]


@pytest.mark.parametrize("wrong", ["512-", "bn", "0", "a", "1-2-3-4-5-6-7", "-512", "999999"])
def test_a_head_that_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(MucError, match="512-128"):
        build_head(wrong, 8)


def test_default_heads_are_those_of_the_papers() -> None:
    simclr = FAMILIES.get("simclr").build("cifar-resnet18", 0).projection_head.layers
    assert [layer.out_features for layer in simclr if isinstance(layer, torch.nn.Linear)] == [512, 128]
    moco = FAMILIES.get("moco").build("cifar-resnet18", 0)
    assert [layer.out_features for layer in moco.projection_head.layers] == [128]
    assert moco.queue.shape == (128, 4096)


@pytest.mark.parametrize("length", ["0", "x", "-3", "", "9999999999"])
def test_a_queue_that_cannot_be_is_refused(length: str) -> None:
    with pytest.raises(MucError, match="queue"):
        FAMILIES.get("moco").build(f"demo-resnet@{length}", 0)


@pytest.mark.parametrize("name", TWO_VIEW)
def test_the_black_box_gives_projections_or_features(name: str) -> None:
    family = FAMILIES.get(name)
    model = family.build("demo-resnet:20", 3).eval()
    weights = half(model.state_dict())
    projections = family.encoder(weights, manifest(name))
    features = family.encoder(weights, manifest(name, output="features"))
    assert (projections.dimension, features.dimension) == (20, 112)
    assert projections.digest != features.digest
    h, z = features.encode_images(PICTURES), projections.encode_images(PICTURES)
    with torch.no_grad():
        prepared = model.preprocessing.apply(PICTURES)
        assert torch.allclose(h, model.backbone(prepared), atol=2e-2)
        assert torch.allclose(F.normalize(z, dim=1), model(PICTURES / 255), atol=2e-2)
    with pytest.raises(MissingTextTower, match="no text tower"):
        projections.encode_texts(["a"])


def test_preprocessing_can_be_overridden_and_changes_the_digest() -> None:
    family = FAMILIES.get("simclr")
    weights = family.build("demo-resnet:20", 3).state_dict()
    plain = family.encoder(weights, manifest("simclr"))
    other = family.encoder(weights, manifest("simclr", preprocessing=Preprocessing(size=48, mean=(0.0, 0.0, 0.0))))
    assert (plain.image_size, other.image_size) == (32, 48)
    assert plain.digest != other.digest
    assert not torch.allclose(plain.encode_images(PICTURES), other.encode_images(PICTURES))


def test_weights_that_do_not_fit_are_refused() -> None:
    weights = FAMILIES.get("simclr").build("demo-resnet:21", 0).state_dict()
    with pytest.raises(MucError, match="do not fit the architecture 'demo-resnet:20'"):
        FAMILIES.get("simclr").encoder(weights, manifest("simclr"))


@pytest.mark.parametrize("name", TWO_VIEW)
def test_the_third_view_is_drawn_for_forget_samples_that_have_partners_only(name: str) -> None:
    family = FAMILIES.get(name)
    model: TwoViewModel = family.build("demo-resnet:20@8" if name == "moco" else "demo-resnet:20", 0).eval()
    partner = torch.tensor([4, 5, 3])
    plain, calibrated = family.contrasts(model, batch()), family.contrasts(model, batch(partner))
    for contrast in plain:
        assert contrast.calibration is None
    pictures = PICTURES.float() / 255
    with torch.no_grad():
        first, second, third = (model(pictures / k) for k in (1, 2, 3))
        if isinstance(model, MoCoModel):
            third = model.keys(pictures / 3)
        for contrast, anchors in zip(calibrated, (first, second), strict=False):
            assert contrast.calibration is not None
            expected = [float(anchors[i] @ third[i]) for i in (3, 4, 5)]
            assert contrast.calibration.tolist() == pytest.approx(expected, abs=1e-5)
    for a, b in zip(plain, calibrated, strict=True):
        assert torch.allclose(a.logits, b.logits, atol=1e-5)


@pytest.mark.parametrize("name", ["simclr", "moco"])
@pytest.mark.parametrize(("method_name", "views"), [("gradient-ascent", 2), ("ac", 3)])
def test_a_step_draws_no_view_that_its_method_does_not_use(
    name: str, method_name: str, views: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    family, method = FAMILIES.get(name), METHODS.get(method_name)
    model = family.build("demo-resnet:16@8" if name == "moco" else "demo-resnet:16", 0)
    data = TrainingSet(tiny.dataset(6, seed=1) if method.uses == "both" else None, tiny.dataset(4, seed=2))
    trainer = Trainer(model, family, "", method, data, method.settings(epochs=1, batch_size=10), Seeds.from_one(0))
    drawn: list[int] = []
    draw = trainer._view

    def counted(images: Tensor, share: Share | None) -> Tensor:
        drawn.append(len(images))
        return draw(images, share)

    monkeypatch.setattr(trainer, "_view", counted)
    list(trainer.run())
    assert sum(drawn) == (2 * 4 if views == 2 else 2 * 10 + 4)


def test_moco_keys_come_from_the_momentum_encoder_without_a_gradient() -> None:
    model: MoCoModel = FAMILIES.get("moco").build("demo-resnet:20@8", 0).train()
    before = model.keys(PICTURES / 255)
    with torch.no_grad():
        model.backbone.get_submodule("layer4").get_parameter("0.conv1.weight").mul_(3)
    assert torch.equal(model.keys(PICTURES / 255), before)
    assert not before.requires_grad
    assert not any(p.requires_grad for p in model.momentum_backbone.parameters())


def test_moco_keys_do_not_depend_on_their_batch() -> None:
    """Else the statistics of a batch would tell which key belongs to which query; shuffling is to prevent that."""
    model: MoCoModel = FAMILIES.get("moco").build("demo-resnet:20@8", 0).train()
    together, alone = model.keys(PICTURES / 255), model.keys(PICTURES[:1] / 255)
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_the_momentum_encoder_follows_weights_and_statistics() -> None:
    family = FAMILIES.get("moco")
    model: MoCoModel = family.build("demo-resnet:20@8", 0).train()
    start = {name: tensor.clone() for name, tensor in model.momentum_backbone.state_dict().items()}
    model(PICTURES / 255)  # moves the running statistics
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    family.after_step(model)
    leader = model.backbone.state_dict()
    for name, tensor in model.momentum_backbone.state_dict().items():
        if tensor.is_floating_point():
            expected = start[name] * MOMENTUM + leader[name] * (1 - MOMENTUM)
            assert torch.allclose(tensor, expected, atol=1e-6), name
        else:
            assert torch.equal(tensor, leader[name]), name


def test_a_finished_moco_is_kept_without_its_momentum_encoder_and_goes_on_with_a_copy() -> None:
    family = FAMILIES.get("moco")
    model: MoCoModel = family.build("demo-resnet:20@8", 0)
    kept = family.finished(model.state_dict())
    assert {name.partition(".")[0] for name in kept} == {
        "backbone",
        "projection_head",
        "queue",
        "queue_pointer",
        "temperature",
    }
    again: MoCoModel = family.build("demo-resnet:20@8", 1)
    again.load_state_dict(kept)
    assert torch.equal(again.queue, model.queue)
    for name, tensor in again.momentum_backbone.state_dict().items():
        assert torch.equal(tensor, model.backbone.state_dict()[name])
    again.load_state_dict({name: tensor for name, tensor in kept.items() if not name.startswith("queue")})


def test_the_queue_takes_new_keys_in_a_ring_and_after_the_step_only() -> None:
    family = FAMILIES.get("moco")
    model: MoCoModel = family.build("demo-resnet:20@8", 0).eval()
    start = model.queue.clone()
    family.loss(model, batch())
    assert torch.equal(model.queue, start)
    with torch.no_grad():
        keys = model.keys(PICTURES / 255 / 2)
    family.after_step(model)
    assert torch.allclose(model.queue[:, :6], keys.T)
    assert torch.equal(model.queue[:, 6:], start[:, 6:])
    assert int(model.queue_pointer) == 6
    family.loss(model, batch())
    family.after_step(model)
    assert int(model.queue_pointer) == 4
    assert torch.allclose(model.queue[:, [6, 7, 0, 1, 2, 3]], keys.T, atol=5e-2)


def test_a_batch_longer_than_the_queue_leaves_its_last_keys() -> None:
    family = FAMILIES.get("moco")
    model: MoCoModel = family.build("demo-resnet:20@4", 0).eval()
    family.loss(model, batch())
    with torch.no_grad():
        keys = model.keys(PICTURES / 255 / 2)
    family.after_step(model)
    assert torch.allclose(model.queue, keys[-4:].T)


@pytest.mark.parametrize("name", TWO_VIEW)
def test_the_temperature_is_kept_with_the_weights(name: str) -> None:
    family = FAMILIES.get(name)
    model = family.build("demo-resnet:20", 0)
    family.set_temperature(model, 0.25)
    assert float(model.state_dict()["temperature"]) == 0.25


def test_clip_refuses_a_temperature() -> None:
    with pytest.raises(MucError, match="learns its temperature"):
        tiny.clip().set_temperature(tiny.clip().build("muc-tiny", 0), 0.1)
