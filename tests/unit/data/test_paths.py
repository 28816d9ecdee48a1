"""Names of files from elsewhere."""

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muc_core.data.paths import clean_path, guess_caption, is_clutter, match_key, name_some
from muc_core.errors import MucError


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.png", "a.png"),
        ("./a//b.png", "a/b.png"),
        ("birds\\a.png", "birds/a.png"),
        ("a..b/c...png", "a..b/c...png"),
        ("Screenshot at 3.04\u202fPM.png", "Screenshot at 3.04\u202fPM.png"),
        ("café/ñ.png", "café/ñ.png"),
    ],
)
def test_clean_path_accepts(name: str, path: str) -> None:
    assert clean_path(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "a/../b.png", "..", "/a.png", "\\a.png", "\\\\server\\a.png", "C:\\a.png", "c:/a.png", "C:",
        "", ".", "./", "a\x00.png", "a\nb.png", "\x1b[2J.png", "\udcff.png",
    ],
)  # fmt: skip
def test_clean_path_refuses(name: str) -> None:
    with pytest.raises(MucError, match=r"file name|no name") as caught:
        clean_path(name)
    str(caught.value).encode()  # printable everywhere


@given(st.text(alphabet="ab.:/\\ C~\x00\n", max_size=12))
def test_clean_paths_stay_inside(name: str) -> None:
    try:
        path = clean_path(name)
    except MucError:
        return
    assert clean_path(path) == path
    assert not PurePosixPath(path).is_absolute()
    assert not set(PurePosixPath(path).parts) & {"..", ".", ""}
    assert not any(unicodedata.category(character) == "Cc" for character in path)


def test_clutter() -> None:
    for path in ("__MACOSX/a.png", "a/.DS_Store", ".git/a.png", "a/Thumbs.db", "desktop.ini", "a/._b.png"):
        assert is_clutter(path)
    for path in ("a.png", "macosx/a.png", "a/b.c/d.png"):
        assert not is_clutter(path)


def test_match_key() -> None:
    decomposed = unicodedata.normalize("NFD", "café.png")
    assert decomposed != "café.png"
    assert match_key(decomposed) == match_key(".\\café.png") == match_key(" café.png ") == "café.png"
    assert match_key("A.png") != match_key("a.png")


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("red_car-2.png", "red car"),
        ("birds/blue tit.jpeg", "blue tit"),
        ("C:\\pictures\\Red-Fox.PNG", "Red Fox"),
        ("001-bird.png", "bird"),
        ("route_66_sign.png", "route 66 sign"),
        ("bird.png (2)", "bird png"),
        ("bird (2).png", "bird"),
        ("crème_brûlée.webp", "crème brûlée"),
        ("no suffix", "no suffix"),
        ("IMG_2031.jpg", None),
        ("DSC00012 copy.jpg", "DSC00012 copy"),
        ("0001.png", None),
        ("photo.png", None),
        ("___.png", None),
        ("", None),
    ],
)
def test_guess_caption(name: str, caption: str | None) -> None:
    assert guess_caption(name) == caption


@given(st.text(max_size=30))
def test_guessed_captions_are_words_or_nothing(name: str) -> None:
    caption = guess_caption(name)
    assert caption is None or (caption == " ".join(caption.split()) != "")


def test_name_some() -> None:
    assert name_some(["a", "b"]) == "a, b"
    assert name_some(["a", "b", "c", "d"], 2) == "a, b and 2 more"
