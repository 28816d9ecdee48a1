"""The strength dial and the search for the weakest strength on the page Tune: every state of both."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue
from streamlit.testing.v1 import AppTest

from dashboard.components import dial_save
from dashboard.services import tune
from muc_core.data.sets import load_dataset
from muc_core.data.splits import make_split
from muc_core.encoders.checkpoint import load_weights
from muc_core.encoders.family import FAMILIES
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.evaluation.weakest import Search, Trial
from muc_core.evaluation.weights import at_strength
from muc_core.jobs import Job, JobTable, launcher
from muc_core.jobs.tasks.strength_sweep import StrengthSweepSettings, sweep
from muc_core.jobs.tasks.weakest_run import WeakestRunSettings
from muc_core.jobs.tasks.weakest_strength import WeakestStrengthSettings
from muc_core.progress import SILENT
from muc_core.workspace import Workspace, write_encoder
from tests.app.evidence import make_pack_on
from tests.app.linking import assert_link_reproduces, choose, open_link
from tests.tuned import ARCHITECTURES, FORGET, HELD_OUT, unlearning, write_pictures

PAGE = Path(__file__).parents[2] / "dashboard" / "app_pages" / "tune.py"
SWEPT = (0.0, 0.5, 1.0, 1.125, 1.25, 1.5)
LINE = StrengthSweepSettings(before="simclr-before", after="simclr-ac")


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """simclr-before, simclr-ac a small way from it, and simclr-retrain, none of them trained."""
    pictures = write_pictures(tmp_path_factory.mktemp("pictures"))
    dataset = load_dataset(str(pictures))
    forget = [item.id for item in dataset.items if item.owner == "ann"]
    split = make_split(dataset, seed=0, held_out=HELD_OUT, calibration=2, forget=forget)
    data = DataReference(spec=str(pictures), digest=dataset.digest(), split=split)
    folder = tmp_path_factory.mktemp("assets")
    family, architecture = FAMILIES.get("simclr"), ARCHITECTURES["simclr"]
    one, other = (family.build(architecture, seed).state_dict() for seed in (0, 1))
    made = (
        ("simclr-before", None, one),
        ("simclr-ac", "ac", at_strength(one, other, 0.3)),
        ("simclr-finetune", "finetune", at_strength(one, other, 0.1)),
        ("simclr-retrain", "retrain", other),
    )
    for name, method, weights in made:
        manifest = EncoderManifest(
            name=name,
            title=name,
            family="simclr",
            architecture=architecture,
            method=method,
            original="simclr-before" if method else None,
            settings=unlearning("simclr").settings | {"beta": 2.0} if method == "ac" else {},
            data=data,
            run_time_s=12.0,
        )
        write_encoder(folder / "encoders", manifest, weights)
    return folder


@pytest.fixture(scope="module")
def measured_home(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which some of the dial and the other encoders have been measured."""
    home = tmp_path_factory.mktemp("measured")
    sweep(Workspace(home, assets=assets), LINE.model_copy(update={"strengths": SWEPT}))
    return home


