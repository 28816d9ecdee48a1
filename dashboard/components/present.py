"""What Present consists of: the choice of step, language and pictures, one slide, and what can be saved of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components.choices import Pair
from dashboard.components.links import linked_state, put_into_link, take_from_link
from dashboard.components.page import is_dark
from dashboard.components.progress_bar import ProgressBar
from dashboard.components.story_slides import MOST_TRACES, STEPS, tell
from dashboard.components.uploads import kept_pictures, plain
from dashboard.components.words import moment
from dashboard.services import AuditPlan, PairData, controls_for, known_audit, make_audit, plan_audit
from dashboard.services.evidence import evidence_of_kept, evidence_of_plan
from dashboard.services.story import SIDE, Checked, Facts, Subject, Thought, kept_audits, subject_of, thought
from dashboard.texts import Texts, languages, texts
from muc_core.data.dataset import ImageTextDataset
from muc_core.errors import MucError
from muc_core.jobs.tasks.audit import read_audit
from muc_core.reports.story import (
    STYLE,
    Block,
    Guesses,
    Picture,
    Slide,
    Story,
    heading_html,
    side_html,
    slide_html,
    to_html,
)
from muc_core.reports.story_pdf import to_pdf

STEP, LANGUAGE, NOTES = "step", "language", "notes"
WHOSE, PICTURE, MOMENT, VERDICT = "whose", "picture", "moment", "result"
LARGE = 240
"""Pixels of the picture that is looked at closely."""
MOST_NAMES = 400
"""Pictures that can be chosen by name."""


def choose_language(place: DeltaGenerator) -> Texts:
    """The language of the story, in the address by its own name. Buttons, which leave the arrow keys alone."""
    names = {name: code for code, name in languages().items()}
    if st.session_state.get(LANGUAGE) not in names:
        st.session_state[LANGUAGE] = take_from_link(LANGUAGE, names, "the language") or next(iter(names))
    chosen: str = st.session_state[LANGUAGE]
    put_into_link(**{LANGUAGE: chosen})
    for name in names:
        place.button(
            name,
            key=f"speak {name}",
            type="tertiary",
            icon=":material/check:" if name == chosen else None,
            on_click=_speak,
            args=(name,),
        )
    return texts(names[chosen])


def _speak(name: str) -> None:
    st.session_state[LANGUAGE] = name


def current_step(place: DeltaGenerator, words: Texts) -> int:
    """Which slide is shown, from 0; in the address from 1. It says so, and is no widget, which would catch the keys."""
    steps = [str(number) for number in range(1, len(STEPS) + 1)]
    if STEP not in st.session_state:
        st.session_state[STEP] = take_from_link(STEP, steps, "the step") or steps[0]
    chosen: str = st.session_state[STEP]
    put_into_link(**{STEP: chosen})
    place.markdown(words.say("page.step", n=chosen, of=len(STEPS)), width="content")
    return steps.index(chosen)


def with_notes(place: DeltaGenerator, words: Texts) -> bool:
    """Whether the speaker's notes are shown."""
    if NOTES not in st.session_state:
        st.session_state[NOTES] = take_from_link(NOTES, ("on",), "the notes") == "on"
    shown: bool = st.session_state[NOTES]
    put_into_link(**{NOTES: "on" if shown else None})
    place.button(
        words.say("page.notes"),
        key="take notes",
        icon=":material/check:" if shown else ":material/speaker_notes:",
        on_click=_show_notes,
        args=(not shown,),
        help=words.say("page.notes_help"),
    )
    return shown


def _show_notes(shown: bool) -> None:
    st.session_state[NOTES] = shown


def words_on_demand(place: DeltaGenerator, words: Texts) -> None:
    """The glossary."""
    with place.popover(words.say("page.words"), icon=":material/menu_book:"):
        for word, meaning in words.pairs("glossary"):
            st.markdown(f"**{plain(word)}**  \n{plain(meaning)}")


def turn_pages(place: DeltaGenerator, step: int, words: Texts) -> None:
    """The buttons that lead on and back; the arrow keys press them."""
    with place.container(horizontal=True, horizontal_alignment="distribute"):
        st.button(
            words.say("page.back"),
            key="back",
            shortcut="Left",
            disabled=step == 0,
            on_click=_turn,
            args=(step,),
        )
        st.button(
            words.say("page.next"),
            key="next",
            type="primary",
            shortcut="Right",
            disabled=step == len(STEPS) - 1,
            on_click=_turn,
            args=(step + 2,),
        )


