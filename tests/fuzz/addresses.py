"""What is typed, clicked or answered: URLs, names of sets, the state of a page in its address, answers of services."""

import base64
import ipaddress
import socket
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError
from streamlit.testing.v1 import AppTest

from muc_core.data.sets import resolve_ids
from muc_core.data.splits import DataSplit
from muc_core.encoders.manifest import explain
from muc_core.encoders.remote.address import check_url
from muc_core.encoders.remote.dialects.base import DIALECTS
from muc_core.encoders.remote.encoder import read_vectors
from muc_core.encoders.remote.numbers import NumberType
from muc_core.encoders.remote.settings import RemoteSettings
from muc_core.errors import MucError
from tests.fuzz.files import two_pictures
from tests.fuzz.mutation import JSON, SCALARS, changed
from tests.fuzz.target import Target

# URLs

_PARTS = (
    *(
        "http",
        "https",
        "file",
        "://",
        ":",
        "//",
        "/",
        "@",
        "?",
        "#",
        "[",
        "]",
        "%00",
        "\\",
        "\t",
        " ",
        ".",
        "xn--",
        "\u3002",
    ),
    *(
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "fe80::1%1",
        "localhost",
        "0",
        "1.1.1.1",
    ),
    *("169.254.169.254", "example.org", "a" * 70, "80", "99999", "-1", "user:secret", "v1"),
)


def _numeric(host: str, port: int, *, type: int) -> Any:
    """Resolves addresses alone: no name is asked for."""
    return _resolve(host, port, type=type, flags=socket.AI_NUMERICHOST)


_resolve = socket.getaddrinfo


def _url(url: str, folder: Path) -> None:
    socket.getaddrinfo = _numeric  # type: ignore[assignment]  # of this process, which is the examples' own
    try:
        settings = RemoteSettings(url=url, dialect="jina", model="m", image_size=64)
    except ValidationError as error:
        raise MucError(f"refused: {explain(error)}") from error
    for address in check_url(settings.endpoint, allow_private=False):
        assert ipaddress.ip_address(address).is_global, f"{url!r} leads to {address}"


# answers of services


def _answer(example: tuple[str, NumberType, Any], folder: Path) -> None:
    dialect, number_type, answer = example
    settings = RemoteSettings.model_construct(
        url="https://api.example.org/v1", dialect=dialect, model="m", image_size=64, number_type=number_type
    )
    vectors = read_vectors(answer, settings, "https://api.example.org/v1", 2, None)
    assert len(vectors) == 2
    assert len(vectors[0]) == len(vectors[1])


@st.composite
def _answers(draw: st.DrawFn) -> tuple[str, NumberType, Any]:
    dialect = DIALECTS.get(draw(st.sampled_from(DIALECTS.names())))
    number_type = draw(st.sampled_from(dialect.number_types))
    fit = st.integers(-128, 127) if "u" not in number_type else st.integers(0, 255)
    numbers = st.lists(fit, min_size=4, max_size=4) | st.lists(fit | st.floats(width=32) | SCALARS, max_size=9)
    coded = st.binary(max_size=17).map(lambda some: base64.b64encode(some).decode())
    rows = draw(st.lists(numbers | coded, min_size=2, max_size=2))
    entries = [{"index": place, "embedding": row} for place, row in enumerate(rows)]
    sound = [
        {"data": entries},
        {"data": [{"embedding": row} for row in rows]},
        {"embeddings": {number_type: rows}},
        {"embeddings": rows},
        rows,
    ]
    return dialect.name, number_type, draw(st.sampled_from(sound) | changed(sound) | JSON)


# names of sets


def _set(spec: str, folder: Path) -> None:
    split = DataSplit(seed=0, retain=("b.png",), forget=("a.png",), held_out=(), calibration=())
    for part in (None, split):
        assert set(resolve_ids(spec, two_pictures(), part)) <= set(two_pictures().ids)


_SPECS = st.lists(
    st.sampled_from(
        (
            "owner:",
            "category:",
            "random:",
            "ids:",
            "forget",
            "retain",
            "held-out",
            "1",
            "10%",
            "-1",
            "1e3",
            "%",
            "\0",
            "٣",
            "²",
        )
    )
    | st.text(max_size=5),
    max_size=4,
).map("".join)

# the state of a page

_KEYS = ("select", "toggle", "number", "state", "ids", "click")


def _page() -> None:
    import streamlit as st

    from dashboard.components.links import (
        linked_ids,
        linked_number,
        linked_select,
        linked_state,
        linked_toggle,
        take_from_link,
    )

    linked_select(st.container(), "Select", ["one", "two"], key="select", first="one", what="the choice")
    linked_toggle(st.container(), "Toggle", key="toggle")
    linked_number("number", "Number", first=1.0, low=0.0, high=9.0)
    st.number_input("Number", 0.0, 9.0, key="number")
    linked_state("state", {"one": "one"}, first="one", what="the state")
    linked_ids("ids", ("one", "two"), "the item")
    take_from_link("click", ("one",), "the click")


def _link(query: dict[str, list[str]], folder: Path) -> None:
    page = AppTest.from_function(_page, default_timeout=60)
    for key, values in query.items():
        page.query_params[key] = values
    page.run()
    assert not page.exception, page.exception[0].message
    assert page.selectbox[0].value in ("one", "two")


_VALUES = st.lists(
    st.sampled_from(("one", "two", "true", "1", "-1", "1e999", "nan", "0x1", "\0", "<b>", "$x$")) | st.text(max_size=8),
    max_size=3,
)

TARGETS = (
    Target(
        "URLs",
        st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), max_size=8).map("".join)
        | st.lists(st.sampled_from(_PARTS), max_size=5).map(lambda some: "http://" + "".join(some)),
        _url,
    ),
    Target("answers of services", _answers(), _answer),
    Target("names of sets", _SPECS, _set),
    Target("links", st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=4), _link),
)
