"""A warning where the dashboard can be reached from other machines: it asks nobody who they are."""

import ipaddress
import logging

import streamlit as st

from dashboard.services.people import asks_for_login

_log = logging.getLogger(__name__)


def is_exposed(address: str | None) -> bool:
    """Whether a server that listens at this address can be reached from other machines; None: it listens at all."""
    if address is None:
        return True
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:  # a name, which may stand for anything
        return True


def warn_if_exposed() -> None:
    """Say it on every page, and once in the terminal; nothing where people log in."""
    address = st.get_option("server.address")
    if is_exposed(address) and not asks_for_login():
        _tell_terminal(address or "every address of this machine")
        st.sidebar.warning(
            "Other machines can reach this server, and it asks nobody for a name: who reaches it may see and use all. "
            "Let people log in (docs/security.md), or serve it on 127.0.0.1.",
            icon=":material/public:",
        )


@st.cache_resource(show_spinner=False)
def _tell_terminal(address: str) -> None:
    _log.warning(
        "The dashboard listens on %s: other machines can reach it, and it asks nobody for a name. "
        "Let people log in, see docs/security.md.",
        address,
    )
