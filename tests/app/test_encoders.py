"""The page of the encoders: list, cards, checks, renaming, removing, and the three ways to add one."""

import os
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from streamlit.testing.v1 import AppTest

from dashboard.components import encoder_check
from dashboard.components.encoder_name import slug
from muc_core.encoders.backbones import DEMO
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.remote.settings import SETTINGS_FILE
from muc_core.jobs import Job, JobTable
from muc_core.workspace import Workspace, write_encoder
from tests.app.odd import backbone_weights
from tests.unit.encoders.remote.servers import Service, running

PAGE = Path(__file__).parents[2] / "dashboard" / "app_pages" / "encoders.py"
PATIENCE_S = 300
KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One encoder that comes with the program."""
    folder = tmp_path_factory.mktemp("assets")
    manifest = EncoderManifest(name="shipped", title="A shipped one", family="backbone", architecture=DEMO)
    write_encoder(folder / "encoders", manifest, backbone_weights(1))
    return folder


@pytest.fixture
def workspace(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With two encoders of its own: `mine`, and `mine-ac` as if it came from it."""
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MUC_ALLOW_PRIVATE_URLS", "1")
    found = Workspace()
    manifest = EncoderManifest(name="mine", title="My own", family="backbone", architecture=DEMO)
    found.save_encoder(manifest, backbone_weights(2))
    after = {"name": "mine-ac", "title": "My own after AC", "method": "ac", "original": "mine"}
    found.save_encoder(manifest.model_copy(update=after), backbone_weights(3))
    return found


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Service, str]]:
    service = Service(key=KEY)
    with running(service.app) as url:
        yield service, url


def open_page() -> AppTest:
    return run(AppTest.from_file(str(PAGE), default_timeout=PATIENCE_S))


def run(page: AppTest) -> AppTest:
    page.run()
    assert [(error.message, error.stack_trace) for error in page.exception] == []
    assert "our fault" not in texts(page)
    return page


def texts(page: AppTest) -> str:
    elements = [*page.markdown, *page.caption, *page.error, *page.warning, *page.info]
    return "\n".join(str(element.value) for element in elements).replace("\\", "")


def by_label(widgets: Any, label: str) -> Any:
    (found,) = [widget for widget in widgets if widget.label == label]
    return found


def press(page: AppTest, label: str) -> AppTest:
    by_label(page.button, label).click()
    return run(page)


def fill(page: AppTest, label: str, text: str) -> None:
    by_label(page.text_input, label).input(text)


def choose(page: AppTest, name: str, beside: str = "none") -> AppTest:
    by_label(page.selectbox, "Encoder").select(name)
    by_label(page.selectbox, "Compare with").select(beside)
    return run(page)


def card(page: AppTest, column: int = 0) -> dict[str, str]:
    table = page.table[0].value
    return {str(line): str(value).replace("\\", "") for line, value in table.iloc[:, column].items()}


def names(page: AppTest) -> list[str]:
    return list(page.dataframe[0].value["Name"])


def test_all_encoders_are_listed_with_what_is_known_of_them(workspace: Workspace) -> None:
    page = open_page()
    table = page.dataframe[0].value.set_index("Name")
    assert list(table.index) == ["shipped", "mine", "mine-ac"]
    assert list(table["From"]) == ["demo", "here", "here"]
    assert list(table["Numbers"]) == [112, 112, 112]
    assert list(table["Captions"]) == ["no"] * 3
    assert list(table["Check"]) == ["not yet"] * 3
    assert (table.loc["mine-ac", "Made by"], table.loc["mine-ac", "Made from"]) == ("ac", "mine")


def test_a_card_says_everything_and_two_are_compared(workspace: Workspace) -> None:
    page = choose(open_page(), "mine", "mine-ac")
    first, second = card(page), card(page, 1)
    assert first["Vectors"] == "112 numbers"
    assert first["Preprocessing"].startswith("32 x 32 pixels, bicubic, mean 0.485")
    assert first["Trained on"] == "not known"
    assert (first["Made from"], second["Made from"]) == ("**–**", "**mine**")
    assert "**" not in first["Architecture"]
    assert "what differs between the two is bold" in texts(page)


