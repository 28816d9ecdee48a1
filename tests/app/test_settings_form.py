"""Widgets made from settings models: every kind of field, its bounds, and what is said about a wrong value."""

from typing import Any

import pytest
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from dashboard.components.settings_form import find_faults, label
from muc_core.unlearning.method import METHODS


def form(name: str, columns: int) -> None:
    """The script under test: a form of one method's settings. Its result is put where the test can see it."""
    import streamlit as st

    from dashboard.components.settings_form import settings_fields
    from muc_core.unlearning.method import METHODS

    model = METHODS.get(name).settings
    st.session_state["result"] = settings_fields(model, list(model.model_fields), key=name, columns=columns)


def run_form(name: str, columns: int = 3) -> AppTest:
    app = AppTest.from_function(form, args=(name, columns), default_timeout=60).run()
    assert not app.exception
    return app


def by_label(widgets: Any, text: str) -> Any:
    (found,) = [widget for widget in widgets if widget.label == text]
    return found


@pytest.mark.parametrize("name", METHODS.names())
def test_a_form_left_alone_gives_the_defaults_of_every_method(name: str) -> None:
    app = run_form(name)
    model = METHODS.get(name).settings
    assert model.model_validate(app.session_state["result"]) == model()


def test_a_form_has_a_widget_of_the_right_kind_for_every_field() -> None:
    app = run_form("ac")
    assert {widget.label for widget in app.selectbox} == {"Schedule", "Optimizer", "Precision"}
    assert {widget.label for widget in app.toggle} == {"Channels last"}
    assert {widget.label for widget in app.number_input} == {
        *("Alpha", "Beta", "Gamma", "Epochs", "Batch size", "Learning rate"),
        *("Warmup", "Momentum", "Weight decay", "Gradient clip", "Salient", "Checkpoints", "Temperature"),
        *("Contrast", "Contrast temperature", "Chunk size"),
    }
    assert [caption.value for caption in app.caption] == [
        "Augment keeps its default here; the command line can set it."
    ]


def test_descriptions_bounds_and_choices_come_from_the_model() -> None:
    app = run_form("ac")
    fields = METHODS.get("ac").settings.model_fields
    beta = by_label(app.number_input, "Beta")
    assert (beta.min, beta.max) == (0, 1000)
    assert beta.help == f"{fields['beta'].description} Range: 0 to 1,000. Default here: 2."
    batch_size = by_label(app.number_input, "Batch size")
    assert (batch_size.min, batch_size.max) == (2, 65_536)
    assert by_label(app.selectbox, "Precision").options == ["auto", "float32", "bfloat16"]


def test_values_reach_the_model_with_their_types() -> None:
    app = run_form("ac")
    by_label(app.number_input, "Beta").set_value(2.5)
    by_label(app.number_input, "Epochs").set_value(3)
    by_label(app.selectbox, "Schedule").set_value("cosine")
    by_label(app.toggle, "Channels last").set_value(False)
    app.run()
    result = app.session_state["result"]
    assert (result["beta"], result["schedule"], result["channels_last"]) == (2.5, "cosine", False)
    assert isinstance(result["epochs"], int)
    assert result["epochs"] == 3


def test_an_optional_number_starts_with_its_default_and_can_be_emptied() -> None:
    app = run_form("ac")
    clip = by_label(app.number_input, "Gradient clip")
    assert clip.value == 1.0
    clip.set_value(None)
    app.run()
    assert app.session_state["result"]["gradient_clip"] is None
    assert METHODS.get("ac").settings.model_validate(app.session_state["result"]).gradient_clip is None


def test_a_value_on_an_open_bound_is_explained_at_its_field() -> None:
    app = run_form("ac")
    assert not app.markdown
    by_label(app.number_input, "Learning rate").set_value(0.0)
    app.run()
    assert [text.value for text in app.markdown] == [
        ":red[:material/error: Learning rate should be greater than 0, not 0.0.]"
    ]


def test_an_empty_required_number_is_explained() -> None:
    assert find_faults(METHODS.get("ac").settings, {"epochs": None}) == {
        "epochs": "Epochs should be a valid integer, not None."
    }


def test_faults_name_every_field_and_nothing_when_all_is_well() -> None:
    model = METHODS.get("ac").settings
    assert find_faults(model, {"beta": 1.0, "epochs": 2}) == {}
    assert set(find_faults(model, {"beta": -1.0, "epochs": 0, "alpha": 1.0})) == {"beta", "epochs"}


def unknown_kind() -> None:
    from pathlib import Path

    import streamlit as st
    from pydantic import BaseModel

    from dashboard.components.settings_form import settings_fields
    from muc_core.errors import MucError

    class WithPath(BaseModel):
        place: Path = Path("x")

    try:
        settings_fields(WithPath, ["place"], key="t")
    except MucError as error:
        st.session_state["refusal"] = str(error)


def test_a_field_without_a_widget_is_refused_by_name() -> None:
    app = AppTest.from_function(unknown_kind, default_timeout=60).run()
    assert app.session_state["refusal"].startswith("the setting 'place' is a")


def small_steps() -> None:
    import streamlit as st
    from pydantic import BaseModel

    from dashboard.components.settings_form import settings_fields

    class Numbers(BaseModel):
        tiny: float = 5e-4
        one: float = 1.0
        eight: float = 8.0
        nought: float = 0.0
        count: int = 7

    st.session_state["result"] = settings_fields(Numbers, list(Numbers.model_fields), key="t")


def test_numbers_move_by_a_fitting_step() -> None:
    app = AppTest.from_function(small_steps, default_timeout=60).run()
    assert {n.label: n.step for n in app.number_input} == {
        **{"Tiny": 1e-4, "One": 0.1, "Eight": 1.0},
        **{"Nought": 0.1, "Count": 1},
    }
    by_label(app.number_input, "Tiny").increment().run()
    assert app.session_state["result"]["tiny"] == pytest.approx(6e-4)


def test_labels_are_words() -> None:
    assert label("learning_rate") == "Learning rate"


class _Described(BaseModel):
    share: float = Field(0.5, gt=0, lt=1, description="a share")


@pytest.mark.parametrize(("value", "accepted"), [(0.5, True), (0.0, False), (1.0, False)])
def test_open_bounds_are_the_models_to_keep(value: float, accepted: bool) -> None:
    assert (find_faults(_Described, {"share": value}) == {}) is accepted
