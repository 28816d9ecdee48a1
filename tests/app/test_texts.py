"""The catalogue of the story's texts: every language says the same things, and all that the page asks for."""

import re
import string
from pathlib import Path

import pytest

from dashboard.texts import FOLDER, languages, texts
from muc_core.errors import MucError

CODES = sorted(path.stem for path in FOLDER.glob("*.toml"))
COMPONENTS = FOLDER.parent / "components"


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_there_are_english_and_german_english_first() -> None:
    assert list(languages().items())[:1] == [("en", "English")]
    assert languages()["de"] == "Deutsch"
    assert set(languages()) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_the_same_keys_lists_and_placeholders(code: str) -> None:
    first, other = texts("en").entries, texts(code).entries
    assert list(first) == list(other)
    for key, text in first.items():
        there = other[key]
        if isinstance(text, str):
            assert isinstance(there, str), key
            assert placeholders(text) == placeholders(there), key
        else:
            assert isinstance(there, tuple), key
            assert len(text) == len(there), key


@pytest.mark.parametrize("code", CODES)
def test_no_text_is_empty_or_padded(code: str) -> None:
    for key, entry in texts(code).entries.items():
        for text in (entry,) if isinstance(entry, str) else entry:
            assert text, key
            assert text == text.strip(), key
            assert "  " not in text, key


@pytest.mark.parametrize("name", ["present.py", "story_slides.py", "evidence_offer.py"])
def test_the_page_asks_for_no_text_that_is_missing(name: str) -> None:
    source = (COMPONENTS / name).read_text(encoding="utf-8")
    entries = texts("en").entries
    asked = re.findall(r'words\.(?:say|listed|counted|pairs)\((f?)"([^"]+)"', source)
    assert len(asked) > 12
    for formatted, key in asked:
        # A part in braces stands for any one name.
        pattern = re.sub(r"\\\{.*?\\\}", "[^.]*", re.escape(key)) if formatted else re.escape(key)
        assert [known for known in entries if re.match(rf"{pattern}($|\.)", known)], key


def test_numbers_are_written_as_the_language_does() -> None:
    english, german = texts("en"), texts("de")
    assert (english.count(1234567), german.count(1234567)) == ("1,234,567", "1.234.567")
    assert (english.number(-0.001), german.number(0.845)) == ("0.00", "0,84")
    assert [english.share(value) for value in (0.0, 0.005, 0.5, 0.994, 1.0)] == [
        "< 1 %",
        "< 1 %",
        "50 %",
        "> 99 %",
        "> 99 %",
    ]


def test_an_unknown_language_and_a_missing_text_are_refused() -> None:
    with pytest.raises(MucError, match=r"no texts in the language '../en'; known: de, en"):
        texts("../en")
    with pytest.raises(KeyError):
        texts("en").say("no.such.text")
    with pytest.raises(KeyError):
        texts("en").say("page.check_now.more")
    with pytest.raises(KeyError, match="n"):
        texts("en").say("done.seconds")


def test_the_files_are_part_of_the_package() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"*.toml", "*.typ"' in project
