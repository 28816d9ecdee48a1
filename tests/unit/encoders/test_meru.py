"""The MERU family: its loss against plain loops, its clamps, and the black box that says how it is to be compared."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from muc_core.auditing import Audited, audit_encoders
from muc_core.comparison import compare
from muc_core.encoders.base import similarity_of
from muc_core.encoders.embed import AUDIT_VIEWS, embed_images, embed_texts
from muc_core.encoders.families.meru import CURVATURE, ENTAILMENT, MeruEncoder, MeruFamily, MeruModel
from muc_core.encoders.family import FAMILIES, Batch
from muc_core.encoders.manifest import EncoderManifest
from muc_core.errors import MucError
from muc_core.evaluation.weights import at_strength
from muc_core.evaluation.white_box import EvaluationSettings, Pictures, Subject, WhiteBox
from muc_core.losses.lorentz import entailment, outside, pairwise_distance
from tests import tiny

MERU = FAMILIES.get("meru")
MANIFEST = EncoderManifest(name="m", title="m", family="meru", architecture="muc-tiny")


def built(seed: int = 0, **changed: float) -> MeruModel:
    assert isinstance(MERU, MeruFamily)
    model = MERU.build("muc-tiny", seed)
    with torch.no_grad():
        for name, value in changed.items():
            getattr(model, name).fill_(value)
    return model


def encoder(seed: int = 0, **changed: float) -> MeruEncoder:
    made = MERU.encoder(built(seed, **changed).state_dict(), MANIFEST)
    assert isinstance(made, MeruEncoder)
    return made


def batch(n: int = 6) -> Batch:
    data, nothing = tiny.dataset(n), torch.empty(0, dtype=torch.long)
    tokens = MERU.tokenize("muc-tiny", [text or "" for text in data.texts])
    return Batch(data.images(48), tokens, nothing, nothing, draw=lambda images, _: images.float() / 255)


def test_the_loss_is_clips_on_distances_and_entailment_besides() -> None:
    model = built(log_curvature=0.7).eval()
    with torch.no_grad():
        images, texts = MERU.sides(model, batch())
        far = pairwise_distance(images, texts, model.curvature)
        logits = -far * model.towers.logit_scale.exp()
        own = torch.arange(6)
        contrastive = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        expected = contrastive + ENTAILMENT * entailment(texts, images, model.curvature).mean()
        assert float(MERU.loss(model, batch())) == pytest.approx(float(expected), rel=1e-5)
        assert torch.allclose(MERU.alignment(model, images, texts), -far)
        for contrast in MERU.contrasts(model, batch()):
            pairs = contrast.own_similarity(own)
            assert torch.allclose(pairs, -far.diagonal(), atol=1e-5)


def test_a_new_model_begins_as_the_paper_says() -> None:
    model = built()
    assert float(model.curvature.detach()) == 1.0
    for scale in (model.log_image_scale, model.log_text_scale):
        assert float(scale.detach().exp()) == pytest.approx(1 / math.sqrt(model.dimension))
    assert float(model.towers.logit_scale.detach().exp()) == pytest.approx(1 / 0.07)


def test_what_is_learned_stays_within_its_bounds() -> None:
    model = built(log_curvature=9.0, log_image_scale=3.0, log_text_scale=0.5)
    with torch.no_grad():
        model.towers.logit_scale.fill_(50.0)
    MERU.after_step(model)
    assert float(model.curvature.detach()) == pytest.approx(CURVATURE[1])
    assert float(model.log_image_scale.detach()) == float(model.log_text_scale.detach()) == 0.0
    assert float(model.towers.logit_scale.detach().exp()) == pytest.approx(100, rel=1e-3)
    with torch.no_grad():
        model.log_curvature.fill_(-9.0)
    MERU.after_step(model)
    assert float(model.curvature.detach()) == pytest.approx(CURVATURE[0])


@pytest.mark.parametrize("log_curvature", [math.log(CURVATURE[0]), math.log(CURVATURE[1])])
def test_at_the_clamps_of_the_curvature_all_gradients_are_finite(log_curvature: float) -> None:
    model = built(log_curvature=log_curvature)
    torch.autograd.backward(MERU.loss(model, batch()))
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) > 10
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, math.log(11.0), math.log(0.09)])
def test_a_curvature_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(MucError, match=r"the curvature of 'm' is .*MERU's lies between 0\.1 and 10"):
        encoder(log_curvature=value)


def test_the_black_box_hands_out_points_and_says_how_they_are_compared() -> None:
    black_box, model = encoder(log_curvature=0.4), built(log_curvature=0.4).eval()
    how = similarity_of(black_box)
    assert how.name == "lorentz"
    assert how.curvature == pytest.approx(math.exp(0.4))
    assert similarity_of(tiny.clip().encoder(tiny.clip().build("muc-tiny", 0).state_dict(), MANIFEST)).name == "cosine"
    data = tiny.dataset(6)
    images, texts = embed_images(black_box, data), embed_texts(black_box, [text or "" for text in data.texts])
    with torch.no_grad():
        expected: tuple[Tensor, Tensor] = MERU.sides(model, batch())
    assert torch.allclose(images, expected[0], atol=1e-4)
    assert torch.allclose(texts, expected[1], atol=1e-4)


def test_half_way_on_the_dial_the_curvature_is_the_geometric_mean() -> None:
    ends = [built(seed, log_curvature=c).state_dict() for seed, c in ((0, -1.0), (1, 2.0))]
    middle = MERU.encoder(at_strength(ends[0], ends[1], 0.5), MANIFEST)
    assert similarity_of(middle).curvature == pytest.approx(math.exp(0.5))


def test_weights_of_another_model_and_a_temperature_are_refused() -> None:
    with pytest.raises(MucError, match="do not fit"):
        MERU.encoder(tiny.clip().build("muc-tiny", 0).state_dict(), MANIFEST)
    with pytest.raises(MucError, match="MERU learns its temperature"):
        MERU.set_temperature(built(), 0.1)


def test_an_audit_and_a_comparison_go_by_distance() -> None:
    before, after = encoder(0), encoder(1, log_curvature=1.0)
    data = tiny.dataset(26)
    owner, controls = data.subset(data.ids[:6]), data.subset(data.ids[6:])
    compared = compare(before, after, owner, controls=controls)
    images, texts = embed_images(after, owner), embed_texts(after, [text or "" for text in owner.texts])
    far = pairwise_distance(images, texts, torch.tensor(math.e))
    assert compared.after.picture.matrix == pytest.approx(-far.numpy(), abs=1e-4)
    kept: list[Audited] = []
    result = audit_encoders(after, owner, controls, before=before, views=2, keep=kept.append)
    assert {name: v.similarity for name, v in kept[0].inputs.vectors.items()} == {
        "before": similarity_of(before),
        "after": similarity_of(after),
    }
    assert result.mode == "image-text"
    assert all(math.isfinite(item.after) for item in result.items)


def test_white_box_figures_go_by_distance_and_tell_of_norms_and_cones() -> None:
    data, black_box = tiny.dataset(18), encoder(0, log_curvature=0.5)
    forget, retain, held_out = (data.subset(data.ids[start : start + 6]) for start in (0, 6, 12))
    box = WhiteBox(Pictures(forget, retain, held_out), EvaluationSettings(views=2))
    values = box.evaluate(Subject(black_box, AUDIT_VIEWS)).values
    images, texts = embed_images(black_box, forget), embed_texts(black_box, [text or "" for text in forget.texts])
    c = torch.tensor(math.exp(0.5))
    own = pairwise_distance(images, texts, c).diagonal()
    assert values["similarity_forget"] == pytest.approx(-float(own.mean()), abs=1e-4)
    root = torch.zeros(1, images.shape[1])
    assert values["root_images_forget"] == pytest.approx(float(pairwise_distance(images, root, c).mean()), abs=1e-3)
    assert values["outside_forget"] == pytest.approx(float(torch.rad2deg(outside(texts, images, c)).mean()), abs=0.1)
    both = torch.cat([texts, embed_texts(black_box, [text or "" for text in (*retain.texts, *held_out.texts)])])
    first = pairwise_distance(images, both, c).argmin(dim=1) == torch.arange(6)
    assert values["i2t_r1_forget"] == pytest.approx(float(first.float().mean()))
