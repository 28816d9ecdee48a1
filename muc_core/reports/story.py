"""A story for an audience: a few slides, in a form that a page, a file of HTML and a PDF show alike.

The words come from outside, so that a story exists in any language; here is only how it looks. Every text is escaped:
captions and file names are whatever somebody called them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TypeAlias


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, and what it is called."""

    url: str
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text; `quiet` for a note that explains something else."""

    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Points:
    """A list of statements."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Pictures:
    """A strip of pictures of one set, whose hue frames them."""

    pictures: tuple[Picture, ...]
    hue: str


@dataclass(frozen=True)
class Bar:
    """A number before and after, with their text; bars show the part of it in [0, 1]."""

    label: str
    before: float
    after: float
    before_text: str
    after_text: str
    hue: str


@dataclass(frozen=True)
class Bars:
    """Numbers before (hollow) and after (solid), and how to read them."""

    title: str
    rows: tuple[Bar, ...]
    before: str
    after: str
    how_to_read: str


@dataclass(frozen=True)
class Guess:
    """One candidate that an encoder finds alike: its similarity in [-1, 1], and whether it is the picture's own."""

    text: str
    similarity: float
    number: str
    own: bool = False
    url: str = ""


@dataclass(frozen=True)
class Side:
    """What one encoder takes a picture for."""

    title: str
    guesses: tuple[Guess, ...]
    note: str


@dataclass(frozen=True)
class Guesses:
    """What two encoders take one picture for."""

    title: str
    picture: Picture
    before: Side
    after: Side
    own: str
    hue: str


@dataclass(frozen=True)
class Verdict:
    """A verdict: a word, a sign and a hue, none of which stands alone, and what it means."""

    word: str
    sign: str
    hue: str
    meaning: str


@dataclass(frozen=True)
class Figures:
    """Large numbers with what each counts."""

    figures: tuple[tuple[str, str], ...]


Block: TypeAlias = Paragraph | Points | Pictures | Bars | Guesses | Verdict | Figures


@dataclass(frozen=True)
class Slide:
    """One step of the story; `notes` are for the speaker alone."""

    title: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """The whole story.

    Attributes:
        language: as in HTML, such as "en".
        title: of the whole.
        subtitle: what it is about, a line.
        slides: in order.
        glossary: words and their meanings.
        glossary_title, notes_title: headings.
        footer: where it comes from.
    """

    language: str
    title: str
    subtitle: str
    slides: tuple[Slide, ...]
    glossary: tuple[tuple[str, str], ...]
    glossary_title: str
    notes_title: str
    footer: str


STYLE = """
.muc-story { font-size: clamp(1.05rem, 0.8rem + 0.75vw, 1.5rem); line-height: 1.5; overflow-wrap: anywhere; }
.muc-story p { font-size: inherit; margin: 0 0 0.9em; max-width: 44em; }
.muc-story p.quiet { font-size: 0.75em; opacity: 0.8; max-width: 58em; }
.muc-story.muc-story ul { font-size: inherit; margin: 0 0 0.9em; padding-left: 1.2em; max-width: 44em; }
.muc-story.muc-story ul li { font-size: inherit; margin: 0 0 0.55em; }
.muc-story :is(h2, h3, h4) { font-size: 1em; line-height: 1.35; font-weight: 600; margin: 0 0 0.5em; padding: 0; }
.muc-story figure { margin: 0; min-width: 0; }
.muc-story figcaption { font-size: 0.68em; line-height: 1.3; margin-top: 0.3em; }
.muc-story img { display: block; background: #fff; border-radius: 8px; border: 1px solid rgba(128, 128, 128, 0.3); }
.muc-pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.2em, 1fr)); gap: 0.8em;
  margin: 0 0 1.1em; }
.muc-pictures img { width: 100%; max-width: 7em; aspect-ratio: 1; object-fit: contain; border-width: 2px; }
.muc-bars { margin: 0 0 1.1em; max-width: 44em; }
.muc-bars .row { display: grid; grid-template-columns: minmax(7em, 14em) 1fr; gap: 0.2em 1em; align-items: center;
  margin-bottom: 0.7em; }
.muc-line { display: flex; align-items: center; gap: 0.5em; font-size: 0.85em; line-height: 1.3; }
.muc-line .word { width: 4.2em; font-size: 0.85em; opacity: 0.8; }
.muc-line .track { flex: 1; min-width: 2em; }
.muc-line .bar { height: 0.75em; border-radius: 3px; box-sizing: border-box; min-width: 3px; }
.muc-line .number { width: 2.9em; text-align: right; font-variant-numeric: tabular-nums; }
.muc-guesses { display: grid; grid-template-columns: minmax(6em, 11em) 1fr; gap: 1.4em; align-items: start;
  margin: 0 0 1.1em; max-width: 52em; }
.muc-guesses > figure > img { width: 100%; max-width: 11em; aspect-ratio: 1; object-fit: contain; }
.muc-sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(15em, 1fr)); gap: 1.6em; }
.muc-guess { display: grid; grid-template-columns: 1.1em auto 1fr 3em; gap: 0.1em 0.5em; align-items: center;
  margin-bottom: 0.35em; line-height: 1.3; }
.muc-guess img { width: 2em; height: 2em; }
.muc-guess .name { min-width: 0; }
.muc-guess .own { font-weight: 600; }
.muc-guess .tag { font-size: 0.7em; font-weight: 400; padding: 0.05em 0.5em; border-radius: 1em; white-space: nowrap;
  border: 1px solid currentColor; }
.muc-guess .number { text-align: right; font-variant-numeric: tabular-nums; }
.muc-guess .track { grid-column: 3 / 5; }
.muc-guess .bar { height: 0.4em; border-radius: 3px; min-width: 3px; }
.muc-verdict { display: flex; gap: 0.7em; align-items: center; margin: 0 0 0.4em; font-size: 1.9em; font-weight: 600;
  line-height: 1.2; }
.muc-verdict .sign { flex: none; width: 1.5em; height: 1.5em; border-radius: 50%; border: 0.09em solid currentColor;
  display: grid; place-items: center; font-size: 0.8em; line-height: 1; }
.muc-figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(10em, 1fr)); gap: 1.2em;
  margin: 0 0 1.2em; max-width: 52em; }
.muc-figures .value { font-size: 1.9em; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.muc-figures .what { font-size: 0.8em; line-height: 1.35; }
@media (max-width: 640px) {
  .muc-bars .row, .muc-guesses { grid-template-columns: 1fr; }
  .muc-guesses > figure > img { max-width: 8em; }
}
"""
"""For what `slide_html` returns; colours other than those with a meaning are those of the page around it."""

