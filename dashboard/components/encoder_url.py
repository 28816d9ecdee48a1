"""The form for an encoder behind a URL: how it is asked, what it answered, and saving it. The key itself is never asked
for: the name of an environment variable of the server stands for it."""

from dataclasses import dataclass

import streamlit as st
from pydantic import JsonValue, ValidationError

from dashboard.components.encoder_name import choose_name, saved
from dashboard.components.uploads import plain
from dashboard.services import cost_of_asking, workspace
from muc_core.encoders.manifest import explain
from muc_core.encoders.remote.address import ALLOW_VARIABLE, private_allowed
from muc_core.encoders.remote.connect import RemoteInfo, connect, remote_manifest
from muc_core.encoders.remote.dialects import DIALECTS
from muc_core.encoders.remote.settings import RemoteSettings
from muc_core.errors import MucError

KEY_PREFIX = "MUC_KEY_"
"""Whoever opens the page could have any variable of the server sent to an address of her own, were it not for this."""

FOUND = "encoder url found"
NAME = "encoder url name"


@dataclass(frozen=True)
class _Found:
    settings: RemoteSettings
    info: RemoteInfo


def url_form() -> None:
    """How the encoder is asked; after a first contact what it is, and the button that saves it."""
    settings = _settings()
    st.caption("Connecting sends one small picture and one text, nothing else.")
    if st.button("Connect", icon=":material/link:", key="encoder url connect", disabled=settings is None) and settings:
        st.session_state.pop(FOUND, None)
        with st.spinner("Asking the service ..."):
            # A person is waiting: a service that fails is told of at once.
            info = connect(settings.model_copy(update={"retries": 0, "timeout_s": 20.0}))
        st.session_state[FOUND] = _Found(settings, info)
    found = st.session_state.get(FOUND)
    if found is not None and found.settings == settings:
        _show(found)


def _settings() -> RemoteSettings | None:
    """What was filled in; None, with the reason on screen, while it cannot be used."""
    left, right = st.columns([3, 2])
    url = left.text_input(
        "Address", key="encoder url", placeholder="https://api.example.org/v1", persist_state="session"
    ).strip()
    dialect = right.selectbox(
        "Dialect",
        DIALECTS.names(),
        format_func=lambda name: DIALECTS.get(name).title,
        key="encoder url dialect",
        help="How requests and answers are written; the service's manual says it.",
        persist_state="session",
    )
    left, middle, right = st.columns([3, 2, 1])
    chosen = DIALECTS.get(dialect)
    model = left.text_input(
        "Model",
        key="encoder url model",
        help="As the service calls it.",
        placeholder="" if chosen.needs_model else "not needed",
        persist_state="session",
    ).strip()
    key = middle.text_input(
        "Variable with the key",
        key="encoder url key",
        placeholder=f"{KEY_PREFIX}NAME, or empty",
        help=f"Name of the server's environment variable that holds the key, beginning with {KEY_PREFIX}. Never the "
        "key itself, which is neither shown nor stored.",
        persist_state="session",
    ).strip()
    size = right.number_input(
        "Picture size",
        min_value=8,
        max_value=2048,
        value=224,
        key="encoder url size",
        help="Side in pixels at which pictures are sent.",
        persist_state="session",
    )
    left, middle, right = st.columns([1, 1, 2], vertical_alignment="bottom")
    numbers = left.selectbox(
        "Numbers",
        chosen.number_types,
        key=f"encoder url numbers {dialect}",
        help="The form of the vectors.",
    )
    picture_format = middle.selectbox(
        "Pictures as", ["png", "jpeg"], format_func=str.upper, key="encoder url format", persist_state="session"
    )
    private = right.toggle(
        "The address is on this machine or in a private network",
        key="encoder url private",
        disabled=not private_allowed(True),
    )
    if not private_allowed(True):
        st.caption(
            ":material/lock: This server refuses addresses on its own machine or in a private network; whoever runs it "
            f"can allow them with {plain(ALLOW_VARIABLE)}=1."
        )
    if not url:
        return None
    if key and not key.startswith(KEY_PREFIX):
        _fault(f"The variable with the key must have a name that begins with {KEY_PREFIX}; set one on the server.")
        return None
    values: dict[str, JsonValue] = {
        "url": url,
        "dialect": dialect,
        "model": model,
        "key_environment": key or None,
        "image_size": int(size),
        "number_type": numbers,
        "picture_format": picture_format,
        "allow_private": private and private_allowed(True),
    }
    try:
        return RemoteSettings.model_validate(values)
    except ValidationError as error:
        _fault(explain(error))
        return None


def _fault(text: str) -> None:
    st.markdown(f":red[:material/error: {plain(text)}]")


def _show(found: _Found) -> None:
    with st.container(border=True, key="encoder-url-found"):
        st.markdown(f"**{plain(found.info.sentence)}.**")
        if found.info.text_refusal:
            st.caption(f"No captions: {plain(found.info.text_refusal)}")
        st.caption(plain(cost_of_asking(found.settings, found.info)))
        name = choose_name(found.settings.model or found.settings.dialect, key=NAME)
        st.button(
            "Add this encoder",
            type="primary",
            icon=":material/add:",
            key="encoder url add",
            disabled=name is None,
            on_click=_add,
            args=(name, found),
        )


def _add(name: str, found: _Found) -> None:
    try:
        manifest, files = remote_manifest(name, found.settings, found.info)
        workspace().add_encoder(manifest, files)
    except MucError as fault:
        saved(None, f"Not added: {fault}")
        return
    st.session_state.pop(FOUND, None)
    saved(name, f"{name} was added. Check it before you rely on it.")