def test_a_check_shows_each_probe_in_a_word(workspace: Workspace) -> None:
    page = press(choose(open_page(), "mine"), "Check it")
    table = page.table[1].value
    results = dict(zip(table["Probe"], table["Result"], strict=True))
    assert ":material/check: passed" in results["Same picture twice"]
    assert ":material/remove: noted" in results["Speed"]
    failed = sum("failed" in result for result in results.values())
    assert re.search(rf"{failed} of \d+ probes failed on 20" if failed else r"All \d+ probes passed on 20", texts(page))
    assert page.dataframe[0].value.set_index("Name")["Check"]["mine"] == (f"{failed} failed" if failed else "passed")


def test_a_failed_probe_is_seen(workspace: Workspace) -> None:
    weights = {name: torch.zeros_like(tensor) for name, tensor in backbone_weights().items()}
    manifest = EncoderManifest(name="blank", title="blank", family="backbone", architecture=DEMO)
    workspace.save_encoder(manifest, weights)
    page = press(choose(open_page(), "blank"), "Check it")
    table = page.table[1].value
    failed = [probe for probe, result in zip(table["Probe"], table["Result"], strict=True) if "failed" in result]
    assert "Length of the vectors" in failed
    assert f"{len(failed)} of " in texts(page)
    assert page.dataframe[0].value.set_index("Name")["Check"]["blank"] == f"{len(failed)} failed"


def test_a_renamed_encoder_stays_chosen(workspace: Workspace) -> None:
    page = choose(open_page(), "mine")
    page.session_state["before"] = "mine"
    fill(page, "New name", "theirs")
    press(page, "Rename it")
    assert "mine is now called theirs." in texts(page)
    assert sorted(names(page)) == ["mine-ac", "shipped", "theirs"]
    assert by_label(page.selectbox, "Encoder").value == "theirs"
    assert page.session_state["before"] == "theirs"
    assert workspace.encoder("mine-ac").manifest.original == "theirs"
    run(page)
    assert "is now called" not in texts(page)


@pytest.mark.parametrize(
    ("name", "said"), [("shipped", "already"), ("Not a name!", "cannot be the name"), ("mine", "already")]
)
def test_a_bad_name_is_refused_in_a_sentence(workspace: Workspace, name: str, said: str) -> None:
    page = choose(open_page(), "mine")
    fill(page, "New name", name)
    press(page, "Rename it")
    assert len(page.error) == 1
    assert said in page.error[0].value
    assert names(page) == ["shipped", "mine", "mine-ac"]


def test_removing_asks_first_and_says_what_stays(workspace: Workspace) -> None:
    page = choose(open_page(), "mine")
    assert "Remove mine and its files (" in texts(page)
    assert "What was made from it stays: mine-ac." in texts(page)
    press(page, "Remove it")
    assert "mine was removed." in texts(page)
    assert names(page) == ["shipped", "mine-ac"]


def test_what_comes_with_the_program_cannot_be_changed(workspace: Workspace) -> None:
    page = choose(open_page(), "shipped")
    assert "shipped comes with the program: it cannot be renamed or removed." in texts(page)
    assert not {"Rename it", "Remove it"} & {button.label for button in page.button}


def test_a_damaged_encoder_is_named(workspace: Workspace) -> None:
    (workspace.encoders_folder / "mine-ac" / "manifest.json").write_text("{", encoding="utf-8")
    page = open_page()
    assert "mine-ac" in page.warning[0].value.replace("\\", "")
    assert names(page) == ["shipped", "mine"]


# from a file


def path_form(page: AppTest, path: Path | str, arch: str = "") -> AppTest:
    page.segmented_control[0].select("Path")
    run(page)
    fill(page, "Path on the server", str(path))
    fill(page, "Architecture", arch)
    return run(page)


