"""A document for people and for experts: a page first, then an appendix of tables. HTML and PDF are made from it alike.

Whatever a stranger called something comes through `shown`: of bounded length, and without signs that would change how
the text around them is read. So the length of a document is bounded, too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from muc_core.reports.story import Paragraph, Points

LONGEST_TEXT = 300
MOST_ROWS = 500

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Headline:
    """The finding: a word and a sign, neither of which stands alone, and what it means."""

    word: str
    sign: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """Columns with the side that their cells keep to, and rows of as many cells."""

    columns: tuple[tuple[str, Side], ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Pairs:
    """What something is called, and what it is."""

    entries: tuple[tuple[str, str], ...]


Block: TypeAlias = Headline | Paragraph | Points | Table | Pairs


@dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The whole.

    Attributes:
        page: for everyone, one page.
        appendix: for experts.
        footer: under each page.
    """

    title: str
    subtitle: str
    page: tuple[Section, ...]
    appendix_title: str
    appendix: tuple[Section, ...]
    footer: str


def shown(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text of a stranger as it is shown: cut when it is long, without control signs."""
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text)[: longest + 1])
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def table(
    columns: Sequence[tuple[str, Side]], rows: Iterable[Sequence[object]], *, rest: str
) -> tuple[Table | Paragraph, ...]:
    """A table of at most `MOST_ROWS` rows, and a sentence where there are more.

    Args:
        rest: where the other rows are, to end that sentence.
    """
    every = [tuple(shown(cell, 160) for cell in row) for row in rows]
    found = Table(tuple(columns), tuple(every[:MOST_ROWS]))
    if len(every) <= MOST_ROWS:
        return (found,)
    return found, Paragraph(f"Shown are {MOST_ROWS:,} of {len(every):,}; {rest}.", quiet=True)
