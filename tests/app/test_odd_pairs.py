"""Every page with every odd pair: a sentence that explains it, never a crash; and nobody is asked without consent."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import services
from muc_core.workspace import Workspace
from tests.app.odd import URL, write_odd

DASHBOARD = Path(__file__).parents[2] / "dashboard"
WITH_A_PAIR = ("overview", "check_my_pictures", "matrices", "embedding_map")
PATIENCE_S = 300


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The assets and the workspace."""
    assets, home = tmp_path_factory.mktemp("assets"), tmp_path_factory.mktemp("home")
    write_odd(assets, home, tmp_path_factory.mktemp("data") / "pictures")
    return assets, home


@pytest.fixture
def odd_app(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("MUC_ASSETS", str(places[0]))
    monkeypatch.setenv("MUC_HOME", str(places[1]))
    monkeypatch.setenv("MUC_ALLOW_PRIVATE_URLS", "1")
    return AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)


def visit(app: AppTest, page: str, before: str, after: str) -> AppTest:
    """A page with a pair chosen, and for one's own pictures the demo's."""
    app.session_state["before"], app.session_state["after"] = before, after
    app.switch_page(f"app_pages/{page}.py").run()
    if page == "check_my_pictures":
        next(found for found in app.button if found.label.startswith("Try with three")).click()
        app.run()
    assert [(error.message, error.stack_trace) for error in app.exception] == []
    said = texts(app)
    assert "our fault" not in said
    return app


def texts(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.error, *app.warning, *app.info]
    return "\n".join(str(element.value) for element in elements).replace("\\", "")


@pytest.mark.parametrize("place", WITH_A_PAIR)
def test_another_modality_and_size_are_explained(odd_app: AppTest, place: str) -> None:
    app = visit(odd_app.run(), place, "small-clip", "odd-simclr")
    said = texts(app)
    assert "different models (clip muc-tiny and simclr demo-resnet)" in said
    assert "odd-simclr cannot read captions" in said
    assert "small-clip looks at 48 × 48 pixels and odd-simclr at 32 × 32" in said
    assert [error.value for error in app.error] == []


@pytest.mark.parametrize("place", WITH_A_PAIR)
def test_vectors_of_another_length_are_explained(odd_app: AppTest, place: str) -> None:
    app = visit(odd_app.run(), place, "odd-simclr", "odd-backbone")
    said = texts(app)
    assert "Their vectors have 128 and 112 numbers" in said
    errors = [error.value for error in app.error]
    if place == "embedding_map":
        assert len(errors) == 1
        assert "A joint map cannot be drawn" in errors[0]
    else:
        assert errors == []


@pytest.mark.parametrize("place", WITH_A_PAIR)
def test_nothing_is_sent_before_the_user_agrees(odd_app: AppTest, place: str) -> None:
    app = visit(odd_app.run(), place, "small-clip", "odd-url")
    said = texts(app)
    assert f"odd-url is behind {URL}/embeddings" in said
    assert "requests and" in said
    assert [error.value for error in app.error] == []
    next(found for found in app.button if found.label == "Send the pictures").click()
    app.run()
    assert [error.value for error in app.exception] == []
    # Nobody listens there, which only shows once something is sent.
    assert "127.0.0.1:9" in "\n".join(error.value for error in app.error)


@pytest.mark.parametrize("place", WITH_A_PAIR)
def test_an_encoder_that_cannot_be_loaded_is_named(odd_app: AppTest, place: str) -> None:
    app = odd_app.run()
    app.session_state["before"], app.session_state["after"] = "small-clip", "odd-broken"
    app.switch_page(f"app_pages/{place}.py").run()
    assert len(app.exception) == 0
    assert any("'odd-broken' do not fit the architecture" in error.value for error in app.error)
    assert [box.label for box in app.selectbox][:2] == ["Before", "After"]


def test_what_cannot_be_trained_here_is_said(odd_app: AppTest) -> None:
    app = odd_app.run().switch_page("app_pages/tune.py").run()
    assert len(app.exception) == 0
    offered = next(box for box in app.selectbox if box.label == "Original encoder").options
    assert set(offered) == {"small-clip", "small-clip-ac", "odd-simclr", "odd-broken"}
    assert "so these are not offered: odd-backbone, odd-url." in texts(app)


def test_the_encoders_are_read_again_only_when_something_changed(
    places: tuple[Path, Path], odd_app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    odd_app.run()
    shelf = services.workspace()
    original = Workspace.encoders

    def counting(self: Workspace) -> object:
        read.append("read")
        return original(self)

    monkeypatch.setattr(Workspace, "encoders", counting)
    names = [record.manifest.name for record in shelf.encoders()]
    odd_app.run()
    assert read == []
    shelf.rename_encoder("odd-url", "renamed-url")
    assert [record.manifest.name for record in shelf.encoders()] == [
        "renamed-url" if name == "odd-url" else name for name in names
    ]
    shelf.rename_encoder("renamed-url", "odd-url")
