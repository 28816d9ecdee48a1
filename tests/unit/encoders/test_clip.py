"""The CLIP family: building, tokenizing, encoding, and the black box around stored weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from muc_core.data.augment import Augmentation
from muc_core.data.interpolation import Interpolation
from muc_core.encoders import embed
from muc_core.encoders.checkpoint import file_digest, half, load_weights, save_weights
from muc_core.encoders.embed import embed_images, embed_texts, embed_views
from muc_core.encoders.families.clip import tokenizer_of
from muc_core.encoders.load import load_encoder
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.faults import RejectedPictures
from muc_core.errors import Cancelled, MissingTextTower, MucError, UnknownName
from tests import tiny


def stored(folder: Path, seed: int = 0) -> Path:
    path = folder / "weights.safetensors"
    save_weights(path, half(tiny.clip().build("muc-tiny", seed).state_dict()))
    return path


def manifest(path: Path) -> EncoderManifest:
    return EncoderManifest(
        name="t", title="t", family="clip", architecture="muc-tiny", weights_digest=file_digest(path)
    )


def test_the_same_seed_builds_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (tiny.clip().build("muc-tiny", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_the_tiny_preset_fits_in_four_megabytes(tmp_path: Path) -> None:
    assert stored(tmp_path).stat().st_size < 4e6


def test_an_unknown_architecture_is_refused_with_names() -> None:
    with pytest.raises(UnknownName, match="muc-tiny"):
        tiny.clip().build("ViT-Z-99", 0)


def test_other_open_clip_architectures_build_and_tokenize() -> None:
    assert "ViT-B-32" in tiny.clip().architectures()
    assert tokenizer_of("ViT-B-32")(["a bird"]).shape == (1, 77)


def test_the_small_vocabulary_agrees_with_the_large_one_where_it_has_the_merges() -> None:
    small, large = tokenizer_of("muc-tiny"), open_clip.get_tokenizer("ViT-B-32")
    assert small.encode("the cat") == large.encode("the cat")  # type: ignore[attr-defined]
    tokens = small(["smiling face with heart-shaped eyes", "", "ünïcödé 🐦"])
    assert tokens.shape == (3, 20)
    assert int(tokens.max()) < 2560


def test_an_encoder_gives_finite_vectors_one_by_one_as_in_a_batch(tmp_path: Path) -> None:
    path = stored(tmp_path)
    encoder = load_encoder(manifest(path), path.parent)
    data = tiny.dataset(7)
    together = embed_images(encoder, data)
    assert together.shape == (7, encoder.dimension)
    assert together.dtype == torch.float32
    torch.testing.assert_close(embed_images(encoder, data, batch_size=1), together, rtol=1e-4, atol=1e-5)
    texts = [text or "" for text in data.texts]
    torch.testing.assert_close(
        embed_texts(encoder, texts, batch_size=2), embed_texts(encoder, texts), rtol=1e-4, atol=1e-5
    )
    assert torch.equal(embed_images(encoder, data), together)


def test_pictures_of_another_size_are_resized(tmp_path: Path) -> None:
    path = stored(tmp_path)
    encoder = load_encoder(manifest(path), path.parent)
    flat = torch.full((1, 3, 96, 96), 128, dtype=torch.uint8)
    torch.testing.assert_close(encoder.encode_images(flat), encoder.encode_images(flat[..., :48, :48]))


def test_views_differ_from_each_other_and_repeat_under_their_seed(tmp_path: Path) -> None:
    path = stored(tmp_path)
    encoder = load_encoder(manifest(path), path.parent)
    data = tiny.dataset(3)
    views = embed_views(encoder, data, views=3, seed=1)
    assert views.shape == (3, 3, encoder.dimension)
    assert not torch.allclose(views[0], views[1])
    assert torch.equal(views, embed_views(encoder, data, views=3, seed=1))
    assert not torch.equal(views, embed_views(encoder, data, views=3, seed=2))
    with pytest.raises(MucError, match="at least 2 views"):
        embed_views(encoder, data, views=1)


def test_views_are_drawn_once_for_two_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0
    draw = Augmentation.__call__

    def counted(*given: Any) -> Any:
        nonlocal drawn
        drawn += 1
        return draw(*given)

    first, second = (load_encoder(manifest(path), path.parent) for path in (stored(tmp_path), stored(tmp_path, 1)))
    data, kept = tiny.dataset(5), dict[Any, Any]()
    expected = [embed_views(encoder, data, views=3, seed=1, batch_size=2) for encoder in (first, second)]
    monkeypatch.setattr(Augmentation, "__call__", counted)
    found = [embed_views(encoder, data, views=3, seed=1, batch_size=2, kept=kept) for encoder in (first, second)]
    assert all(map(torch.equal, found, expected))
    assert drawn == 3 * 3

    # large ones, and those of an encoder that was interrupted among them, are drawn again
    monkeypatch.setattr(embed, "KEPT_BYTES", 0)
    large = dict[Any, Any]()
    assert torch.equal(embed_views(first, data, views=3, seed=1, batch_size=2, kept=large), expected[0])
    monkeypatch.undo()

    class Cancelling:
        def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
            raise Cancelled

    interrupted = dict[Any, Any]()
    with pytest.raises(Cancelled):
        embed_views(first, data, views=3, seed=1, batch_size=2, kept=interrupted, progress=Cancelling())
    assert large == interrupted == {}


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"visual.proj": torch.zeros(2, 2)}, path)
    with pytest.raises(MucError, match="do not fit"):
        load_encoder(manifest(path), path.parent)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"{}", b"\xff" * 100])
def test_files_that_are_no_weights_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(MucError, match=r"broken\.safetensors"):
        load_weights(path)


def test_a_truncated_weight_file_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(MucError, match="safetensors"):
        load_weights(path)


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    save_weights(tmp_path / "1", tensors)
    save_weights(tmp_path / "2", dict(reversed(tensors.items())))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


class PicturesOnly:
    name, family, digest, image_size, dimension, has_text = "eyes", "test", "0", 4, 2, False
    interpolation: Interpolation = "bicubic"

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        vectors = torch.ones(len(images), 2)
        vectors[-1] = float("nan")
        return vectors

    def encode_texts(self, texts: object) -> torch.Tensor:
        raise MissingTextTower("no text")


def test_vectors_that_are_not_finite_name_the_picture() -> None:
    with pytest.raises(MucError, match="'0-2'"):
        embed_images(PicturesOnly(), tiny.dataset(3))


def test_texts_for_an_encoder_without_a_text_tower_are_refused() -> None:
    with pytest.raises(MissingTextTower, match="no text tower"):
        embed_texts(PicturesOnly(), ["a"])


def test_pictures_that_an_endpoint_refuses_are_named_by_id() -> None:
    class Refusing:
        name, image_size, interpolation = "refusing", 8, "bicubic"

        def encode_images(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) == 2:
                return torch.ones(2, 4)
            raise RejectedPictures("https://example.org/v1/embeddings", {0: "not a picture"}, len(images))

    with pytest.raises(MucError, match=r"refused 1 of 1 pictures: '0-4': not a picture"):
        embed_images(Refusing(), tiny.dataset(5, size=8), batch_size=2)  # type: ignore[arg-type]