@pytest.fixture
def workspace(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in which nothing has been measured."""
    monkeypatch.setenv("MUC_ASSETS", str(assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    return Workspace()


@pytest.fixture
def measured(workspace: Workspace, measured_home: Path) -> Workspace:
    """One of its own, with the figures of `measured_home`."""
    (workspace.home / "measurements").symlink_to(measured_home / "measurements")
    return workspace


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are queued as always, but no process is started for them."""

    def submit(workspace: Workspace, kind: str, settings: BaseModel, *, unique: bool = False) -> Job:
        return JobTable(workspace).add(kind, settings.model_dump(mode="json"), unique=unique)[0]

    monkeypatch.setattr(tune, "submit", submit)


def open_view(view: str, **state: str) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.session_state["view"] = view
    for name, value in state.items():
        page.session_state[name] = value
    page.run()
    assert not page.exception
    return page


def dial(**state: str) -> AppTest:
    return open_view("Strength dial", **state)


def by_label(widgets: Any, text: str) -> Any:
    (found,) = [widget for widget in widgets if widget.label == text]
    return found


def press(page: AppTest, label: str) -> AppTest:
    by_label(page.button, label).click().run()
    assert not page.exception
    return page


def texts(page: AppTest) -> str:
    """All that the page says, without the backslashes that keep Markdown from reading it as markup."""
    said = [*page.markdown, *page.caption, *page.error, *page.info, *page.warning, *page.success]
    return "\n".join(str(element.value) for element in said).replace("\\", "")


def add(workspace: Workspace, kind: str, settings: BaseModel, state: str, **ending: Any) -> Job:
    table = JobTable(workspace)
    job, _ = table.add(kind, settings.model_dump(mode="json"), unique=False)
    table.claim(job.id)
    table.tell(job.id, {"step": 300, "total": 1600, "message": "strength 0.375, view 2 of 8"})
    if state != "running":
        table.close(job.id, state, **ending)  # type: ignore[arg-type]
    return table.job(job.id)


# the dial


def test_what_is_to_be_measured_is_said_and_one_job_is_queued_however_often_it_is_pressed(workspace: Workspace) -> None:
    page = dial()
    assert "15 encoders are to be measured, each on 58 pictures" in texts(page).replace("*", "")
    assert "variances by ratio, so that they stay positive" in texts(page)
    assert page.selectbox[0].options == ["simclr-ac", "simclr-finetune"]
    press(page, "Measure the dial")
    assert "Measuring the dial" in page.get("progress")[0].proto.text
    again = dial()
    assert [button.label for button in again.button] == ["Cancel"]
    (job,) = JobTable(workspace).jobs()
    assert StrengthSweepSettings.model_validate(job.settings) == LINE
    tune.start_sweep(tune.Line("simclr-before", "simclr-ac"))
    assert len(JobTable(workspace).jobs()) == 1


def test_cancel_ends_the_measuring_and_the_page_says_what_is_kept(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "CANCEL_WITHIN_S", 0.1)
    page = press(press(dial(), "Measure the dial"), "Cancel")
    assert JobTable(workspace).jobs()[0].state == "cancelled"
    assert "was cancelled. What was measured is kept; start it again and it goes on from there." in texts(page)
    assert by_label(page.button, "Measure the dial")


def test_a_failed_measuring_says_why_and_what_next(workspace: Workspace) -> None:
    add(workspace, "strength_sweep", LINE, "failed", error="the disk is full")
    said = texts(dial())
    assert "did not end: the disk is full. What was measured is kept; start it again" in said


def test_while_measuring_the_first_strengths_can_be_turned(workspace: Workspace) -> None:
    few = LINE.model_copy(update={"strengths": (0.0, 0.125), "others": False})
    sweep(workspace, few, progress=SILENT)
    add(workspace, "strength_sweep", LINE, "running")
    page = dial()
    assert "Measuring the dial. Strength 0.375, view 2 of 8, step 300 of 1,600" in page.get("progress")[
        0
    ].proto.text.replace("\\", "")
    assert page.select_slider[0].options == ["0", "0.125"]
    assert page.select_slider[0].value == "0.125"
    assert len(page.get("plotly_chart")) == 4


def test_the_dial_stops_at_measured_strengths_and_redraws_all_figures(measured: Workspace) -> None:
    page = dial()
    slider = page.select_slider[0]
    assert slider.options == [f"{strength:g}" for strength in SWEPT]
    assert slider.value == "1"
    assert "8 of 15 are measured already. 7 encoders are to be measured" in texts(page).replace("*", "")
    assert "at strength 1" in texts(page)
    before = [chart.proto.spec for chart in page.get("plotly_chart")]
    assert len(before) == 4
    metrics = {metric.label: metric.value for metric in page.metric}
    assert set(metrics) == {"Above never-seen", "Forget set found", "Retained found", "Held-out found"}
    slider.set_value("1.5").run()
    assert not page.exception
    assert "at strength 1.5" in texts(page)
    after = [chart.proto.spec for chart in page.get("plotly_chart")]
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert "Probes are made before a strength is called forgotten" in texts(page)


def test_a_link_reproduces_the_dial(measured: Workspace) -> None:
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["view"] = "Strength dial"
    page.query_params["unlearned"] = "simclr-ac"
    page.query_params["strength"] = "0.5"
    page.run()
    assert not page.exception
    assert page.select_slider[0].value == "0.5"


def test_what_is_chosen_on_a_dial_is_in_the_link(measured: Workspace) -> None:
    page = open_link("tune", {"view": "Strength dial", "unlearned": "simclr-finetune"})
    choose(choose(page, "unlearned", "simclr-ac"), "strength", "0.5")
    choose(page, "utility", "held_out")
    query = assert_link_reproduces(page, "tune")
    assert (query["strength"], query["utility"]) == ("0.5", "held_out")
    told = open_link("tune", query | {"strength": "0.3"}).warning
    assert any("the strength “0.3”" in warning.value.replace("\\", "") for warning in told)


def test_a_link_to_a_strength_that_was_not_measured_goes_to_the_unlearned_encoder(measured: Workspace) -> None:
    assert dial(strength="0.3").select_slider[0].value == "1"


def test_a_link_to_an_encoder_that_is_gone_shows_another(measured: Workspace) -> None:
    assert dial(unlearned="gone").selectbox[0].value == "simclr-ac"


def test_a_strength_is_saved_and_becomes_after(measured: Workspace) -> None:
    page = dial(strength="1.25")
    assert page.text_input[0].value == "simclr-ac-at-1.25"
    press(page, "Save as an encoder")
    manifest = Workspace().encoder("simclr-ac-at-1.25").manifest
    assert (manifest.original, manifest.settings["strength"]) == ("simclr-before", 1.25)
    assert manifest.settings["strength of"] == "simclr-ac"
    assert (page.session_state["before"], page.session_state["after"]) == ("simclr-before", "simclr-ac-at-1.25")
    assert "Saved as simclr-ac-at-1.25; it is now *After* on every page" in texts(page)
    assert page.text_input[0].value == "simclr-ac-at-1.25-2"
    saved = load_weights(Workspace().encoder("simclr-ac-at-1.25").weights)
    ends = [load_weights(Workspace().encoder(name).weights) for name in ("simclr-before", "simclr-ac")]
    expected = at_strength(ends[0], ends[1], 1.25)
    assert all((saved[name] == (t.half() if t.is_floating_point() else t)).all() for name, t in expected.items())


def test_a_name_that_is_taken_saves_nothing_and_says_so(measured: Workspace) -> None:
    page = dial(strength="1.25")
    page.text_input[0].set_value("simclr-retrain").run()
    press(page, "Save as an encoder")
    assert "Not saved: there is an encoder 'simclr-retrain' already" in texts(page)
    assert dial_save.SAVED not in page.session_state


def test_the_ends_are_saved_already(measured: Workspace) -> None:
    assert "Strength 1 is simclr-ac, which is saved already" in texts(dial())


def test_only_the_verdict_on_a_saved_encoder_can_be_signed(measured: Workspace) -> None:
    assert "Make the evidence pack" not in [button.label for button in dial(strength="1.25").button]
    found = make_pack_on(dial())
    assert found.verified
    assert found.manifest is not None
    assert found.manifest.encoders["after"].name == "simclr-ac"
    assert len(found.manifest.owner) == FORGET


@pytest.mark.parametrize("view", ["Strength dial", "Weakest strength"])
def test_an_empty_workspace_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(tmp_path / "none"))
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    assert "no pair for a strength dial yet" in open_view(view).error[0].value


