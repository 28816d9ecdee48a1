"""The story as one page of HTML: whole, escaped, alone, and small."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from muc_core.reports.story import Guesses, Picture, Pictures, Slide, percent, side_html, slide_html, to_html
from tests.story import HOSTILE, hostile_story

ALLOWED = {"html", "head", "meta", "title", "style", "body", "main", "header", "nav", "ol", "li", "a", "section", "h1"}
ALLOWED |= {
    "h2",
    "h3",
    "h4",
    "p",
    "div",
    "span",
    "figure",
    "figcaption",
    "img",
    "ul",
    "dl",
    "dt",
    "dd",
    "aside",
    "strong",
}
ALLOWED |= {"h4", "footer"}


class Reader(HTMLParser):
    """Collects what a browser would act on, and the text that it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_hostile_texts_stay_texts() -> None:
    found = read(to_html(hostile_story()))
    assert set(found.tags) <= ALLOWED
    known = {"lang", "charset", "http-equiv", "content", "name", "class", "id", "style", "src", "alt", "href"}
    assert {name for name, _ in found.attributes} <= known | {"aria-hidden"}
    assert found.text.count(HOSTILE) > 20
    alts = [value for name, value in found.attributes if name == "alt" and value]
    assert set(alts) == {HOSTILE}


def test_it_asks_nobody_for_anything() -> None:
    page = to_html(hostile_story())
    found = read(page)
    assert all(value.startswith("data:image/") for name, value in found.attributes if name == "src")
    assert all(value.startswith("#step-") for name, value in found.attributes if name == "href")
    assert "default-src 'none'" in page
    styles = "".join(value for name, value in found.attributes if name == "style")
    assert "url(" not in styles + re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]


def test_every_slide_and_word_is_there_and_notes_only_when_wanted() -> None:
    told = hostile_story("text", notes=False)
    page = to_html(told)
    assert page.startswith('<!doctype html><html lang="en">')
    assert [f'id="step-{number}"' in page for number in range(1, 6)] == [True] * 4 + [False]
    assert "<aside>" not in page
    assert "<aside>" in to_html(hostile_story("text"))
    assert "<dt>text</dt><dd>text</dd>" in page


def test_bars_show_the_part_in_0_to_1() -> None:
    assert [percent(value) for value in (-1, -0.3, 0, 0.5, 1, 2)] == [0, 0, 0, 50, 100, 100]
    page = to_html(hostile_story("text"))
    assert "width: 50.0%" in page
    assert "width: 90.0%" in page
    assert "-0.20" in page


def test_on_a_page_one_side_of_the_guesses_is_shown() -> None:
    (block,) = hostile_story("text").slides[2].blocks
    assert isinstance(block, Guesses)
    assert slide_html((block,)).count('class="muc-guess"') == 4
    assert side_html(block, block.after).count('class="muc-guess"') == 2


def test_pictures_that_compress_badly_stay_far_below_5_mb() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "WEBP", quality=80)
    worst = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    # Twelve pictures of the subject, six with a trace, a large one (2.25 times the pixels) and ten neighbours.
    pictures = Pictures(tuple(Picture(worst, "x") for _ in range(12 + 6 + 3 + 10)), "#000")
    page = to_html(replace(hostile_story("text"), slides=(Slide("one", (pictures,)),)))
    assert len(page.encode()) < 2_000_000
