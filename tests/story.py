"""A story that exercises every block, with texts that try to be markup."""

import base64
import io

from PIL import Image

from muc_core.reports.story import (
    Bar,
    Bars,
    Figures,
    Guess,
    Guesses,
    Paragraph,
    Picture,
    Pictures,
    Points,
    Side,
    Slide,
    Story,
    Verdict,
)

HOSTILE = (
    '</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)> " onload="x" \' & '
    '#import "http://evil.example" $x^2$ *b* _i_ @ref `code` \\ // https://evil.example {x} [y] ä ß'
)


def picture_url(colour: str, side: int = 60, kind: str = "WEBP") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def hostile_story(text: str = HOSTILE, *, notes: bool = True) -> Story:
    picture = Picture(picture_url("red"), text)
    guesses = (Guess(text, 0.9, "0.90", own=True), Guess("x", -0.2, "-0.20", url=picture_url("blue", kind="PNG")))
    said = (text, text) if notes else ()
    return Story(
        language="en",
        title=text,
        subtitle=text,
        slides=(
            Slide(text, (Paragraph(text), Paragraph(text, quiet=True), Pictures((picture,) * 3, "#D55E00")), said),
            Slide("two", (Bars(text, (Bar(text, 0.5, -0.3, "0.50", text, "#009E73"),), text, text, text),)),
            Slide(
                "three", (Guesses(text, picture, Side(text, guesses, text), Side(text, guesses, text), text, "#000"),)
            ),
            Slide("four", (Verdict(text, "!", "#b3261e", text), Figures(((text, text),)), Points((text, "plain")))),
        ),
        glossary=((text, text),),
        glossary_title=text,
        notes_title=text,
        footer=text,
    )
