"""The words of the story that Present tells, and of what else stands on its page, one file a language.

A third language is one more file beside `en.toml`, with the same keys and the same {placeholders}; nothing else.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from muc_core.errors import MucError

FOLDER = Path(__file__).parent
FIRST = "en"
Value = str | int


@dataclass(frozen=True)
class Texts:
    """All texts of one language, by key such as `asked.title`; a text is a string or a list of them."""

    language: str
    entries: Mapping[str, str | tuple[str, ...]]

    def say(self, key: str, **values: Value) -> str:
        """One text with its placeholders filled in. Raises `KeyError` when it, or a value, is missing."""
        text = self.entries[key]
        if not isinstance(text, str):
            raise KeyError(f"{key} is a list of texts")
        return text.format(**values)

    def counted(self, key: str, n: int, **values: Value) -> str:
        """The text `key.one` or `key.many`, in which {n} is the number."""
        return self.say(f"{key}.{'one' if n == 1 else 'many'}", n=self.count(n), **values)

    def listed(self, key: str) -> tuple[str, ...]:
        """A list of texts without placeholders."""
        texts = self.entries[key]
        if isinstance(texts, str):
            raise KeyError(f"{key} is one text")
        return texts

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        """The texts `key.NAME.word` and `key.NAME.meaning` of every NAME, in the order of the file."""
        names = dict.fromkeys(name.split(".")[1] for name in self.entries if name.startswith(f"{key}."))
        return tuple((self.say(f"{key}.{name}.word"), self.say(f"{key}.{name}.meaning")) for name in names)

    def has(self, key: str) -> bool:
        return key in self.entries

    def count(self, n: int) -> str:
        """A whole number with the language's sign between thousands."""
        return f"{n:,}".replace(",", self.say("language.thousands"))

    def number(self, value: float) -> str:
        """A number with two decimals; -0.00 is 0.00."""
        return f"{value:z.2f}".replace(".", self.say("language.decimal"))

    def share(self, value: float) -> str:
        """A chance in [0, 1] as a percentage; nothing estimated is ever 0 % or 100 %."""
        if value > 0.99:
            return self.say("language.nearly_all")
        return self.say("language.hardly_any") if value < 0.01 else self.say("language.percent", n=round(100 * value))


def languages() -> dict[str, str]:
    """Names of the languages by their codes, the first one first."""
    codes = sorted((path.stem for path in FOLDER.glob("*.toml")), key=lambda code: (code != FIRST, code))
    return {code: texts(code).say("language.name") for code in codes}


@cache
def texts(language: str) -> Texts:
    """All texts of a language. Raises `MucError` when there are none."""
    path = FOLDER / f"{language}.toml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
        raise MucError(f"there are no texts in the language {language!r}; known: {known}")
    return Texts(language, dict(_flat(tomllib.loads(path.read_text(encoding="utf-8")), "")))


def _flat(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", tuple(map(str, value))
        else:
            yield f"{prefix}{key}", str(value)
