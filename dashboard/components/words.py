"""Texts on their way to a page."""

import re


def plain(text: str) -> str:
    """Text of a user, such as a file name, that Markdown must not read as markup."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-!|$~:])", r"\\\1", text)


def moment(stamp: str) -> str:
    """A stamp in ISO 8601 and UTC, to the second, for people."""
    return f"{stamp[:10]} {stamp[11:19]} UTC"


def capital(text: str) -> str:
    """A text that begins small with a capital, unless it begins with the name of a file, a field or an address."""
    first, _, _ = text.partition(" ")
    return text if re.search(r"[./:_]\w", first) else text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """A message of the library, which begins small and has no full stop, as a sentence."""
    return capital(text).rstrip(".") + "."