_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 "Source Sans", system-ui, sans-serif; color: #23272f; background: #fff; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.2rem; }
section { min-height: 80vh; padding: 2rem 0; border-bottom: 1px solid #d9dce3; }
h1 { font-size: 2.4rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 2rem; line-height: 1.2; margin: 0 0 1.2rem; }
nav { margin: 1.2rem 0; } nav ol { padding-left: 1.2em; font-size: 1.15rem; } a { color: #44518f; }
dt { font-weight: 600; margin-top: .7em; } dd { margin: 0; }
aside { font-size: 1rem; border-left: .25rem solid #44518f; padding: .2rem 1rem; margin-top: 1.5rem; }
footer { font-size: .9rem; color: #5b6270; padding: 1.5rem 0; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e8ee; background: #14161c; } section { border-color: #383d4a; } a { color: #a3aee8; }
  footer { color: #a4abb9; } .muc-verdict { filter: brightness(1.6); }
}
@page { size: A4 landscape; margin: 1.6cm; }
@media print {
  :root { color-scheme: light; } body { color: #23272f; background: #fff; }
  main { max-width: none; padding: 0; } nav { display: none; }
  section { min-height: 0; border: 0; padding: 0; break-after: page; }
  section:last-of-type { break-after: auto; } .muc-story { font-size: 12pt; }
  figure, .muc-guess, .row, li { break-inside: avoid; } .muc-verdict { filter: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A browser that opens the file asks no other machine for anything, whatever stands in it."""


def to_html(story: Story) -> str:
    """The story as one page that needs nothing else, not even a network, and prints a slide a page."""
    slides = "".join(
        f'<section id="step-{number}"><h2>{number}. {escape(slide.title)}</h2>{slide_html(slide.blocks, level=3)}'
        f"{_notes(story.notes_title, slide.notes)}</section>"
        for number, slide in enumerate(story.slides, 1)
    )
    steps = "".join(
        f'<li><a href="#step-{number}">{escape(slide.title)}</a></li>' for number, slide in enumerate(story.slides, 1)
    )
    words = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in story.glossary)
    return (
        f'<!doctype html><html lang="{escape(story.language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(story.title)}</title><style>{STYLE}{_PAGE_STYLE}</style></head><body><main>"
        f"<header><h1>{escape(story.title)}</h1><p>{escape(story.subtitle)}</p><nav><ol>{steps}</ol></nav></header>"
        f"{slides}<section><h2>{escape(story.glossary_title)}</h2><dl>{words}</dl></section>"
        f"<footer>{escape(story.footer)}</footer></main></body></html>\n"
    )


def slide_html(blocks: Iterable[Block], *, level: int = 2) -> str:
    """Blocks as HTML, without their style; every text in it is escaped. `level` is that of their headings, 1 to 5."""
    return f'<div class="muc-story">{"".join(_block(block, level) for block in blocks)}</div>'


def heading_html(text: str, *, level: int = 2) -> str:
    """A heading among blocks."""
    return f'<div class="muc-story">{_heading(text, level)}</div>'


def side_html(block: Guesses, side: Side, *, level: int = 3) -> str:
    """What one of the two encoders takes the picture for, as HTML; `level` is that of its heading."""
    return (
        f'<div class="muc-story"><div class="muc-guesses">{_figure(block.picture)}'
        f'<div class="muc-sides">{_side(block, side, level)}</div></div></div>'
    )


def _block(block: Block, level: int) -> str:
    if isinstance(block, Paragraph):
        return f"<p{' class=quiet' if block.quiet else ''}>{escape(block.text)}</p>"
    if isinstance(block, Points):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Pictures):
        frame = f"border-color: {escape(block.hue)}"
        return f'<div class="muc-pictures">{"".join(_figure(picture, frame) for picture in block.pictures)}</div>'
    if isinstance(block, Bars):
        rows = "".join(_row(block, bar) for bar in block.rows)
        how = f"<p class=quiet>{escape(block.how_to_read)}</p>"
        return f'{_heading(block.title, level)}<div class="muc-bars">{rows}</div>{how}'
    if isinstance(block, Guesses):
        sides = _side(block, block.before, level + 1) + _side(block, block.after, level + 1)
        return (
            f'{_heading(block.title, level)}<div class="muc-guesses">{_figure(block.picture)}'
            f'<div class="muc-sides">{sides}</div></div>'
        )
    if isinstance(block, Verdict):
        return (
            f'<div class="muc-verdict" style="color: {escape(block.hue)}"><span class="sign" aria-hidden="true">'
            f"{escape(block.sign)}</span><span>{escape(block.word)}</span></div><p>{escape(block.meaning)}</p>"
        )
    figures = "".join(
        f'<div><div class="value">{escape(value)}</div><div class="what">{escape(what)}</div></div>'
        for value, what in block.figures
    )
    return f'<div class="muc-figures">{figures}</div>'


def _heading(text: str, level: int) -> str:
    return f"<h{level}>{escape(text)}</h{level}>"


def _figure(picture: Picture, style: str = "") -> str:
    text = escape(picture.text)
    image = f'<img src="{escape(picture.url)}" alt="{text}" style="{style}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def _row(block: Bars, bar: Bar) -> str:
    hue = escape(bar.hue)
    return (
        f'<div class="row"><div>{escape(bar.label)}</div><div>'
        f"{_line(block.before, bar.before, bar.before_text, f'border: 2px solid {hue}; background: {hue}33')}"
        f"{_line(block.after, bar.after, bar.after_text, f'background: {hue}; border: 2px solid {hue}')}</div></div>"
    )


def _line(word: str, value: float, number: str, look: str) -> str:
    return (
        f'<div class="muc-line"><span class="word">{escape(word)}</span><div class="track"><div class="bar" '
        f'style="width: {percent(value):.1f}%; {look}"></div></div><span class="number">{escape(number)}</span></div>'
    )


def _side(block: Guesses, side: Side, level: int) -> str:
    rows = []
    for place, guess in enumerate(side.guesses, 1):
        image = f'<img src="{escape(guess.url)}" alt="">' if guess.url else "<span></span>"
        tag = f' <span class="tag">{escape(block.own)}</span>' if guess.own else ""
        look = f"background: {escape(block.hue)}" if guess.own else "background: rgba(128, 128, 128, 0.55)"
        rows.append(
            f'<div class="muc-guess"><span>{place}.</span>{image}<span class="name{" own" if guess.own else ""}">'
            f'{escape(guess.text)}{tag}</span><span class="number">{escape(guess.number)}</span><div class="track">'
            f'<div class="bar" style="width: {percent(guess.similarity):.1f}%; {look}"></div></div></div>'
        )
    return f"<div>{_heading(side.title, level)}{''.join(rows)}<p class=quiet>{escape(side.note)}</p></div>"


def _notes(title: str, notes: tuple[str, ...]) -> str:
    if not notes:
        return ""
    return f"<aside><strong>{escape(title)}</strong>{''.join(f'<p>{escape(note)}</p>' for note in notes)}</aside>"


def percent(value: float) -> float:
    """Length of a bar: it has none below zero; the number beside it still says how far."""
    return 100 * min(max(value, 0.0), 1.0)
