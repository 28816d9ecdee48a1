"""The page that unlearns: what the form offers and refuses, what starts, and what the list says of each job."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
import streamlit as st
from PIL import Image
from pydantic import BaseModel, JsonValue
from streamlit.testing.v1 import AppTest

from dashboard.charts.course import course_figure, course_finding
from dashboard.charts.loss import loss_figure, loss_finding
from dashboard.charts.style import HUES
from dashboard.components import job_view, unlearn_form
from dashboard.components.job_view import describe, duration, say
from dashboard.services import tune
from muc_core.audit.result import Interval
from muc_core.data.demo import demo_split, load_demo
from muc_core.data.sets import load_dataset
from muc_core.data.splits import make_split
from muc_core.encoders.families.clip import ClipFamily
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.jobs import Job, JobTable, launcher
from muc_core.jobs.table import State
from muc_core.jobs.tasks.unlearn import UnlearnJob
from muc_core.jobs.tuning.course import COURSE, Course, CoursePoint
from muc_core.unlearning.method import METHODS
from muc_core.workspace import Workspace, write_encoder
from muc_core.workspace.runs import RunWriter

PAGE = Path(__file__).parents[2] / "dashboard" / "app_pages" / "tune.py"
ARCHITECTURE = "muc-tiny"
FORM = ["Time a few steps", "Start unlearning"]
"""Buttons of the form where nothing was measured yet."""


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assets folder with two untrained demo encoders; one of them does not know its training data."""
    assets = tmp_path_factory.mktemp("assets")
    weights = ClipFamily().build(ARCHITECTURE, 0).state_dict()
    data = DataReference(spec="demo", digest=load_demo().digest(), split=demo_split())
    for name, reference in (("demo-clip", data), ("from-elsewhere", None)):
        manifest = EncoderManifest(name=name, title=name, family="clip", architecture=ARCHITECTURE, data=reference)
        write_encoder(assets / "encoders", manifest, weights)
    return assets


