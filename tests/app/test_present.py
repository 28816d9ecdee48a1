"""Present: the five steps in both languages, whose pictures, which verdict, and what can be saved."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import JsonValue
from streamlit.testing.v1 import AppTest

from dashboard.charts.style import HUES
from dashboard.components.story_slides import STEPS, tell, why_undecided
from dashboard.services import changes, encoder, pair_data
from dashboard.services.story import Checked, Facts, Mean, Seen, Thought, facts, subject_of, think
from dashboard.texts import languages, texts
from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.result import GUARD, STAND_INS, AuditResult, Check, Verdict
from muc_core.audit.vectors import ViewVectors
from muc_core.data.demo import demo_split
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.jobs.tasks.audit import KIND, PICTURES, RESULT
from muc_core.reports.story import Paragraph, Picture, Points, Story, slide_html, to_html
from muc_core.workspace import Workspace

DASHBOARD = Path(__file__).parents[2] / "dashboard"
PATIENCE_S = 120
LANGUAGES = languages()


def visit(app: AppTest, **query: str) -> AppTest:
    for key, value in query.items():
        app.query_params[key] = value
    shown = app.run().switch_page("app_pages/present.py").run()
    assert [error.message for error in shown.exception] == []
    assert [error.value for error in shown.error] == []
    return shown


def slide(app: AppTest) -> str:
    """All that the slide shows as HTML."""
    return "".join(str(element.proto.body) for element in app.get("html"))


def go(app: AppTest, step: str) -> None:
    app.session_state["step"] = step
    app.run()
    assert not app.exception


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def random_audit(verdict: Verdict | None = None, *, checks: tuple[Check, ...] = (), before: bool = True) -> AuditResult:
    """An audit of noise; another verdict can be put on it, for what is said of it."""
    random = np.random.default_rng(0)
    vectors = [ViewVectors(random.normal(size=(2, 50, 6)).astype(np.float32)) for _ in range(2)]
    found = audit(
        vectors[1],
        owner_ids=[f"{number}.png" for number in range(20)],
        control_ids=[f"c{number}" for number in range(30)],
        before=vectors[0] if before else None,
        checks=checks,
        settings=AuditSettings(permutations=99),
    )
    return found if verdict is None else found.model_copy(update={"verdict": verdict})


def some_facts(**changed: object) -> Facts:
    mean = Mean(150, 0.9, 0.4)
    values: dict[str, object] = {
        "before": "one",
        "after": "two",
        "method": "ac",
        "run_time_s": 27.4,
        "kind": "forget",
        "count": 150,
        "learned": 1324,
        "shown": (("id", "a caption", "data:,"),),
        "subject_mean": mean,
        "subject_unseen": Mean(160, 0.3, 0.3),
        "subject_mode": "image-text",
        "retain": Mean(1174, 0.84, 0.77),
        "unseen": Mean(160, 0.35, 0.32),
        "mode": "image-text",
    }
    return Facts(**(values | changed))  # type: ignore[arg-type]


def said(story: Story, step: str) -> str:
    return slide_html(story.slides[STEPS.index(step)].blocks)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_step_in_every_language(app: AppTest, code: str) -> None:
    words = texts(code)
    shown = visit(app, language=LANGUAGES[code])
    for number, step in enumerate(STEPS, 1):
        assert [title.value for title in shown.title] == [words.say(f"{step}.title")]
        assert slide(shown).strip()
        assert shown.button(key="back").disabled == (number == 1)
        assert shown.button(key="next").disabled == (number == 5)
        if number < 5:
            shown.button(key="next").click().run()
            assert shown.query_params["step"] == str(number + 1)
    shown.button(key="back").click().run()
    assert [title.value for title in shown.title] == [words.say("sure.title")]


def test_numbers_are_those_that_were_measured(app: AppTest) -> None:
    shown = visit(app)
    split = demo_split()
    first = slide(shown)
    for count in (len(split.forget) + len(split.retain), len(split.forget), len(split.held_out)):
        assert f">{count:,}<" in first
    assert first.count("<figure>") == 12
    assert HUES["forget"] in first
    found = changes("demo-clip", "demo-clip-ac")
    go(shown, "2")
    for part in (found.retain, found.held_out):
        assert part is not None
        assert f"{part.mean_before:z.2f}</span>" in slide(shown)
        assert f"{part.mean_after:z.2f}</span>" in slide(shown)
    go(shown, "3")
    assert found.forget is not None
    assert f"{found.forget.mean_after:z.2f}</span>" in slide(shown)


def test_neighbours_are_the_nearest_captions_of_each_encoder(app: AppTest) -> None:
    shown = visit(app, step="3")
    data = pair_data("demo-clip", "demo-clip-ac")
    chosen = str(shown.selectbox(key="picture").value)
    both = encoder("demo-clip"), encoder("demo-clip-ac")
    found = think(both, data.dataset.subset([chosen]), data.dataset, captions=True)
    names = list(dict.fromkeys(text for text in data.dataset.texts if text))
    for one, seen in zip(both, (found.before, found.after), strict=True):
        image = embed_images(one, data.dataset.subset([chosen])).numpy()[0].astype(np.float64)
        vectors = embed_texts(one, names).numpy().astype(np.float64)
        cosines = vectors @ image / np.linalg.norm(vectors, axis=1) / np.linalg.norm(image)
        assert list(seen.texts) == [names[place] for place in np.argsort(-cosines, kind="stable")[:5]]
        own = cosines[names.index(str(data.dataset.subset([chosen]).texts[0]))]
        assert seen.own_rank == 1 + (cosines > own + 1e-9).sum()
    assert found.pool == len(names)
    assert found.before.texts[0] in slide(shown)
    shown.select_slider(key="moment").set_value("now").run()
    assert "Now, the AI would call it" in slide(shown)
    assert found.after.texts[4] in slide(shown)
    assert "Before, the AI would call it" not in slide(shown)


def test_another_picture_can_be_looked_at_and_is_in_the_link(app: AppTest) -> None:
    shown = visit(app, step="3")
    other = shown.selectbox(key="picture").options[3]
    shown.selectbox(key="picture").select(other).run()
    assert f"<figcaption>{other}</figcaption>" in slide(shown)
    assert shown.query_params["picture"] == shown.selectbox(key="picture").value


def test_without_a_verdict_the_step_says_so_and_leads_to_one(app: AppTest) -> None:
    shown = visit(app, step="4")
    assert "These pictures have not been checked yet" in slide(shown)
    assert [button.label for button in shown.button if "Check these pictures" in button.label]
    assert any("check_my_pictures" in str(link.proto.page) for link in shown.get("page_link"))
    go(shown, "5")
    assert "So far nothing at all is proven here" in slide(shown)


def test_a_kept_audit_of_the_pair_can_be_told(
    pair_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUC_ASSETS", str(pair_assets))
    monkeypatch.setenv("MUC_HOME", str(tmp_path))
    result = random_audit("under-forgotten")
    pictures: dict[str, dict[str, str]] = {"names": {}, "thumbnails": {}}
    settings: dict[str, JsonValue] = {"kind": KIND, "key": "x"}
    files = {RESULT: result.model_dump_json().encode(), PICTURES: json.dumps(pictures).encode()}
    workspace = Workspace()
    workspace.save_audit(
        title="another <pair>", before="other", after="demo-clip-ac", settings=settings, digests={}, files=files
    )
    kept = workspace.save_audit(
        title="a <b>title", before="demo-clip", after="demo-clip-ac", settings=settings, digests={}, files=files
    )
    app = AppTest.from_file(str(DASHBOARD / "streamlit_app.py"), default_timeout=PATIENCE_S)
    shown = visit(app, step="4", result=kept.manifest.id)
    assert "Not forgotten" in slide(shown)
    assert f"{kept.manifest.created[:10]}: a &lt;b&gt;title" in slide(shown)
    assert len(shown.selectbox(key="result").options) == 2
    (tick,) = [box for box in shown.checkbox if box.label.startswith("Without a passphrase")]
    tick.check()
    (sign,) = [button for button in shown.button if button.label == "Make the evidence pack"]
    sign.click().run()
    assert "was kept without its vectors" in shown.error[0].value.replace("\\", "")
    shown.selectbox(key="result").select_index(0).run()
    assert "have not been checked yet" in slide(shown)
    assert not [button for button in shown.button if button.label == "Make the evidence pack"]


def test_pictures_of_ones_own(app: AppTest) -> None:
    shown = app.run().switch_page("app_pages/check_my_pictures.py").run()
    files = [(f"<b>{name}.png", png(name), "image/png") for name in ("red", "blue")]
    shown.file_uploader[0].set_value(files).run()
    shown.switch_page("app_pages/present.py").run()
    shown.button_group(key="whose").set_value("own").run()
    assert "2 pictures were brought along" in slide(shown)
    assert HUES["uploads"] in slide(shown)
    assert "<b>" not in slide(shown)
    go(shown, "3")
    assert "its own name" in slide(shown) or "in place" in slide(shown)
    assert "Brought along (2)" in slide(shown)
    assert "picture" not in shown.query_params
    go(shown, "4")
    assert "These pictures cannot be checked." in slide(shown)
    assert "there are 2 pictures to audit" in slide(shown)
    assert not shown.error
    shown.button(key="take notes").click().run()
    assert any("Read out that number" in markdown.value for markdown in shown.markdown)


def test_the_files_hold_the_story_as_it_is_shown(app: AppTest) -> None:
    visit(app)
    data = pair_data("demo-clip", "demo-clip-ac")
    subject = subject_of(data, None)
    found = facts("demo-clip", "demo-clip-ac", subject, None, data)
    first = data.dataset.subset([found.shown[0][0]])
    seen = think((encoder("demo-clip"), encoder("demo-clip-ac")), first, data.dataset, captions=True)
    told = tell(found, (Picture(found.shown[0][2], found.shown[0][1]), seen), None, texts("de"))
    page = to_html(told)
    assert page.count("data:image/webp;base64,") >= 13
    assert len(page.encode()) < 5_000_000
    for step in STEPS:
        assert texts("de").say(f"{step}.title") in page


def test_an_empty_workspace_says_what_to_do(empty_app: AppTest) -> None:
    shown = empty_app.run().switch_page("app_pages/present.py").run()
    assert not shown.exception
    assert any("muc demo build" in error.value for error in shown.error)


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("verdict", ["forgotten", "under-forgotten", "over-forgotten", "cannot tell"])
def test_every_verdict_is_told(code: str, verdict: Verdict) -> None:
    words, result = texts(code), random_audit(verdict)
    told = tell(some_facts(), None, Checked(result, {}, {}), words, notes=True)
    shown = said(told, "sure")
    assert words.say(f"verdict.{verdict.replace(' ', '-')}.word") in shown
    assert f">{words.count(20)}<" in shown
    assert words.say("not.open") in said(told, "not") or verdict != "cannot tell"
    assert all(slide.notes for slide in told.slides)


def test_why_nothing_can_be_told() -> None:
    unfair = Check(name=GUARD, passed=False, value="AUC 0.9", meaning="they differ")
    assert why_undecided(random_audit(checks=(unfair,))) == "guard"
    stand_in = Check(name=STAND_INS, passed=False, value="others", meaning="they are no pictures like these")
    assert why_undecided(random_audit(checks=(stand_in,))) == "guard"
    assert why_undecided(random_audit()) == "nothing"
    alone = random_audit(before=False)
    findings = {name: finding.model_copy(update={"p": 0.5}) for name, finding in alone.findings.items()}
    assert why_undecided(alone.model_copy(update={"findings": findings})) == "few"
    like = findings | {"like never-seen": findings["like never-seen"].model_copy(update={"p": 0.001})}
    sure = alone.detectability.model_copy(update={"power": 0.9})
    assert why_undecided(alone.model_copy(update={"findings": like, "detectability": sure})) == "probe"
    weak = alone.detectability.model_copy(update={"power": 0.5})
    assert why_undecided(alone.model_copy(update={"findings": like, "detectability": weak})) == "few"


def test_a_trace_without_any_picture_of_its_own_is_explained() -> None:
    result = random_audit("under-forgotten")
    clear = tuple(item.model_copy(update={"verdict": "no trace found"}) for item in result.items)
    words = texts("en")
    told = tell(some_facts(), None, Checked(result.model_copy(update={"items": clear}), {}, {}), words)
    assert words.say("sure.together") in said(told, "sure")
    found = (clear[0].model_copy(update={"verdict": "trace found"}), *clear[1:])
    checked = Checked(result.model_copy(update={"items": found}), {clear[0].id: "<i>"}, {clear[0].id: "data:,"})
    shown = said(tell(some_facts(), None, checked, words), "sure")
    assert words.say("sure.together") not in shown
    assert "<figcaption>&lt;i&gt;</figcaption>" in shown


@pytest.mark.parametrize("code", LANGUAGES)
def test_what_is_not_known_is_said_or_left_out(code: str) -> None:
    words = texts(code)
    bare = some_facts(kind="nothing", count=0, shown=(), subject_mean=None, subject_unseen=None, unseen=None)
    told = tell(bare, None, None, words)
    assert told.slides[0].blocks == (Paragraph(words.say("asked.nothing")),)
    assert told.slides[2].blocks == (Paragraph(words.say("asked.nothing")),)
    for method, key in ((None, "methods.unknown"), ("retrain", "methods.retrain")):
        shown = said(tell(some_facts(method=method, run_time_s=None), None, None, words), "done")
        assert words.say(key) in shown
    assert "brand-new" in said(tell(some_facts(method="brand-new"), None, None, words), "done")
    same = tell(some_facts(after="one"), None, None, words)
    assert same.slides[1].blocks == (Paragraph(words.say("methods.none")),)


def test_the_cost_is_named_only_where_there_was_one() -> None:
    words = texts("en")
    points = [block for block in tell(some_facts(), None, None, words).slides[4].blocks if isinstance(block, Points)]
    assert "Forgetting had a price: the pictures that were to stay went from 0.84 to 0.77." in points[0].items
    free = tell(some_facts(retain=Mean(9, 0.84, 0.841)), None, None, words)
    assert "had a price" not in said(free, "not")
    assert words.say("done.price_same") in said(free, "done")


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.6, "2 seconds"), (119, "119 seconds"), (600, "10 minutes"), (7200, "2 hours")]
)
def test_run_time_is_told_in_a_fitting_unit(seconds: float, text: str) -> None:
    assert f"This took {text} of computing." in said(
        tell(some_facts(run_time_s=seconds), None, None, texts("en")), "done"
    )


def test_pictures_are_compared_where_there_are_no_captions() -> None:
    seen = Seen(("a", "b"), (0.5, 0.25), ("data:,", "data:,"), None, None)
    told = tell(some_facts(), (Picture("data:,", "x"), Thought(seen, seen, 99, "pictures")), None, texts("en"))
    assert "Now, the AI finds it most like" in said(told, "sees")
    assert "Out of 99 pictures." in said(told, "sees")


def test_pictures_are_never_their_own_neighbours(app: AppTest) -> None:
    visit(app)
    data = pair_data("demo-clip", "demo-clip-ac")
    pool = data.dataset.subset(data.dataset.ids[:40])
    one = pool.subset([pool.ids[3]])
    found = think((encoder("demo-clip"), encoder("demo-clip-ac")), one, pool, captions=False)
    assert found.pool == 39
    vectors = embed_images(encoder("demo-clip"), pool).numpy().astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = [place for place in np.argsort(-(unit @ unit[3]), kind="stable").tolist() if place != 3]
    assert list(found.before.texts) == [pool.texts[place] for place in order[:5]]
    assert found.before.own_rank is None