def test_what_a_file_is_is_shown_before_it_is_added(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "weights_of_mine.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in backbone_weights().items()}}, file)
    page = path_form(open_page(), file, DEMO)
    press(page, "Recognise")
    assert f"{file.name}** is a " in texts(page)
    assert "certain" in texts(page)
    assert names(page) == ["shipped", "mine", "mine-ac"]
    assert [field.value for field in page.number_input if field.label == "Picture size"] == [32, 224]
    by_label(page.number_input, "Mean, red").set_value(0.25)
    run(page)
    assert by_label(page.text_input, "Name of the encoder here").value == "weights_of_mine"
    press(page, "Add this encoder")
    assert "weights_of_mine was added." in texts(page)
    manifest = workspace.encoder("weights_of_mine").manifest
    assert manifest.preprocessing is not None
    assert manifest.preprocessing.mean == (0.25, 0.456, 0.406)
    assert by_label(page.selectbox, "Encoder").value == "weights_of_mine"
    assert "weights_of_mine.pt, recognised as" in card(page)["Source"]


def test_a_mostly_random_model_is_refused_with_the_keys(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "half.pt"
    weights = dict(list(backbone_weights().items())[:20])
    torch.save(weights, file)
    page = press(path_form(open_page(), file, DEMO), "Recognise")
    assert "missing: " in page.error[0].value
    assert not [button for button in page.button if button.label == "Add this encoder"]


class Hostile:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ["HOSTILE_MARK"],)


def test_a_file_that_would_run_code_is_refused(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    monkeypatch.setenv("HOSTILE_MARK", str(mark))
    file = tmp_path / "hostile.pt"
    file.write_bytes(pickle.dumps({"state_dict": Hostile()}, protocol=2))
    page = press(path_form(open_page(), file), "Recognise")
    assert "hostile.pt was not opened" in page.error[0].value
    assert "safetensors" in page.error[0].value
    assert not mark.exists()
    torch.save({"weight": torch.ones(2), "more": Hostile()}, file)
    press(path_form(open_page(), file), "Recognise")
    assert not mark.exists()


@pytest.mark.parametrize("path", ["nowhere.pt", "/proc/self/mem", "."])
def test_a_path_that_is_no_encoder_gives_a_sentence(workspace: Workspace, path: str) -> None:
    page = path_form(open_page(), path)
    if not page.error:
        by_label(page.button, "Recognise").click()
        run(page)
    assert page.error or JobTable(workspace).jobs()


def test_an_encoder_of_another_workspace_is_copied(workspace: Workspace, assets: Path) -> None:
    page = path_form(open_page(), assets / "encoders" / "shipped")
    press(page, "Recognise")
    assert "an encoder of another workspace" in texts(page)
    assert by_label(page.text_input, "Name of the encoder here").value == "shipped-2"
    press(page, "Add this encoder")
    assert "shipped-2" in names(page)


def test_an_upload_is_added_like_a_file(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "up.pt"
    torch.save(dict(backbone_weights()), file)
    page = open_page()
    assert "up to 200 MB" in texts(page)
    page.file_uploader[0].upload("up.pt", file.read_bytes(), "application/octet-stream")
    fill(page, "Architecture", DEMO)
    run(page)
    press(page, "Recognise")
    assert "up.pt** is a " in texts(page)
    press(page, "Add this encoder")
    assert workspace.encoder("up").manifest.source is not None
    assert "tmp" not in str(workspace.encoder("up").manifest.source)


# behind a URL


def url_form(page: AppTest, url: str, *, key: str = "", private: bool | None = True) -> AppTest:
    fill(page, "Address", url)
    by_label(page.selectbox, "Dialect").select("openai-image")
    run(page)
    fill(page, "Model", "some-model")
    fill(page, "Variable with the key", key)
    page.number_input(key="encoder url size").set_value(48)
    if private is not None:
        by_label(page.toggle, "The address is on this machine or in a private network").set_value(private)
    return run(page)


def test_an_encoder_behind_a_url_is_tried_priced_and_added(
    workspace: Workspace, served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, url = served
    monkeypatch.setenv("MUC_KEY_THEIRS", KEY)
    page = press(url_form(open_page(), url, key="MUC_KEY_THEIRS"), "Connect")
    assert f"{url}/v1/embeddings gives 48 numbers" in texts(page)
    assert "What it costs: up to 32 pictures go into one request" in texts(page)
    assert by_label(page.text_input, "Name of the encoder here").value == "some-model"
    seen = len(service.seen)
    press(page, "Add this encoder")
    assert len(service.seen) == seen
    record = workspace.encoder("some-model")
    assert KEY not in (record.folder / SETTINGS_FILE).read_text() + record.manifest.model_dump_json()
    assert "key from the environment variable MUC_KEY_THEIRS" in card(page)["Service"]
    assert "A check sends " in texts(page)
    everything = texts(page) + str(page.table[0].value) + str(page.session_state)
    assert KEY not in everything


def test_a_check_behind_a_url_is_a_job(
    workspace: Workspace, served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    service, url = served
    monkeypatch.setenv("MUC_KEY_THEIRS", KEY)
    monkeypatch.setattr(encoder_check, "submit", submit)
    page = press(url_form(open_page(), url, key="MUC_KEY_THEIRS"), "Connect")
    press(page, "Add this encoder")
    seen = len(service.seen)
    press(page, "Check it")
    (job,) = JobTable(workspace).jobs()
    assert (job.kind, job.settings) == ("check_encoder", {"encoder": "some-model"})
    assert len(service.seen) == seen
    press(page, "Cancel")
    assert JobTable(workspace).job(job.id).state == "cancelled"


def test_a_wrong_key_is_said_without_showing_it(
    workspace: Workspace, served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_KEY_THEIRS", "sk-another-secret")
    page = press(url_form(open_page(), served[1], key="MUC_KEY_THEIRS"), "Connect")
    assert "does not accept the key" in page.error[0].value
    assert "sk-another-secret" not in texts(page)


def test_only_variables_meant_for_it_are_sent_anywhere(
    workspace: Workspace, served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "s3cret")
    service, url = served
    seen = len(service.seen)
    page = url_form(open_page(), url, key="CLOUD_SECRET")
    assert "begins with MUC_KEY_" in texts(page)
    assert by_label(page.button, "Connect").disabled
    assert len(service.seen) == seen


def test_a_key_typed_into_the_wrong_field_is_not_repeated(workspace: Workspace) -> None:
    page = url_form(open_page(), "https://api.example.org/v1", key=f"MUC_KEY_{KEY}")
    assert by_label(page.button, "Connect").disabled
    assert KEY not in texts(page)


def test_private_addresses_need_the_servers_flag(
    workspace: Workspace, served: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_ALLOW_PRIVATE_URLS", "0")
    service, url = served
    seen = len(service.seen)
    page = open_page()
    toggle = by_label(page.toggle, "The address is on this machine or in a private network")
    assert toggle.disabled
    assert "can allow them with MUC_ALLOW_PRIVATE_URLS=1" in texts(page)
    press(url_form(page, url, private=None), "Connect")
    assert "private network" in page.error[0].value
    assert len(service.seen) == seen


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("api.example.org", "must begin with http"),
        ("https://me:secret@api.example.org", "user name or password"),
        ("https://api.example.org/v1?key=abc", "must end before ?"),
    ],
)
def test_an_address_that_cannot_be_used_is_explained(workspace: Workspace, url: str, said: str) -> None:
    page = url_form(open_page(), url, private=False)
    assert said in texts(page)
    assert by_label(page.button, "Connect").disabled


# by open_clip's name


def test_a_name_of_open_clip_becomes_a_job(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard.components import encoder_file

    asked: list[Mapping[str, Any]] = []

    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        asked.append(settings.model_dump())
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(encoder_file, "submit", submit)
    page = open_page()
    box = by_label(page.selectbox, "Model and weights")
    assert "ViT-B-32:openai" in box.options
    box.select("ViT-B-32:openai")
    run(page)
    press(page, "Fetch and recognise")
    assert [request["source"] for request in asked] == ["ViT-B-32:openai"]
    (job,) = JobTable(workspace).jobs()
    JobTable(workspace).close(job.id, "failed", error="there is no network")
    run(page)
    assert "There is no network." in page.error[0].value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ViT-B/32 (OpenAI)", "vit-b-32-openai"),
        ("hf-hub:timm/ViT", "hf-hub-timm-vit"),
        ("日本", "encoder"),
        ("_x_", "x"),
    ],
)
def test_a_name_is_made_of_any_text(text: str, expected: str) -> None:
    assert slug(text) == expected