@pytest.fixture
def workspace(originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("MUC_ASSETS", str(originals))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return Workspace()


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are queued as always, but no process is started for them."""

    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(unlearn_form, "submit", submit)
    monkeypatch.setattr(job_view, "resume", lambda workspace, job_id: JobTable(workspace).queue_again(job_id))


def open_page() -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    return page


def by_label(widgets: Any, text: str) -> Any:
    (found,) = [widget for widget in widgets if widget.label == text]
    return found


def test_data_without_owners_and_categories_have_a_forget_set_at_random(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(pictures / f"{number}.png")
    dataset = load_dataset(str(pictures))
    split = make_split(dataset, seed=0, held_out=10, calibration=0)
    reference = DataReference(spec=str(pictures), digest=dataset.digest(), split=split)
    manifest = EncoderManifest(name="plain", title="plain", family="clip", architecture=ARCHITECTURE, data=reference)
    workspace.save_encoder(manifest, ClipFamily().build(ARCHITECTURE, 0).state_dict())
    page = open_page()
    by_label(page.selectbox, "Original encoder").set_value("plain").run()
    forget = by_label(page.selectbox, "Forget set")
    assert (forget.value, forget.options) == ("random:10%", ["random:10%"])
    assert not page.exception
    assert "3" in " ".join(text.value for text in [*page.caption, *page.markdown] if "forget" in text.value)


def start(page: AppTest) -> AppTest:
    by_label(page.button, "Start unlearning").click().run()
    assert not page.exception
    return page


def texts(page: AppTest) -> str:
    """All that the page says, without the backslashes that keep Markdown from reading it as markup."""
    said = [*page.markdown, *page.caption, *page.error]
    return "\n".join(str(element.value) for element in said).replace("\\", "")


def add_job(workspace: Workspace, state: State, *, name: str = "mine", **news: Any) -> Job:
    """A job in the table as its worker would have left it."""
    table = JobTable(workspace)
    asked = UnlearnJob(method="ac", original="demo-clip", forget="owner:artist", name=name)
    job, _ = table.add("unlearn", asked.model_dump(mode="json"), unique=False)
    ending = {key: news.pop(key) for key in ("error", "result") if key in news}
    if state != "queued":
        table.claim(job.id)
        table.tell(job.id, news)
    if state not in ("queued", "running"):
        table.close(job.id, state, **ending)
    return table.job(job.id)


# the form


@pytest.mark.usefixtures("workspace")
def test_the_form_offers_what_can_be_unlearned() -> None:
    page = open_page()
    method = by_label(page.selectbox, "Method")
    assert method.value == "ac"
    assert "Alignment Calibration" in method.options
    assert by_label(page.selectbox, "Original encoder").options == ["demo-clip"]
    forget = by_label(page.selectbox, "Forget set")
    assert forget.value == "owner:artist"
    assert "owner:artist (150 pictures)" in forget.options
    assert any(option.startswith("category:animal-bird (") for option in forget.options)
    assert not any(option.startswith(("held-out", "calibration", "train")) for option in forget.options)
    assert by_label(page.text_input, "Name of the new encoder").value == "demo-clip-ac"
    assert "Loosen each forget picture" in texts(page)
    epochs = METHODS.get("ac").settings().epochs
    plan = f"150 pictures to forget and 1,174 retained; epochs × steps in each = {epochs} × 11 = {11 * epochs} steps"
    assert plan in texts(page)
    assert not page.error


@pytest.mark.usefixtures("no_worker")
def test_start_queues_a_job_with_the_settings_of_the_form(workspace: Workspace) -> None:
    page = open_page()
    by_label(page.number_input, "Beta").set_value(2.5)
    by_label(page.number_input, "Epochs").set_value(1)
    by_label(page.number_input, "Seed").set_value(7)
    start(page)
    (job,) = JobTable(workspace).jobs()
    asked = UnlearnJob.model_validate(job.settings)
    assert (job.kind, asked.method, asked.original, asked.forget) == ("unlearn", "ac", "demo-clip", "owner:artist")
    assert (asked.name, asked.seed) == ("demo-clip-ac", 7)
    assert (asked.settings["beta"], asked.settings["epochs"]) == (2.5, 1)
    assert set(asked.settings) | {"augment"} == set(METHODS.get("ac").settings.model_fields)
    assert "queued" in texts(page)
    assert not page.error


@pytest.mark.usefixtures("no_worker")
def test_a_second_click_starts_nothing(workspace: Workspace) -> None:
    page = start(open_page())
    start(page)
    assert len(JobTable(workspace).jobs()) == 1
    assert not page.error


@pytest.mark.usefixtures("no_worker")
def test_a_name_in_the_making_cannot_be_used_for_other_settings(workspace: Workspace) -> None:
    page = start(open_page())
    by_label(page.number_input, "Epochs").set_value(3)
    start(page)
    assert len(JobTable(workspace).jobs()) == 1
    assert "Another job is making 'demo-clip-ac' already" in texts(page)


@pytest.mark.usefixtures("no_worker")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("demo-clip", "'demo-clip'"),
        ("My Encoder", "'My Encoder' cannot be the name of an encoder; use 1 to 64 lower-case letters"),
        ("", "'' cannot be the name of an encoder"),
    ],
)
def test_a_name_that_is_taken_or_not_allowed_is_explained_and_starts_nothing(
    workspace: Workspace, name: str, sentence: str
) -> None:
    page = open_page()
    by_label(page.text_input, "Name of the new encoder").set_value(name).run()
    assert sentence in texts(page)
    start(page)
    assert JobTable(workspace).jobs() == []
    assert page.error[0].value.startswith("Not started.")


@pytest.mark.usefixtures("no_worker")
def test_a_batch_too_small_for_the_method_is_explained_and_starts_nothing(workspace: Workspace) -> None:
    page = open_page()
    by_label(page.number_input, "Batch size").set_value(4).run()
    assert "set Batch size to 18 or more" in texts(page)
    start(page)
    assert JobTable(workspace).jobs() == []
    assert page.error


@pytest.mark.usefixtures("no_worker")
def test_a_learning_rate_of_nought_is_explained_and_starts_nothing(workspace: Workspace) -> None:
    page = open_page()
    by_label(page.number_input, "Learning rate").set_value(0.0).run()
    assert "Learning rate should be greater than 0" in texts(page)
    start(page)
    assert JobTable(workspace).jobs() == []
    assert page.error


@pytest.mark.usefixtures("workspace")
def test_a_forget_set_that_is_not_known_is_explained() -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.session_state["unlearn forget"] = "owner:artis"
    page.run()
    assert "did you mean 'artist'?" in texts(page)
    assert "There is no owner 'artis'" in texts(page)


def test_a_forget_set_stays_chosen_when_another_original_has_other_counts_of_it() -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.session_state["unlearn forget"] = "owner:artist (1,234 pictures)"
    page.run()
    assert page.selectbox(key="unlearn forget").value == "owner:artist"
    assert "There is no owner" not in texts(page)


@pytest.mark.usefixtures("no_worker")
def test_a_list_of_ids_can_be_forgotten(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(demo_split().forget[:20]), encoding="utf-8")
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.session_state["unlearn forget"] = f"ids:{tmp_path / 'ids.txt'}"
    page.run()
    assert "11 steps of 20 forget pictures, fewer than 2 in a step" in texts(page)
    by_label(page.number_input, "Batch size").set_value(256).run()
    assert "Uses 20 pictures to forget and 1,304 retained" in texts(page)
    start(page)
    (job,) = JobTable(workspace).jobs()
    assert job.settings["forget"] == f"ids:{tmp_path / 'ids.txt'}"


@pytest.mark.usefixtures("workspace")
def test_the_suggested_name_follows_the_method_and_an_own_one_stays() -> None:
    page = open_page()
    by_label(page.selectbox, "Method").set_value("finetune").run()
    assert by_label(page.text_input, "Name of the new encoder").value == "demo-clip-finetune"
    assert {"Alpha", "Beta"}.isdisjoint(widget.label for widget in page.number_input)
    assert "1,174 retained pictures (the 150 to forget are left out)" in texts(page)
    by_label(page.text_input, "Name of the new encoder").set_value("mine")
    by_label(page.selectbox, "Method").set_value("ac").run()
    assert by_label(page.text_input, "Name of the new encoder").value == "mine"


def test_the_next_free_name_is_suggested(workspace: Workspace) -> None:
    save(workspace, "demo-clip-ac")
    page = open_page()
    assert by_label(page.text_input, "Name of the new encoder").value == "demo-clip-ac-2"
    assert unlearn_form.unused_name("a" * 64, {"a" * 64}) == "a" * 62 + "-2"


def test_without_an_encoder_that_can_unlearn_the_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    assert "no encoder whose training data are known" in open_page().error[0].value


# the list


def save(workspace: Workspace, name: str) -> None:
    """An unlearned encoder as a job leaves it."""
    original = workspace.encoder("demo-clip")
    manifest = original.manifest.model_copy(update={"name": name, "method": "ac", "original": "demo-clip"})
    write_encoder(workspace.encoders_folder, manifest, ClipFamily().build(ARCHITECTURE, 1).state_dict())


def test_an_empty_list_says_so(workspace: Workspace) -> None:
    assert JobTable(workspace).jobs() == []
    assert "Nothing has run yet" in texts(open_page())


HISTORY = [(step, {"loss": 3.0 / step, "retain": 2.0 / step, "positive": 1.0 / step}) for step in range(1, 6)]


def test_a_running_job_shows_its_step_its_loss_and_a_cancel_button(workspace: Workspace) -> None:
    add_job(workspace, "running", step=5, total=20, message="epoch 1 of 4", history=HISTORY, values=HISTORY[-1][1])
    page = open_page()
    assert "running" in texts(page)
    assert "Alignment Calibration: demo-clip forgets owner:artist → mine" in texts(page)
    (bar,) = page.get("progress")
    assert bar.proto.value == 25
    assert bar.proto.text.replace("\\", "").startswith("Epoch 1 of 4, step 5 of 20")
    assert len(page.get("plotly_chart")) == 1
    assert "How to read this" in texts(page)
    assert [button.label for button in page.button] == [*FORM, "Cancel"]


def test_cancel_ends_a_job(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "CANCEL_WITHIN_S", 0.1)
    job = add_job(workspace, "queued")
    page = open_page()
    by_label(page.button, "Cancel").click().run()
    assert not page.exception
    assert JobTable(workspace).job(job.id).state == "cancelled"
    assert "Cancelled before it began" in texts(page)


def test_a_cancelled_job_says_where_it_stopped(workspace: Workspace) -> None:
    add_job(workspace, "cancelled", step=5, total=20, message="epoch 1 of 4")
    page = open_page()
    assert "Cancelled at step 5 of 20" in texts(page)
    assert [button.label for button in page.button] == [*FORM, "Go on"]


def test_a_failed_job_gives_its_reason_as_a_sentence(workspace: Workspace) -> None:
    add_job(workspace, "failed", error="the loss is nan at step 3; lower the learning rate")
    page = open_page()
    assert "failed" in texts(page)
    assert "The loss is nan at step 3; lower the learning rate." in texts(page)


def test_a_job_whose_worker_is_gone_is_lost_and_said_so(workspace: Workspace) -> None:
    job = add_job(workspace, "running", step=3, total=20)
    JobTable(workspace).attach(job.id, os.getpid())  # a living process, but not this job's worker
    page = open_page()
    assert "lost" in texts(page)
    assert "The worker process ended without a word" in texts(page)
    assert f"muc jobs resume {job.id}" in texts(page)


@pytest.mark.usefixtures("no_worker")
def test_a_lost_job_can_be_gone_on_with(workspace: Workspace) -> None:
    job = add_job(workspace, "lost", step=3, total=20, error="the worker process ended without a word")
    page = open_page()
    by_label(page.button, "Go on").click().run()
    again = JobTable(workspace).job(job.id)
    assert (again.state, again.attempt) == ("queued", 2)
    assert "Go on" not in [button.label for button in page.button]
    assert not page.exception


def test_a_job_that_somebody_else_took_up_meanwhile_is_not_queued_twice(workspace: Workspace) -> None:
    job = add_job(workspace, "failed", error="the disk is full")
    page = open_page()
    JobTable(workspace).queue_again(job.id)
    by_label(page.button, "Go on").click().run()
    assert "is queued; only one that failed" in texts(page)
    assert JobTable(workspace).job(job.id).attempt == 2


def test_a_done_job_offers_its_encoder_as_after(workspace: Workspace) -> None:
    save(workspace, "mine")
    add_job(workspace, "done", step=20, total=20, history=HISTORY, result={"encoder": "mine", "run": "r"})
    page = open_page()
    assert "The encoder mine is ready" in texts(page)
    assert not page.get("plotly_chart")
    by_label(page.button, "Use it as After").click().run()
    assert (page.session_state["before"], page.session_state["after"]) == ("demo-clip", "mine")
    assert "mine is now *After* on every page" in texts(page)
    assert [button.label for button in page.button] == FORM
    by_label(page.toggle, "Show the loss").set_value(True).run()
    assert len(page.get("plotly_chart")) == 1


def begin_run(workspace: Workspace, job: Job, *, checkpoint: bool) -> RunWriter:
    """What the worker of a job keeps on the way."""
    original = workspace.encoder("demo-clip").manifest
    writer = Workspace(workspace.home, job=job.id).new_run(
        kind="unlearn",
        title="demo-clip after Alignment Calibration",
        family="clip",
        architecture=ARCHITECTURE,
        method="ac",
        original="demo-clip",
        settings={},
        seeds={},
        data=original.data,
    )
    if checkpoint:
        writer.add_checkpoint(5, ClipFamily().build(ARCHITECTURE, 1).state_dict(), epoch=0.5, values={"loss": 1.0})
    return writer


def test_a_run_can_be_stopped_and_kept(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "CANCEL_WITHIN_S", 0.1)
    job = add_job(workspace, "running", step=7, total=20)
    writer = begin_run(workspace, job, checkpoint=True)
    page = open_page()
    by_label(page.button, "Stop and keep").click().run()
    assert not page.exception
    writer.cancel()
    assert JobTable(workspace).job(job.id).state == "cancelled"
    manifest = workspace.encoder("mine").manifest
    assert (manifest.original, manifest.run, manifest.settings["stopped at step"]) == ("demo-clip", writer.id, 5)
    assert "Cancelled at step 7 of 20. Its checkpoint was kept as mine." in texts(page)


def test_a_run_without_a_checkpoint_offers_only_to_cancel(workspace: Workspace) -> None:
    job = add_job(workspace, "running", step=1, total=20)
    writer = begin_run(workspace, job, checkpoint=False)
    assert [button.label for button in open_page().button] == [*FORM, "Cancel"]
    writer.cancel()


def test_a_failed_run_offers_its_last_checkpoint(workspace: Workspace) -> None:
    job = add_job(workspace, "failed", error="the loss became nan at step 6")
    begin_run(workspace, job, checkpoint=True).fail("the loss became nan")
    page = open_page()
    by_label(page.button, "Keep its last checkpoint").click().run()
    assert workspace.encoder("mine").manifest.settings["stopped at step"] == 5
    assert "Keep its last checkpoint" not in [button.label for button in page.button]


def test_the_verdict_so_far_is_drawn_beside_the_loss(workspace: Workspace) -> None:
    job = add_job(workspace, "running", step=5, total=20, history=HISTORY, values=HISTORY[-1][1])
    writer = begin_run(workspace, job, checkpoint=False)
    writer.write_file(COURSE, Course().model_dump_json().encode())
    assert "The first quick audit is being made" in texts(open_page())
    effect = Interval(value=1.2, low=1.0, high=1.4)
    point = CoursePoint(
        step=0, forget=0.9, retain=0.9, controls=0.3, verdict="under-forgotten", effect=effect, rule="They stand above."
    )
    course = Course(points=(point, point.model_copy(update={"step": 4, "forget": 0.5})))
    writer.write_file(COURSE, course.model_dump_json().encode())
    page = open_page()
    assert len(page.get("plotly_chart")) == 2
    assert "2 views, no probes" in texts(page)
    assert course_finding(course) == "At step 4, so far: under-forgotten, 1.20 above never-seen pictures"
    figure = course_figure(course, 20, dark=False)
    assert [list(trace.y) for trace in figure.data] == [[0.9, 0.5], [0.9, 0.9], [0.3, 0.3]]
    writer.write_file(COURSE, Course(refused="there are 3 controls").model_dump_json().encode())
    assert any("No audits along the way: there are 3 controls." in info.value for info in open_page().info)
    writer.cancel()


def test_the_time_is_estimated_from_runs_and_measured_where_there_are_none(workspace: Workspace) -> None:
    assert "How long it takes is not known" in texts(open_page())
    writer = begin_run(workspace, add_job(workspace, "cancelled"), checkpoint=False)
    writer._update({"settings": {"epochs": 4}})
    writer.finish(encoder="x", run_time_s=100.0)
    page = open_page()
    # 8 epochs of the same pictures, and whatever the run took besides
    assert "About 3 min 20 s, measured on the latest run of this method and architecture here." in texts(page)
    assert "Time a few steps" not in [button.label for button in page.button]
    by_label(page.selectbox, "Method").set_value("neggrad").run()
    assert "measured on the latest run of other methods with this architecture here" in texts(page)


def test_a_timing_is_queued_and_its_failure_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(tune, "submit", submit)
    page = open_page()
    by_label(page.button, "Time a few steps").click().run()
    (job,) = JobTable(workspace).jobs()
    assert job.kind == "time_run"
    assert any("Timing a few steps" in bar.proto.text for bar in page.get("progress"))
    assert "Timing a few steps of ac on demo-clip" in texts(page)
    JobTable(workspace).close(job.id, "failed", error="the loss is nan")
    assert "The timing did not end: the loss is nan. Try again, or start the run without it." in texts(open_page())


def test_a_done_job_whose_encoder_was_deleted_offers_nothing(workspace: Workspace) -> None:
    add_job(workspace, "done", result={"encoder": "gone", "run": "r"})
    page = open_page()
    assert "has been deleted since" in texts(page)
    assert [button.label for button in page.button] == FORM


def test_earlier_jobs_are_shown_on_demand(workspace: Workspace) -> None:
    for number in range(7):
        add_job(workspace, "cancelled", name=f"mine-{number}")
    page = open_page()
    assert "mine-2" in texts(page)
    assert "mine-1" not in texts(page)
    by_label(page.toggle, "Show 2 earlier").set_value(True).run()
    assert "mine-0" in texts(page)


def test_the_list_is_refreshed_only_while_something_is_active(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    def fragment(function: Callable[..., None], *, run_every: float | None = None) -> Callable[..., None]:
        asked.append(run_every)
        return function

    monkeypatch.setattr(st, "fragment", fragment)
    open_page()
    add_job(workspace, "running", step=1, total=2)
    open_page()
    assert asked == [None, 1.0]


def make_job(kind: str, settings: Mapping[str, JsonValue], **fields: Any) -> Job:
    base: dict[str, Any] = {
        **{"id": "1", "kind": kind, "settings": settings, "state": "queued", "step": 0, "total": 0, "message": ""},
        **{"values": {}, "history": (), "pid": None, "heartbeat": 0, "created": 0, "started": None, "finished": None},
        **{"cancel_requested": False, "error": None, "result": {}, "attempt": 1, "seconds": None},
    }
    return Job.model_validate(base | fields)


def test_every_kind_of_job_is_described() -> None:
    trained = make_job("train", {"data": "demo", "name": "new"})
    mapped = make_job("embedding_map", {"before": "a", "after": "b"})
    assert describe(trained) == "Training on demo → new"
    assert describe(mapped) == "Embedding map of a and b"
    assert describe(make_job("something_else", {})) == "Something else"


def test_sentences_for_jobs_that_wait_start_and_stop() -> None:
    waiting = make_job("train", {}, message="waiting for 2 earlier jobs")
    assert say(waiting) == "Waiting for 2 earlier jobs; one job runs at a time, the oldest first."
    assert say(make_job("train", {}, state="running")).startswith("Loading the encoder")
    assert say(make_job("train", {}, state="running", cancel_requested=True)) == "Is being cancelled."
    far = "http://127.0.0.1:9/v1 gave no answer"
    assert say(make_job("audit", {}, state="failed", error=far)) == f"{far}."
    done = make_job("embedding_map", {}, state="done", started=100, finished=99, seconds=8)
    assert say(done) == "Finished; it took 8 s."


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# the chart


def lines(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_the_loss_chart_has_a_line_for_each_term_and_their_sum() -> None:
    drawn = lines(loss_figure(HISTORY, 20, dark=False))
    assert set(drawn) == {"retain", "positive", "sum of all terms"}
    assert list(drawn["retain"].x) == [1, 2, 3, 4, 5]
    assert list(drawn["positive"].y) == [1.0 / step for step in range(1, 6)]
    assert drawn["retain"].line.color == HUES["retain"]
    assert drawn["positive"].line.color == HUES["forget"]


def test_a_single_term_is_not_drawn_twice() -> None:
    history = [(1, {"loss": 2.0, "contrastive": 2.0}), (2, {"loss": 1.0, "contrastive": 1.0})]
    assert set(lines(loss_figure(history, 2, dark=True))) == {"contrastive"}


def test_terms_over_the_forget_set_differ_by_their_dashes() -> None:
    history = [(1, {"negative": 1.0, "performance": 2.0, "positive": 3.0, "sparsity": 4.0})]
    drawn = lines(loss_figure(history, 2, dark=False))
    assert len({drawn[name].line.dash for name in ("negative", "performance", "positive")}) == 3
    assert drawn["sparsity"].line.color not in HUES.values()


def test_the_axis_covers_the_whole_run() -> None:
    assert list(loss_figure(HISTORY, 20, dark=False).layout.xaxis.range) == [0, 20]


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ([2.0], "Loss 2.00 after 1 of 9 steps"),
        ([2.0, 1.504], "The loss fell from 2.00 to 1.50 in 2 of 9 steps"),
        ([1.0, 1.5], "The loss rose from 1.00 to 1.50 in 2 of 9 steps"),
        ([1.0, 1.001], "The loss stayed at 1.00 in 2 of 9 steps"),
    ],
)
def test_the_title_says_where_the_loss_went(values: list[float], finding: str) -> None:
    assert loss_finding([(step, {"loss": value}) for step, value in enumerate(values, start=1)], 9) == finding
