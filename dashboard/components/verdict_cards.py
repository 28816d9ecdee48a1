"""A card for each picture of an audit: the picture, where it stands among never-seen ones, and the verdict on it."""

import base64
import html
import math
from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.charts.style import HUES, shorten
from dashboard.charts.verdict_looks import ITEM_LOOKS, Look
from dashboard.components.links import linked_state
from dashboard.components.page import is_dark
from muc_core.audit.result import AuditResult, Item

A_PAGE = 12
FILTER, PAGE = "verdict filter", "verdict page"
_ALL = "All"

_STYLE = """
<style>
.muc-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 0.8rem; }
.muc-card { border: 1px solid rgba(128, 128, 128, 0.3); border-radius: 8px; padding: 0.75rem; min-width: 0; }
.muc-card-top { display: flex; gap: 0.75rem; align-items: center; }
.muc-card img, .muc-card .muc-none { width: 64px; height: 64px; border-radius: 6px; background: #fff; flex: none;
  border: 1px solid rgba(128, 128, 128, 0.25); }
.muc-card .muc-none { background: none; border-style: dashed; }
.muc-card-words { min-width: 0; }
.muc-card-name { font-weight: 600; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.muc-card-verdict { display: flex; align-items: center; gap: 0.3rem; font-weight: 600; font-size: 0.95rem; }
.muc-card-verdict span { font-family: "Material Symbols Rounded"; font-size: 1.2rem; font-weight: 400; line-height: 1; }
.muc-card img.muc-strip { width: 100%; height: auto; display: block; margin-top: 0.5rem; background: none; border: none;
  border-radius: 0; }
.muc-card-says { font-size: 0.85rem; line-height: 1.35; }
</style>
"""

TOGETHER = (
    "No picture stands out for sure by itself; it is all of them together that stand above never-seen ones. No trace "
    "found in one picture does not mean that it was forgotten."
)
HOW_TO_READ = (
    "How to read this: the blue hill is where pictures the encoder has never seen stand, familiar ones to the right. "
    "The hollow dot is your picture before, the solid one after. A forgotten picture lies anywhere on the hill, as any "
    "never-seen picture does."
)


def verdict_cards(result: AuditResult, names: Mapping[str, str], thumbnails: Mapping[str, str]) -> None:
    """The owner's pictures, those of most concern first, with filters, a page at a time.

    Args:
        names: what each picture is called, by id.
        thumbnails: data URLs by id; a picture without one gets an empty frame.
    """
    chosen = _filtered(result)
    pages = max(1, math.ceil(len(chosen) / A_PAGE))
    page = linked_state(PAGE, {str(number): number for number in range(1, pages + 1)}, first=1, what="the page")
    if not chosen:
        st.caption("There is no such picture.")
        return
    shown = chosen[(page - 1) * A_PAGE : page * A_PAGE]
    dark = is_dark()
    cards = "".join(_card(item, names.get(item.id, item.id), thumbnails.get(item.id), dark=dark) for item in shown)
    if result.verdict == "under-forgotten" and not any(item.verdict == "trace found" for item in result.items):
        st.caption(TOGETHER)
    st.html(f'{_STYLE}<div class="muc-cards">{cards}</div>')
    if pages > 1:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            first = (page - 1) * A_PAGE
            st.caption(f"Pictures {first + 1:,} to {first + len(shown):,} of {len(chosen):,}", width="content")
            st.pagination(pages, key=PAGE, persist_state="session")
    st.caption(HOW_TO_READ)


def _filtered(result: AuditResult) -> Sequence[Item]:
    counts = {verdict: sum(item.verdict == verdict for item in result.items) for verdict in ITEM_LOOKS}
    labels: dict[str, str] = {_ALL: f"All ({len(result.items):,})"}
    for verdict, look in ITEM_LOOKS.items():
        labels[verdict] = f":material/{look.icon}: {look.word} ({counts[verdict]:,})"
    linked_state(FILTER, {kind: kind for kind in labels}, first=_ALL, what="the kind of picture")
    wanted = st.segmented_control(
        "Show",
        list(labels),
        format_func=labels.__getitem__,
        key=FILTER,
        required=True,
        persist_state="session",
        label_visibility="collapsed",
        on_change=_first_page,
    )
    return [item for item in result.items if wanted in (_ALL, item.verdict)]


