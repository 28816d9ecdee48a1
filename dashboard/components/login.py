"""The way in where secrets.toml asks for a login: the page that offers it, who is logged in, and the way out."""

import streamlit as st

from dashboard.components.page import errors_as_sentences
from dashboard.components.words import plain, sentence
from dashboard.services.home import note_visit
from dashboard.services.people import (
    LoginSettings,
    NoRole,
    NotLoggedIn,
    current_user,
    login_settings,
    provider_fault,
)
from dashboard.services.roles import User
from muc_core.errors import MucError

FAULT = "login fault"


def entrance() -> User | None:
    """Whoever may use the pages; None, with what is to be done on the screen, while nobody may."""
    try:
        user = current_user()
    except NotLoggedIn:
        with errors_as_sentences():
            _offer_login(login_settings())
    except NoRole as refusal:
        _heading("Not for you yet")
        st.info(plain(sentence(str(refusal))), icon=":material/person_off:")
        _log_out_button(refusal.who)
        with errors_as_sentences():
            note_visit(refusal.who, "refusal", {"page": "all"}, once="all")
    except MucError as fault:
        _heading("Nobody can log in")
        st.error(f"{plain(sentence(str(fault)))} Whoever runs this server can mend it.", icon=":material/error:")
    else:
        return user
    return None


def _heading(title: str) -> None:
    st.title(title, anchor=False)
    st.caption("A dashboard that audits whether an encoder forgot pictures.")


def _offer_login(settings: LoginSettings | None) -> None:
    assert settings is not None  # or nobody would have to log in
    contact = plain(settings.roles.contact)
    _heading("Log in")
    st.markdown("This server asks for your name. You type your password at your login service, never here.")
    if st.button("Log in", type="primary", icon=":material/login:", key="log in"):
        with st.spinner("Asking the login service ..."):
            fault = provider_fault(settings)
        st.session_state[FAULT] = fault
        if fault is None:
            st.login()
    if fault := st.session_state.get(FAULT):
        st.error(f"{plain(sentence(fault))} Try again in a minute, or ask {contact}.", icon=":material/error:")
    st.markdown(
        f"If this page comes back after you logged in, the login service did not let you in: ask {contact}. A login is "
        f"good for {settings.roles.hours:g} hours."
    )


def user_in_sidebar(user: User) -> None:
    """Whose name the pages carry, and the way out; nothing where nobody logs in."""
    if login_settings() is None:
        return
    note_visit(user.who, "login", {"roles": " ".join(sorted(user.roles))}, once=str(user.since))
    with st.sidebar.container(key="user"):
        st.markdown(f":material/person: **{plain(user.name)}**", help=plain(user.who.partition(":")[2]))
        st.caption(" and ".join(sorted(user.roles)).capitalize())
        _log_out_button(user.who)


def _log_out_button(who: str) -> None:
    st.button("Log out", icon=":material/logout:", key="log out", on_click=_log_out, args=(who,))


def _log_out(who: str) -> None:
    st.logout()
    note_visit(who, "logout", {})


def refuse(user: User, page: str, title: str) -> None:
    """Instead of a page that is not for the user."""
    note_visit(user.who, "refusal", {"page": page}, once=page)
    st.title(title, anchor=False)
    settings = login_settings()
    contact = "an engineer" if settings is None else settings.roles.contact
    st.info(
        f"This page is not for you as {' and '.join(sorted(user.roles))}. If it should be, ask {plain(contact)}.",
        icon=":material/lock:",
    )