# the search


def trials(*answers: tuple[float, str, float]) -> tuple[Trial, ...]:
    return tuple(Trial.model_validate({"value": v, "answer": a, "effect": d}) for v, a, d in answers)


FOUND = trials((0, "trace left", 1.5), (1.0, "trace left", 0.4), (1.125, "no trace found", 0.1))


def searched(workspace: Workspace, search: Search) -> None:
    asked = WeakestStrengthSettings(before="simclr-before", after="simclr-ac")
    add(workspace, "weakest_strength", asked, "done", result={"search": search.model_dump(mode="json"), "probed": True})


def test_searching_the_dial_queues_one_job(workspace: Workspace) -> None:
    page = open_view("Weakest strength")
    assert "a mixture is an encoder that no training run ever produced" in texts(page)
    assert "Where the audit cannot tell, it has not found that nothing is left" in texts(page)
    press(page, "Search the dial")
    (job,) = JobTable(workspace).jobs()
    assert (job.kind, job.settings["after"]) == ("weakest_strength", "simclr-ac")
    assert "Searching the dial" in page.get("progress")[0].proto.text


def test_what_was_found_leads_to_the_dial(measured: Workspace) -> None:
    searched(measured, Search(outcome="found", found=FOUND[2], below=FOUND[1], trials=FOUND))
    page = open_view("Weakest strength")
    assert "No trace is found from strength 1.12 on; just below, at 1, a trace is left" in page.success[
        0
    ].value.replace("\\", "")
    assert "The 3 audits that it rests on" in [expander.label for expander in page.expander]
    assert not page.warning
    press(page, "Show it on the dial")
    assert page.select_slider[0].value == "1.125"


@pytest.mark.parametrize(
    ("search", "kind", "words"),
    [
        (Search(outcome="never", trials=FOUND[:2]), "warning", "No strength passes: even at 1"),
        (
            Search(outcome="jumped", trials=trials((0, "trace left", 1.0), (1.5, "pushed below", -1.0))),
            "warning",
            "Nothing between them was found that passes",
        ),
        (
            Search(outcome="cannot tell", trials=trials((1.5, "cannot tell", 0.1)), reason="Too little could be seen."),
            "info",
            "The audit cannot tell at any strength. Too little could be seen.",
        ),
    ],
)
def test_where_nothing_passes_it_is_said_so(workspace: Workspace, search: Search, kind: str, words: str) -> None:
    searched(workspace, search)
    page = open_view("Weakest strength")
    assert words in getattr(page, kind)[0].value.replace("\\", "")
    assert not page.success
    assert "Show it on the dial" not in [button.label for button in page.button]