def _turn(number: int) -> None:
    st.session_state[STEP] = str(number)


def choose_subject(data: PairData, words: Texts) -> Subject:
    """Whose pictures the story is about: those to be forgotten, or what was uploaded in this session."""
    own = kept_pictures()
    if own is None:
        st.page_link("app_pages/check_my_pictures.py", label=words.say("page.bring_own"), icon=":material/upload:")
        return subject_of(data, None)
    if not data.split.forget:
        return subject_of(data, own)
    kinds = {"forget": "forget", "own": "own"}
    linked_state(WHOSE, kinds, first="forget", what="the pictures")
    whose = st.segmented_control(
        words.say("page.pictures"),
        list(kinds),
        required=True,
        format_func=lambda kind: words.say(f"page.pictures_{kind}"),
        key=WHOSE,
        persist_state="session",
    )
    return subject_of(data, own if whose == "own" else None)


def choose_verdict(
    pair: Pair, subject: Subject, controls: ImageTextDataset | None, words: Texts
) -> tuple[Checked | None, AuditPlan | None, str | None]:
    """The audit to tell about, of these pictures or one that was kept; how to make it; why it cannot be made."""
    kept = kept_audits(pair.before, pair.after)
    here = "here"
    labels = {here: words.say("page.verdict_here")}
    for key, record in kept.items():
        made = moment(record.manifest.created)
        labels[key] = words.say("page.verdict_saved", date=made, title=record.manifest.title)
    chosen = here
    if kept:
        if st.session_state.get(VERDICT) not in labels:  # a new session, or it belonged to another pair
            st.session_state[VERDICT] = take_from_link(VERDICT, labels, "the result") or here
        chosen = st.selectbox(
            words.say("page.verdict"),
            list(labels),
            format_func=labels.__getitem__,
            key=VERDICT,
            persist_state="session",
        )
    put_into_link(**{VERDICT: None if chosen == here else chosen})
    if chosen != here:
        saved = read_audit(kept[chosen])
        manifest = kept[chosen].manifest
        told = manifest.created[:10], manifest.title
        checked = Checked(saved.result, saved.names, saved.thumbnails, told, evidence_of_kept(kept[chosen]))
        return checked, None, None
    if subject.items is None:
        return None, None, None
    try:
        plan = plan_audit(pair.before, pair.after, subject.items, controls)
        result = known_audit(plan)
    except MucError as refusal:
        return None, None, str(refusal)
    if result is None:
        return None, plan, None
    traces = tuple(item.id for item in result.items if item.verdict == "trace found")[:MOST_TRACES]
    names = {item.id: item.text or item.id for item in subject.items.items}
    urls = dict(zip(traces, subject.urls(traces, SIDE), strict=True)) if traces else {}
    return Checked(result, names, urls, evidence=evidence_of_plan(plan)), plan, None


@dataclass(frozen=True)
class Choices:
    """The pictures of which one can be looked at closely: what each is called, by id."""

    names: dict[str, str]

    @property
    def chosen(self) -> str:
        """The one chosen, the first one until then; its widget is drawn on the slide."""
        first = next(iter(self.names))
        if st.session_state.get(PICTURE) not in self.names:  # a new session, or it belonged to other pictures
            st.session_state[PICTURE] = take_from_link(PICTURE, self.names, "the picture") or first
        return str(st.session_state[PICTURE])


def choices_of(subject: Subject, found: Facts) -> Choices | None:
    """The pictures on the first slide, and others of the subject; None when it has none."""
    if subject.items is None:
        return None
    called = {item.id: item.text or item.id for item in subject.items.items}
    ids = dict.fromkeys([*(name for name, _, _ in found.shown), *called])
    return Choices({name: called[name] for name in list(ids)[:MOST_NAMES]})


def look_at(pair: Pair, subject: Subject, choices: Choices | None, data: PairData) -> tuple[Picture, Thought] | None:
    """The chosen picture and what both encoders take it for."""
    if choices is None:
        return None
    chosen = choices.chosen
    # Nobody else could open a link to a picture of one's own.
    put_into_link(**{PICTURE: chosen if subject.kind == "forget" else None})
    (url,) = subject.urls((chosen,), LARGE)
    return Picture(url, choices.names[chosen]), thought(pair.before, pair.after, subject, chosen, data)


