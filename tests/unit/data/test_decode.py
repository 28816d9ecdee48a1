"""Decoding: what is accepted is right to the pixel, what is not is refused with one sentence."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from muc_core.data import decode
from muc_core.data.decode import check_header, decode_image, to_square_tensor
from muc_core.errors import BadImage
from tests.hostile import USABLE, encode, exif_rotated, hostile_cases, hostile_upload, picture, png

REFUSED = [
    case
    for case in hostile_cases()
    if case not in USABLE and not case.startswith(("zip", "captions", "name"))
]  # fmt: skip


def decoded(case: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    name, content = hostile_upload(case)
    result = decode_image(content, name)
    assert result.image.mode == "RGB"
    return np.asarray(result.image), result.notes


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF data")
def test_refused_in_one_sentence_that_names_the_file(case: str) -> None:
    name, content = hostile_upload(case)
    with pytest.raises(BadImage) as caught:
        decode_image(content, name)
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} ")
    assert "\n" not in sentence
    assert any(word in sentence for word in ("accepted", "again"))


@pytest.mark.parametrize("case", ["bomb_60000", "bomb_10000", "bomb_7100"])
@pytest.mark.parametrize("strict", [False, True])
def test_bombs_are_refused_before_any_pixel_is_decoded(
    case: str, strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(image: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    name, content = hostile_upload(case)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        with pytest.raises(BadImage, match="50 megapixels are accepted"):
            decode_image(content, name)
        with pytest.raises(BadImage, match="50 megapixels are accepted"):
            check_header(io.BytesIO(content), name)


def test_sizes_at_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decode_image(encode(picture(8, 8)), "a.png").image.size == (8, 8)
    with pytest.raises(BadImage, match=r"^a\.png is 8 x 7 pixels; pictures from 8 x 8 pixels"):
        decode_image(encode(picture(8, 7)), "a.png")
    monkeypatch.setattr(decode, "MAX_PIXELS", 100 * 100)
    assert decode_image(encode(picture(100, 100)), "a.png").image.size == (100, 100)
    with pytest.raises(BadImage, match="101 x 100"):
        decode_image(encode(picture(101, 100)), "a.png")
    monkeypatch.setattr(decode, "MAX_FILE_BYTES", 50)
    with pytest.raises(BadImage, match="MB are accepted"):
        decode_image(png(), "a.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_kinds_keep_every_pixel(kind: str) -> None:
    content = encode(picture(), kind, **({"lossless": True} if kind == "WEBP" else {}))
    result = decode_image(content, "a")
    assert np.array_equal(np.asarray(result.image), np.asarray(picture()))
    assert result.notes == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(kind: str, orientation: int) -> None:
    image = decode_image(exif_rotated(orientation, kind), "a").image
    assert image.size == (40, 30)
    difference = np.asarray(image).astype(int) - np.asarray(picture()).astype(int)
    assert np.abs(difference).mean() < 3  # JPEG is lossy; a wrong turn differs by about 100


def test_damaged_exif_is_said_and_the_picture_used() -> None:
    content = encode(picture(), "PNG", exif=b"Exif\x00\x00" + b"MM\x00\x2a\xff\xff\xff\xff")
    broken = encode(picture(), "PNG", exif=b"no tiff header at all")
    assert decode_image(content, "a.png").image.size == (40, 30)
    result = decode_image(broken, "a.png")
    assert np.array_equal(np.asarray(result.image), np.asarray(picture()))
    assert result.notes == ("a.png has damaged EXIF data; it is used as stored, without rotation",)


@pytest.mark.parametrize("case", ["gray16_png", "gray16_tiff"])
def test_16_bit_grey_is_scaled_not_clipped(case: str) -> None:
    pixels, _ = decoded(case)
    expected = np.linspace(0, 65535, 64).astype(np.uint16) / 65535 * 255
    assert np.abs(pixels[0] - expected[:, None]).max() < 1
    assert len(np.unique(pixels)) == 64


def test_16_bit_grey_with_a_clear_value() -> None:
    values = np.full((16, 16), 1000, dtype=np.uint16)
    values[:8] = 40000
    content = encode(Image.fromarray(values), transparency=1000)
    result = decode_image(content, "a.png")
    pixels = np.asarray(result.image)
    assert (pixels[8:] == 255).all()
    assert (pixels[:8] == 40000 >> 8).all()
    assert result.notes == ("a.png has transparent areas; they were laid on white",)


def test_16_bit_colour_is_scaled() -> None:
    pixels, _ = decoded("rgb16_png")
    assert pixels[3, 3].tolist() == [255, 128, 0]


@pytest.mark.parametrize("case", ["transparent_png", "transparent_webp", "gray_alpha_png"])
def test_transparency_is_laid_on_white(case: str) -> None:
    pixels, notes = decoded(case)
    opaque = [76, 76, 76] if case == "gray_alpha_png" else [255, 0, 0]
    assert pixels[15, 5].tolist() == opaque
    assert np.abs(pixels[15, 15].astype(int) - 127).max() <= 1
    assert pixels[15, 25].tolist() == [255, 255, 255]
    assert len(notes) == 1
    assert notes[0].endswith("has transparent areas; they were laid on white")


def test_transparency_by_palette_and_by_colour() -> None:
    pixels, _ = decoded("palette_transparent_png")
    assert pixels[15, 25].tolist() == [255, 255, 255]
    assert pixels[15, 5].tolist() == [255, 0, 0]
    pixels, _ = decoded("colour_key_png")
    assert pixels[5, 3].tolist() == [255, 255, 255]
    assert pixels[5, 12].tolist() == [0, 0, 255]


def test_an_alpha_channel_that_is_opaque_is_not_worth_a_note() -> None:
    result = decode_image(encode(picture().convert("RGBA")), "a.png")
    assert np.array_equal(np.asarray(result.image), np.asarray(picture()))
    assert result.notes == ()


@pytest.mark.parametrize("case", ["animated_gif", "animated_webp", "animated_apng"])
def test_of_an_animation_the_first_frame_is_used(case: str) -> None:
    pixels, notes = decoded(case)
    assert np.array_equal(pixels, np.asarray(picture()))
    assert notes == (f"{hostile_upload(case)[0]} holds several frames; the first is used",)


def test_print_colours() -> None:
    pixels, notes = decoded("cmyk_jpeg")
    assert np.abs(pixels.astype(int) - np.asarray(picture()).astype(int)).mean() < 10
    assert "CMYK" in notes[0]


@pytest.mark.parametrize("case", ["palette_png", "wrong_suffix", "no_suffix"])
def test_what_counts_is_the_content(case: str) -> None:
    pixels, notes = decoded(case)
    assert np.array_equal(pixels, np.asarray(picture()))
    assert notes == ()


def test_grey_and_black_and_white() -> None:
    pixels, _ = decoded("gray_jpeg")
    assert (pixels[..., 0] == pixels[..., 1]).all()
    pixels, _ = decoded("one_bit_png")
    assert set(np.unique(pixels)) == {0, 255}


def test_header_check_agrees_on_sound_files() -> None:
    for case in USABLE:
        name, content = hostile_upload(case)
        check_header(io.BytesIO(content), name)


def test_threads_and_global_settings() -> None:
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    contents = [encode(picture(200 + i, 150, seed=i), "JPEG") for i in range(8)]

    def pixels(content: bytes) -> bytes:
        return decode_image(content, "a.jpg").image.tobytes()

    alone = [pixels(content) for content in contents]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(pixels, contents * 4)) == alone * 4
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_square_tensor_crops_the_centre() -> None:
    image = Image.new("RGB", (30, 10), (10, 20, 30))
    image.paste((200, 100, 50), (10, 0, 20, 10))
    square = to_square_tensor(image, 5)
    assert square.dtype == torch.uint8
    assert square.is_contiguous()
    assert square.shape == (3, 5, 5)
    assert square[:, 2, 2].tolist() == [200, 100, 50]
    assert (square == square[:, :1, :1]).all()
    same = to_square_tensor(picture(16, 16), 16)
    assert np.array_equal(same.permute(1, 2, 0).numpy(), np.asarray(picture(16, 16)))


def test_square_tensor_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    square = to_square_tensor(Image.fromarray(stripes), 8)[:, 1:-1, 1:-1]
    assert (square.float() - 127.5).abs().max() < 10


def test_a_long_strip_costs_no_memory() -> None:
    name, content = hostile_upload("long_strip_png")
    assert to_square_tensor(decode_image(content, name).image, 224).shape == (3, 224, 224)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_gives_a_picture_or_a_sentence(
    kind: str, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_PIXELS", 10**6)
    content = bytearray(exif_rotated(6, kind) if kind in ("JPEG", "WEBP") else encode(picture(), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = decode_image(bytes(content), "a.file").image
        except BadImage as error:
            sentence = str(error)
        else:
            sentence = "a.file "
            assert image.mode == "RGB"
            assert min(image.size) >= decode.MIN_SIDE
    assert sentence.startswith("a.file ")
