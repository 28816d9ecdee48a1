"""Sound content that was damaged a little: it gets further into a parser than noise does."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

_PIECES = (
    *(b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\x80\x02", b"PK\x03\x04", b"\x89PNG"),
    *(
        b"\n",
        b"\r\n",
        b",",
        b'"',
        b"\t",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"../",
        b"/",
        b"%2e",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xae",
    ),
    *(b"-1", b"0", b"1e999", b"NaN", b"null", b"99999999999999999999", b"\\ud800", b"=1+1", b"<b>"),
)
"""What parsers stumble over: borders of numbers, marks of formats, signs of structure."""
_LONGEST_RUN = 2000


@st.composite
def damaged(draw: st.DrawFn, sound: Sequence[bytes]) -> bytes:
    """One of the sound files with one to six changes: bits, pieces, runs left out or doubled, an early end."""
    content = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(content)))
        stop = min(len(content), start + draw(st.integers(0, _LONGEST_RUN)))
        change = draw(st.sampled_from(("bits", "piece", "over", "noise", "out", "double", "end")))
        if change == "bits" and start < len(content):
            content[start] ^= draw(st.integers(1, 255))
        elif change == "piece":
            content[start:start] = draw(st.sampled_from(_PIECES))
        elif change == "over":
            piece = draw(st.sampled_from(_PIECES))
            content[start : start + len(piece)] = piece
        elif change == "noise":
            content[start : start + 8] = draw(st.binary(max_size=16))
        elif change == "out":
            del content[start:stop]
        elif change == "double":
            content[start:start] = content[start:stop]
        elif change == "end":
            del content[start:]
    return bytes(content)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ("", "\ud800", "\0", "\u202e", "../../x", "=1+1", "<script>", "x" * 5000, "nan", "http://[::1]:99999")
    ),
    st.sampled_from((2**31, 2**53 + 1, 2**64, -(2**63) - 1, 10**400, 1e308, 5e-324)),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, documents: Sequence[Any]) -> Any:
    """One of the documents, values as JSON has them, with one to three places replaced, left out or renamed."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        place, where = document, None
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(min(len(place), 8)))
            where = place, draw(st.sampled_from(keys))
            place = place[where[1]]
            if draw(st.booleans()):
                break
        if where is None:
            return draw(JSON)
        holder, key = where
        change = draw(st.sampled_from(("replaced", "replaced", "out", "renamed")))
        if change == "replaced":
            holder[key] = draw(JSON)
        elif change == "out" or not isinstance(holder, dict):
            del holder[key]
        else:
            holder[draw(st.text(max_size=8))] = holder.pop(key)
    return document


def written(document: Any) -> bytes:
    """As JSON, also what JSON has no word for: NaN and lone surrogates."""
    return json.dumps(document).encode()


def documents(sound: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Changed documents as JSON, and JSON whose bytes were damaged."""
    return st.one_of(changed(sound).map(written), damaged([written(one) for one in sound]))
