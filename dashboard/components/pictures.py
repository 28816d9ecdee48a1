"""Strips of pictures with their numbers: similarity before and after, as two small bars under each picture."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard.charts.style import shorten, two_decimals


@dataclass(frozen=True)
class Shown:
    """A picture with its numbers.

    Attributes:
        url: of the picture, a data URL.
        text: its caption or file name.
        before, after: similarity in the two encoders, in [-1, 1].
    """

    url: str
    text: str
    before: float
    after: float


_STYLE = """
<style>
.muc-strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)); gap: 0.9rem; }
.muc-strip figure { margin: 0; min-width: 0; }
.muc-strip img { width: 64px; height: 64px; border-radius: 6px; background: #fff; display: block;
  border: 1px solid rgba(128, 128, 128, 0.25); }
.muc-strip figcaption { font-size: 0.8rem; line-height: 1.25; margin: 0.3rem 0; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }
.muc-row { display: flex; align-items: center; gap: 0.4rem; font-size: 0.78rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.muc-track { flex: 1; height: 8px; }
.muc-bar { height: 8px; border-radius: 2px; box-sizing: border-box; min-width: 2px; }
.muc-number { width: 2.2rem; text-align: right; }
</style>
"""


def picture_strip(pictures: Sequence[Shown], hue: str) -> None:
    """Pictures in a row that wraps; under each its text, a hollow bar for before, a solid one for after.

    Args:
        pictures: what to show.
        hue: colour of the set the pictures are of, from `charts.style.HUES`.
    """
    figures = "".join(_figure(picture, hue) for picture in pictures)
    st.html(f'{_STYLE}<div class="muc-strip">{figures}</div>')


def _figure(picture: Shown, hue: str) -> str:
    text = html.escape(picture.text)
    return (
        f'<figure><img src="{picture.url}" alt="{text}"><figcaption title="{text}">'
        f"{html.escape(shorten(picture.text, 40))}</figcaption>"
        f"{_bar('before', picture.before, f'border: 1.5px solid {hue}; background: {hue}33')}"
        f"{_bar('after', picture.after, f'background: {hue}')}</figure>"
    )


def _bar(name: str, value: float, look: str) -> str:
    # A bar has no length below zero; the number beside it still says how far.
    width = 100 * min(max(value, 0.0), 1.0)
    return (
        f'<div class="muc-row" title="{name}: {two_decimals(value)}"><div class="muc-track">'
        f'<div class="muc-bar" style="width: {width:.1f}%; {look}"></div></div>'
        f'<span class="muc-number">{two_decimals(value)}</span></div>'
    )