def test_a_failed_search_says_why(workspace: Workspace) -> None:
    asked = WeakestStrengthSettings(before="simclr-before", after="simclr-ac")
    add(workspace, "weakest_strength", asked, "failed", error="the worker ran out of memory")
    assert "The search did not end: the worker ran out of memory. Strengths that were measured are kept" in texts(
        open_view("Weakest strength")
    )


def over_runs(**state: str) -> AppTest:
    return open_view("Weakest strength", search="Over real runs", **state)


def test_searching_over_runs_asks_for_a_setting_and_an_interval(workspace: Workspace) -> None:
    page = over_runs()
    assert "every trial is a real unlearned encoder" in texts(page)
    assert by_label(page.selectbox, "Setting to turn").value == "beta"
    assert (by_label(page.number_input, "Weakest").value, by_label(page.number_input, "Strongest").value) == (0.5, 8.0)
    assert "Up to 5 runs, each kept as an encoder simclr-ac-beta-VALUE" in texts(page)
    press(page, "Search over runs")
    (job,) = JobTable(workspace).jobs()
    asked = WeakestRunSettings.model_validate(job.settings)
    assert (asked.setting, asked.low, asked.high, asked.job.forget) == ("beta", 0.5, 8.0, "forget")
    assert asked.job.original == "simclr-before"
    assert "Unlearning again and again" in page.get("progress")[0].proto.text


def test_an_interval_the_wrong_way_round_cannot_be_started(workspace: Workspace) -> None:
    page = over_runs()
    by_label(page.number_input, "Weakest").set_value(9.0).run()
    assert "Weakest must lie below Strongest" in texts(page)
    assert "Search over runs" not in [button.label for button in page.button]


def test_a_method_without_a_strength_says_so(workspace: Workspace) -> None:
    assert "Fine-tune has no strength of its own" in texts(over_runs(unlearned="simclr-finetune"))


def test_trials_are_listed_with_their_encoders(workspace: Workspace) -> None:
    asked = WeakestRunSettings(job=unlearning("simclr"), setting="beta", low=0.5, high=8)
    found = Search(outcome="found", found=FOUND[2], below=FOUND[1], trials=FOUND)
    names: dict[str, JsonValue] = {"1.125": "simclr-ac-beta-1.12"}
    result = {"search": found.model_dump(mode="json"), "trials": names}
    add(workspace, "weakest_run", asked, "done", result=result)
    page = over_runs()
    assert "No trace is found from beta 1.12 on" in page.success[0].value.replace("\\", "")
    assert "simclr-ac-beta-1.12" in page.table[0].value.to_string().replace("\\", "")
    # as searches of earlier versions are kept
    assert "was not probed" in page.warning[0].value


def test_a_forget_set_of_another_run_is_written_down(workspace: Workspace) -> None:
    record = workspace.encoder("simclr-ac")
    assert record.manifest.data is not None
    split = record.manifest.data.split
    fewer = split.choose_forget(split.forget[:6])
    data = record.manifest.data.model_copy(update={"split": fewer})
    manifest = record.manifest.model_copy(update={"name": "simclr-six", "data": data})
    workspace.save_encoder(manifest, load_weights(record.weights))
    spec = tune.forget_spec(tune.Line("simclr-before", "simclr-six"))
    assert Path(spec.removeprefix("ids:")).read_text().split() == sorted(fewer.forget)
    assert tune.forget_spec(tune.Line("simclr-before", "simclr-ac")) == "forget"
    assert FORGET == 12


def test_every_kind_of_job_is_described(workspace: Workspace) -> None:
    from dashboard.components.job_view import describe

    described: list[tuple[str, BaseModel, str]] = [
        ("strength_sweep", LINE, "Strength dial of simclr-before and simclr-ac"),
        (
            "weakest_strength",
            WeakestStrengthSettings(before="simclr-before", after="simclr-ac"),
            "Weakest strength between simclr-before and simclr-ac",
        ),
        (
            "weakest_run",
            WeakestRunSettings(job=unlearning("simclr"), setting="beta", low=1, high=2),
            "Weakest beta: unlearning simclr-before again and again",
        ),
    ]
    for kind, settings, words in described:
        assert describe(add(workspace, kind, settings, "cancelled")) == words