def show_slide(slide: Slide, choices: Choices | None, words: Texts) -> None:
    """Title and blocks of one slide; what one picture was taken for has a slider between before and now."""
    st.title(slide.title, anchor=False)
    together: list[Block] = []
    for block in slide.blocks:
        if isinstance(block, Guesses):
            _show(together)
            together = []
            _show_guesses(block, choices, words)
        else:
            together.append(block)
    _show(together)


def show_notes(slide: Slide, words: Texts) -> None:
    """What the speaker may say, when the notes are on."""
    if slide.notes:
        with st.container(border=True, key="speaker-notes"):
            st.markdown(f":material/speaker_notes: **{plain(words.say('page.notes'))}**")
            for note in slide.notes:
                st.markdown(plain(note))


def _show(blocks: Sequence[Block]) -> None:
    if blocks:
        st.html(f"<style>{STYLE}</style>{slide_html(blocks)}")


def _show_guesses(block: Guesses, choices: Choices | None, words: Texts) -> None:
    st.html(f"<style>{STYLE}</style>{heading_html(block.title)}")
    chooser, slider = st.columns(2, gap="large", vertical_alignment="bottom")
    if choices is not None:
        chooser.selectbox(
            words.say("page.picture"),
            list(choices.names),
            format_func=choices.names.__getitem__,
            key=PICTURE,
            persist_state="session",
            label_visibility="collapsed",
        )
    with slider.container(horizontal=True, vertical_alignment="center"):
        linked_state(MOMENT, {"before": "before", "now": "now"}, first="before", what="the moment")
        st.markdown(words.say("page.before"), width="content")
        moment = st.select_slider(
            words.say("page.moment"),
            ["before", "now"],
            format_func=lambda name: words.say(f"page.{name}"),
            key=MOMENT,
            persist_state="session",
            label_visibility="collapsed",
            width=200,
        )
        st.markdown(words.say("page.now"), width="content")
    side = block.before if moment == "before" else block.after
    st.html(f"<style>{STYLE}</style>{side_html(block, side)}")


class _Percent:
    """Progress in numbers: what the library says of it is in one language only."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self._bar.report(step, total, f"{100 * step // max(total, 1)} %")


def offer_check(plan: AuditPlan | None, words: Texts) -> None:
    """Where there is no verdict yet: how to get one."""
    if plan is not None and not plan.long and st.button(words.say("page.check_now"), icon=":material/fact_check:"):
        make_audit(plan, _Percent(ProgressBar(words.say("page.checking"))))
        st.rerun()
    st.page_link(
        "app_pages/check_my_pictures.py", label=words.say("page.check_there"), icon=":material/add_photo_alternate:"
    )


def saving(place: DeltaGenerator, whole: Callable[[], Story], words: Texts) -> None:
    """The story as files; made when they are asked for."""
    with place.popover(words.say("page.save"), icon=":material/download:"):
        st.download_button(
            words.say("page.save_html"),
            lambda: to_html(whole()),
            f"{words.say('page.file')}.html",
            "text/html",
            key="save html",
            icon=":material/html:",
            on_click="ignore",
            help=words.say("page.save_html_help"),
        )
        st.download_button(
            words.say("page.save_pdf"),
            lambda: to_pdf(whole()),
            f"{words.say('page.file')}.pdf",
            "application/pdf",
            key="save pdf",
            icon=":material/picture_as_pdf:",
            on_click="ignore",
            help=words.say("page.save_pdf_help"),
        )


def told(
    found: Facts,
    seen: tuple[Picture, Thought] | None,
    checked: Checked | None,
    refused: str | None,
    words: Texts,
    *,
    notes: bool,
) -> tuple[Story, Callable[[], Story]]:
    """The story for the page, and for files, which are read on a light ground."""
    shown = tell(found, seen, checked, words, dark=is_dark(), notes=notes, refused=refused)
    return shown, lambda: tell(found, seen, checked, words, notes=notes, refused=refused)


def controls_of(subject: Subject, data: PairData) -> ImageTextDataset | None:
    """What the subject's pictures are compared with."""
    return None if subject.items is None else controls_for(subject.items, data)
