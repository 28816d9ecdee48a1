"""Whether a link reproduces a view: what is chosen on a page, its address, and the page that the address opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

ROUTER = Path(__file__).parents[2] / "dashboard" / "streamlit_app.py"
PATIENCE_S = 120

NOT_IN_A_LINK = {
    "unlearn name": "a name for what does not exist yet",
    "strength name": "a name for what does not exist yet",
    "encoder file way": "part of a form",
    "encoder file arch": "part of a form",
    "encoder open_clip name": "part of a form",
}
"""Fields that hold no choice of a view, each with its reason; a form ends with a button, and its fields begin anew."""
FORMS = ("encoder url", "new name of ", "file ", "open_clip ")
"""Beginnings of the keys of further fields of forms."""


def open_link(page: str, query: Mapping[str, object] | None = None) -> AppTest:
    """The page that an address opens in a new browser."""
    app = AppTest.from_file(str(ROUTER), default_timeout=PATIENCE_S)
    for key, value in (query or {}).items():
        app.query_params[key] = value
    app.switch_page(f"app_pages/{page}.py").run()
    assert [(error.message, error.stack_trace) for error in app.exception] == []
    return app


def address(app: AppTest, page: str) -> dict[str, Any]:
    """What a browser's address would say. It writes what a click chooses there by itself, the server only when somebody
    comes back to the page."""
    app.switch_page("app_pages/settings.py").run()
    app.switch_page(f"app_pages/{page}.py").run()
    return dict(app.query_params)


def choices(app: AppTest) -> dict[str, Any]:
    """Every choice on the page by its key."""
    kinds = (
        app.selectbox,
        app.radio,
        app.toggle,
        app.button_group,
        app.number_input,
        app.slider,
        app.select_slider,
        app.text_input,
    )
    found = {widget.key: widget.value for kind in kinds for widget in kind}
    return {
        key: value
        for key, value in found.items()
        if key is not None and key not in NOT_IN_A_LINK and not key.startswith(FORMS)
    }


def choose(app: AppTest, key: str, value: object) -> AppTest:
    """Choose as a user does: in the widget with this key, or by the button with this name."""
    kinds = (app.selectbox, app.radio, app.toggle, app.button_group, app.number_input, app.slider, app.select_slider)
    widgets = [widget for kind in kinds for widget in kind if widget.key == key]
    if widgets:
        widgets[0].set_value(value).run()  # type: ignore[arg-type]
    elif buttons := [button for button in app.button if key in (button.key, button.label)]:
        buttons[0].click().run()
    else:  # a click on a figure, which no test without a browser can make
        app.session_state[key] = value
        app.run()
    assert [(error.message, error.stack_trace) for error in app.exception] == []
    return app


def assert_link_reproduces(app: AppTest, page: str, *, also: tuple[str, ...] = ()) -> dict[str, Any]:
    """A new browser at this address shows the same choices, and those of clicks that are named. The address."""
    shown, clicked = choices(app), {key: app.session_state[key] for key in also}
    query = address(app, page)
    again = open_link(page, query)
    assert choices(again) == shown, query
    assert {key: again.session_state[key] for key in also} == clicked
    assert [warning.value for warning in again.warning if "The link" in warning.value] == []
    return query
