"""The story as PDF: its texts are texts, whatever they look like, and its pictures are in it."""

import re
import zlib
from dataclasses import replace

import pytest

from muc_core.errors import MucError
from muc_core.reports.story import Paragraph, Picture, Pictures, Slide
from muc_core.reports.story_pdf import to_pdf
from tests.story import hostile_story

IMAGE = rb"/Subtype\s*/Image\b"


def streams(pdf: bytes) -> bytes:
    """What the streams of a PDF hold."""
    found = []
    for content in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            found.append(zlib.decompress(content))
        except zlib.error:
            found.append(content)
    return b"".join(found)


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf + streams(pdf)))


def test_hostile_texts_are_set_as_they_are() -> None:
    pdf = to_pdf(hostile_story())
    assert pdf.startswith(b"%PDF-")
    # A title, four slides and the glossary, each on a page of its own at least.
    assert pages(pdf) >= 6
    content = pdf + streams(pdf)
    assert b"/URI" not in content
    assert b"/JavaScript" not in content


def test_each_slide_is_a_page() -> None:
    short = hostile_story("text", notes=False)
    assert pages(to_pdf(short)) == 6
    assert pages(to_pdf(replace(short, slides=short.slides[:2]))) == 4


def test_notes_and_pictures_are_in_it_when_they_are_in_the_story() -> None:
    told = replace(hostile_story("text"), slides=(Slide("one", (Paragraph("x"),)),))
    bare = to_pdf(told)
    assert not re.search(IMAGE, bare)
    (picture,) = {
        part for block in hostile_story().slides[0].blocks if isinstance(block, Pictures) for part in block.pictures
    }
    shown = to_pdf(replace(told, slides=(Slide("one", (Pictures((picture,), "#000000"),)),)))
    assert re.search(IMAGE, shown)


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,bm8=", "data:image/png;base64,***", "http://evil.example/x.png"]
)
def test_what_is_no_picture_is_refused_in_a_sentence(url: str) -> None:
    told = replace(hostile_story("text"), slides=(Slide("one", (Pictures((Picture(url, "x"),), "#000000"),)),))
    with pytest.raises(MucError, match="cannot be read; choose other pictures"):
        to_pdf(told)
