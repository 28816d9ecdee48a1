"""Texts on their way to a page."""

import re


def plain(text: str) -> str:
    """Text of a user, such as a file name, that Markdown must not read as markup."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-!|$~:])", r"\\\1", text)


def sentence(text: str) -> str:
    """A message of the library, which begins small and has no full stop, as a sentence."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