def _first_page() -> None:
    st.session_state[PAGE] = 1


def _card(item: Item, name: str, thumbnail: str | None, *, dark: bool) -> str:
    look: Look = ITEM_LOOKS[item.verdict]
    safe = html.escape(name)
    picture = f'<img src="{thumbnail}" alt="{safe}">' if thumbnail else '<div class="muc-none"></div>'
    return (
        f'<div class="muc-card"><div class="muc-card-top">{picture}<div class="muc-card-words">'
        f'<div class="muc-card-name" title="{safe}">{html.escape(shorten(name, 60))}</div>'
        f'<div class="muc-card-verdict" style="color: {look.ink(dark)}"><span aria-hidden="true">{look.icon}</span>'
        f"{look.word}</div></div></div>{_strip(item)}"
        f'<div class="muc-card-says">{_say(item)}</div></div>'
    )


def _say(item: Item) -> str:
    after = f"After, more familiar than <b>{_share(item.standing_after)}</b> of never-seen pictures"
    if item.standing_before is None:
        return f"{after}."
    return f"{after}; before, than {_share(item.standing_before)}."


def _share(standing: float) -> str:
    """Share of the controls below a standing, which is a normal score among them."""
    below = (1 + math.erf(standing / math.sqrt(2))) / 2
    if below > 0.995:
        return "all but the fewest" if below < 1 - 1e-9 else "all"
    return f"{below:.0%}".replace("%", " %")


_WIDTH, _HEIGHT, _REACH, _BASE = 260, 46, 3.4, 38


def _x(standing: float) -> float:
    within = min(max(standing, -_REACH), _REACH)
    return 10 + (_WIDTH - 20) * (within + _REACH) / (2 * _REACH)


def _hill() -> str:
    """Outline of the controls' standings, which are normal scores: a normal density."""
    places = [-_REACH + step * _REACH / 20 for step in range(41)]
    points = " ".join(f"{_x(z):.1f},{_BASE - 30 * math.exp(-z * z / 2):.1f}" for z in places)
    return f"{_x(-_REACH):.1f},{_BASE} {points} {_x(_REACH):.1f},{_BASE}"


def _strip(item: Item) -> str:
    blue, hue = HUES["controls"], HUES["uploads"]
    after = _x(item.standing_after)
    parts = [
        f'<polygon points="{_hill()}" fill="{blue}" fill-opacity="0.22"/>',
        f'<line x1="10" x2="{_WIDTH - 10}" y1="{_BASE}" y2="{_BASE}" stroke="{blue}" stroke-width="1.5"/>',
    ]
    label = f"after {item.standing_after:.2f}"
    if item.standing_before is not None:
        before = _x(item.standing_before)
        label = f"before {item.standing_before:.2f}, {label}"
        parts += [
            f'<line x1="{before:.1f}" x2="{after:.1f}" y1="{_BASE}" y2="{_BASE}" stroke="{hue}" stroke-width="2"/>',
            f'<circle cx="{before:.1f}" cy="{_BASE}" r="5.5" fill="none" stroke="{hue}" stroke-width="2"/>',
        ]
    parts.append(f'<circle cx="{after:.1f}" cy="{_BASE}" r="5.5" fill="{hue}" stroke="{hue}" stroke-width="2"/>')
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{"".join(parts)}</svg>'
    )
    # as a picture, because the browser's side takes drawings out of the page's markup
    url = f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"
    label = f"standing among never-seen pictures: {label}"
    return f'<img class="muc-strip" src="{url}" alt="{label}" title="{label}">'
