"""What all charts have in common: hues with a meaning, ink for either theme, a title that says the finding.

Transparent backgrounds let the page's theme through, so charts are drawn with Streamlit's own chart theme switched off
(`theme=None`).
"""

import html
import textwrap
from dataclasses import dataclass
from typing import Any

HUES = {
    "forget": "#D55E00",
    "retain": "#009E73",
    "held-out": "#0072B2",
    "controls": "#0072B2",
    "uploads": "#CC79A7",
}
"""Okabe-Ito hues. They stand for these sets everywhere and for nothing else; before is hollow or pale, after solid."""

FONT = "Source Sans, Source Sans Pro, sans-serif"
CONFIG = {"displayModeBar": False, "scrollZoom": False}
"""For `st.plotly_chart(config=...)`."""

_TITLE_SIZE = 17
_LINE_HEIGHT = 1.3


@dataclass(frozen=True)
class Ink:
    """Colours without a meaning, for one theme."""

    text: str
    muted: str
    rule: str
    paper: str
    accent: str


_LIGHT = Ink(text="#23272f", muted="#5b6270", rule="#d9dce3", paper="#ffffff", accent="#44518f")
_DARK = Ink(text="#e6e8ee", muted="#a4abb9", rule="#383d4a", paper="#14161c", accent="#a3aee8")


def ink(dark: bool) -> Ink:
    """The colours of the page's theme."""
    return _DARK if dark else _LIGHT


def two_decimals(value: float | None) -> str:
    """A similarity, gap or other number as text; "–" where there is none. -0.00 is 0.00."""
    return "–" if value is None else f"{value:z.2f}"


def safe(text: str) -> str:
    """Text of a user, such as a caption, that Plotly must not read as markup."""
    return html.escape(text, quote=False)


def shorten(text: str, longest: int) -> str:
    """At most `longest` characters, the last one an ellipsis where something was cut off."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


LEGEND_AT_FOOT = {"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"}
"""Below the name of the axis in any size and with any number of lines; the bottom margin must have room for them."""


def base_layout(title: str, dark: bool, *, height: int = 420, wrap: int = 100) -> dict[str, Any]:
    """Arguments for `figure.update_layout`: the look of every chart.

    Args:
        title: says the finding, with its numbers; plain text, markup in it is shown as it is.
        dark: whether the page's theme is dark.
        height: of the whole figure in pixels.
        wrap: characters a line of the title may have; about 100 fit the full width of a page, 50 half of it.
    """
    colours = ink(dark)
    lines = textwrap.wrap(title, wrap) or [""]
    return {
        "title": {
            "text": "<br>".join(safe(line) for line in lines),
            "font": {"size": _TITLE_SIZE, "color": colours.text, "weight": 600},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            # Plotly puts the second line of a title where the first belongs.
            "pad": {"t": 6 if len(lines) == 1 else 6 + round(_TITLE_SIZE * _LINE_HEIGHT), "l": 4},
        },
        "height": height,
        "margin": {"t": title_height(title, wrap=wrap) + 28, "r": 24, "b": 56, "l": 64},
        "font": {"family": FONT, "size": 14, "color": colours.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {
            "font": {"family": FONT, "size": 14, "color": colours.text},
            "bgcolor": colours.paper,
            "bordercolor": colours.rule,
        },
        "legend": {"font": {"color": colours.text}, "bgcolor": "rgba(0,0,0,0)"},
        "hovermode": "closest",
        "dragmode": False,
    }


def title_height(title: str, *, wrap: int = 100) -> int:
    """Pixels that the title of `base_layout` takes."""
    return round(max(1, len(textwrap.wrap(title, wrap))) * _TITLE_SIZE * _LINE_HEIGHT)


def axis(name: str, dark: bool) -> dict[str, Any]:
    """Arguments for `update_xaxes` and `update_yaxes`: an axis named in words, with quiet lines."""
    colours = ink(dark)
    return {
        "title": {"text": name, "font": {"size": 14, "color": colours.muted}},
        "tickfont": {"size": 13, "color": colours.muted},
        "gridcolor": colours.rule,
        "linecolor": colours.rule,
        "zerolinecolor": colours.rule,
        "ticks": "",
        "fixedrange": True,
    }
