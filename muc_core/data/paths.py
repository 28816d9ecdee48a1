"""Names of files that came from elsewhere: made safe, compared, and read for what they say."""

import re
import unicodedata

from muc_core.errors import MucError

_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
_CAMERA_WORDS = frozenset(
    (
        "copy",
        "dsc",
        "dscf",
        "dscn",
        "image",
        "img",
        "mvimg",
        "photo",
        "picture",
        "pxl",
        "scan",
        "screenshot",
        "untitled",
    )
)


def clean_path(name: str) -> str:
    """A relative path with forward slashes and no empty or `.` parts: what ids are made of.

    Raises:
        MucError: a path that is absolute, climbs with `..`, is empty, or has characters that cannot be shown.
    """
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise MucError(f"the file name {name!r} has characters that cannot be shown; rename the file")
    if path.startswith("/") or re.match(r"[A-Za-z]:(/|$)", path) or ".." in parts:
        raise MucError(f"the file name {name!r} points outside its folder; only names inside it are accepted")
    if not parts:
        raise MucError("a file has no name; rename it")
    return "/".join(parts)


def is_clutter(path: str) -> bool:
    """Whether a clean path leads to what operating systems leave behind: dotfiles, `__MACOSX` and the like."""
    return any(part.startswith(".") or part.lower() in _CLUTTER for part in path.split("/"))


def match_key(path: str) -> str:
    """Equal for all ways to write one relative path: slashes either way, a leading `./`, accents composed or not."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./"))


def guess_caption(name: str) -> str | None:
    """A caption from a file name, "red_car-2.png" -> "red car"; None where it has no words, as in "IMG_2031.jpg"."""
    stem = re.sub(r"\.\w{1,5}$", "", name.replace("\\", "/").rsplit("/", 1)[-1])
    words = [word for word in re.split(r"[\W_]+", unicodedata.normalize("NFC", stem)) if word]
    while words and words[-1].isdecimal():
        words.pop()
    while words and words[0].isdecimal():
        words.pop(0)
    return None if all(word.lower() in _CAMERA_WORDS or word.isdecimal() for word in words) else " ".join(words)


def name_some(names: list[str], most: int = 10) -> str:
    """The names as a list for a sentence, the first `most` of them: "a, b and 3 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
