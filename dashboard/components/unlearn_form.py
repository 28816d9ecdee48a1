"""The form that starts an unlearning run; it checks what can be checked before the start."""

import re
from collections.abc import Mapping

import streamlit as st
from pydantic import JsonValue

import muc_core.unlearning.methods  # noqa: F401  (registers them)
from dashboard.components.forget_set import pick_forget_set
from dashboard.components.links import linked_number, linked_select, linked_state, linked_toggle
from dashboard.components.run_estimate import run_estimate
from dashboard.components.settings_form import find_faults, label, settings_fields
from dashboard.components.words import plain, sentence
from dashboard.services import PairData, encoder_records, forget_sets, named_forget_set, pair_data, workspace
from muc_core.data.sets import resolve_ids
from muc_core.data.splits import NO_CALIBRATION, DataSplit
from muc_core.encoders.family import FAMILIES
from muc_core.errors import MucError
from muc_core.jobs import JobTable, submit
from muc_core.jobs.presets import paper_settings, suited_settings
from muc_core.jobs.tasks.unlearn import KIND, UnlearnJob, method_settings
from muc_core.unlearning.engine import plan_of
from muc_core.unlearning.method import METHODS, Method
from muc_core.unlearning.settings import TrainingSettings

_AT_RANDOM = "random:10%"
"""As in the MUC paper, and the one set that every data set has."""

_COUNT = re.compile(r" \([\d,]+ pictures\)$")
NAME, SUGGESTED, STARTED = "unlearn name", "unlearn suggested name", "unlearn started names"
_DATA = "unlearn forget set is of"


def unlearn_form() -> None:
    """The settings of a run and the button that starts it."""
    for_method, for_original, for_forget = st.columns(3)
    with for_original:
        original = _choose_original()
    manifest = workspace().encoder(original).manifest
    with for_method:
        method = _choose_method(manifest.family)
    data = pair_data(original, original)
    with for_forget:
        forget, split = _choose_forget(data)
    st.caption(method.summary)
    suited = suited_settings(method, manifest)
    if suited is not method.settings:
        st.caption(f"The settings start as those that suit the preset {manifest.preset}, with which it was trained.")
    given = _choose_settings(
        suited,
        f"{method.name} {manifest.preset}" if suited is not method.settings else method.name,
        _paper_notes(method.name),
    )
    for_name, for_seed = st.columns([2, 1])
    with for_name:
        name, name_fault = _choose_name(f"{original}-{method.name}")
    with for_seed:
        seed = _choose_seed()
    audits = linked_toggle(
        st.container(),
        "Audit quickly at every checkpoint",
        first=True,
        key="unlearn audits",
        help="A look with 2 views of each picture and no probes shows the verdict so far; it takes a little longer.",
    )

    faults = [*find_faults(suited, given).values(), *([name_fault] if name_fault else [])]
    if split is None:
        faults.append("The forget set cannot be used; choose another one.")
    elif not find_faults(suited, given):
        given = suited.model_validate(given).model_dump(mode="json")
        settings = method_settings(method, given)
        try:
            st.caption(_describe_plan(method, settings, split))
            timed = UnlearnJob(
                method=method.name, original=original, forget=forget, name="timing", settings=given, seed=seed
            )
            run_estimate(timed, split, settings)
        except MucError as fault:
            told = _with_labels(str(fault), method)
            _show_fault(told)
            faults.append(sentence(told))
    if st.button("Start unlearning", type="primary", icon=":material/play_arrow:", key="start unlearning"):
        if faults:
            st.error("Not started. " + plain(" ".join(faults)), icon=":material/error:")
        else:
            _start(
                UnlearnJob(
                    method=method.name,
                    original=original,
                    forget=forget,
                    name=name,
                    settings=given,
                    seed=seed,
                    audits=audits,
                )
            )


def _choose_method(family: str) -> Method[TrainingSettings]:
    names = [method.name for method in METHODS if method.works_on(family)]
    key = "unlearn method"
    linked_state(key, {name: name for name in names}, first=names[0], what="the method")
    name = st.selectbox(
        "Method",
        names,
        format_func=lambda name: METHODS.get(name).title,
        key=key,
        persist_state="session",
    )
    return METHODS.get(name)


def _choose_original() -> str:
    """Name of an encoder that can be trained here and whose data are known. Raises `MucError` when there is none."""
    manifests = [record.manifest for record in encoder_records()]
    foreign = [m.name for m in manifests if m.family not in FAMILIES.names()]
    unknown = [m.name for m in manifests if m.data is None and m.name not in foreign]
    records = [m for m in manifests if m.data is not None and m.name not in foreign]
    names = [m.name for m in records if m.method is None] + [m.name for m in records if m.method is not None]
    if not names:
        raise MucError(
            "There is no encoder whose training data are known, so that nothing can be unlearned yet. Run `muc train` "
            "in a terminal to train one on your own pictures, then reload this page."
        )
    chosen = linked_select(
        st.container(),
        "Original encoder",
        names,
        key="unlearn original",
        first=names[0],
        what="an encoder",
        help="An encoder that was trained on the forget set; only those with known training data are offered.",
    )
    if foreign:
        known = ", ".join(FAMILIES.names())
        st.caption(plain(f"Only {known} can be trained here, so these are not offered: {', '.join(foreign)}."))
    if unknown:
        st.caption(plain(f"Training data not known; `muc unlearn --data` can name them: {', '.join(unknown)}."))
    return chosen


def _choose_forget(data: PairData) -> tuple[str, DataSplit | None]:
    """The forget set by name and the split with it; None, and the reason on screen, when it cannot be forgotten."""
    counts = forget_sets(data)
    specs = [spec for spec, count in counts.items() if count < len(data.split.train)]
    first = named_forget_set({spec: counts[spec] for spec in specs}, data)
    key = "unlearn forget"
    if chosen := st.session_state.get(key):
        # with another original the counts differ, and what was chosen before comes back as its old label
        st.session_state[key] = chosen = _COUNT.sub("", chosen)
        if st.session_state.get(_DATA) not in (None, data.dataset.name) and not _is_set(chosen, data):
            del st.session_state[key]  # it was a set of other data
            st.query_params.pop(key, None)
    st.session_state[_DATA] = data.dataset.name
    spec = pick_forget_set(
        "Forget set",
        [*specs, _AT_RANDOM],
        counts,
        key=key,
        first=first,
        help="Pictures that the encoder was trained on and is to forget. For a list of your own type ids:FILE, the "
        "path of a text file with one id a line; random:50 draws 50 of them.",
    )
    try:
        return str(spec), data.split.choose_forget(resolve_ids(str(spec), data.dataset, data.split))
    except MucError as fault:
        _show_fault(str(fault))
        return str(spec), None


def _is_set(spec: str, data: PairData) -> bool:
    try:
        return bool(resolve_ids(spec, data.dataset, data.split))
    except MucError:
        return False


def _paper_notes(method: str) -> dict[str, str]:
    """What the paper set, by setting."""
    values = {name: "any" if value is None else value for name, value in paper_settings(method).items()}
    return {name: f"The paper's CIFAR-10 runs: {value}." for name, value in values.items()}


def _choose_settings(model: type[TrainingSettings], key: str, notes: Mapping[str, str]) -> dict[str, JsonValue]:
    """Strength first: what the method has of its own, epochs and learning rate; the rest in an expander."""
    fields = model.model_fields
    own = [name for name in fields if name not in TrainingSettings.model_fields]
    strength = [*own, "epochs", "learning_rate"]
    given = settings_fields(model, strength, key=key, columns=len(strength), notes=notes)
    with st.expander("All settings"):
        rest = [name for name in fields if name not in strength]
        return given | settings_fields(model, rest, key=key, columns=4, notes=notes)


def _choose_seed() -> int:
    key = "unlearn seed"
    linked_number(key, "Seed", first=0, low=0)
    return int(
        st.number_input(
            "Seed",
            min_value=0,
            key=key,
            help="The same seed and settings give the same encoder on the same machine.",
            persist_state="session",
        )
    )


def _choose_name(base: str) -> tuple[str, str | None]:
    """The name, and what is wrong with it. An unused one is suggested as long as the user has not typed her own."""
    taken = {record.manifest.name for record in encoder_records()}
    current = st.session_state.get(NAME)
    made = current in taken and current in st.session_state.get(STARTED, ())
    if current is None or current == st.session_state.get(SUGGESTED) or made:
        st.session_state[NAME] = st.session_state[SUGGESTED] = unused_name(base, taken)
    name = st.text_input(
        "Name of the new encoder",
        key=NAME,
        max_chars=64,
        help="Lower-case letters, digits, dots, dashes and underscores; the encoder appears under it on every page.",
        persist_state="session",
    ).strip()
    try:
        workspace().check_new_name(name)
    except MucError as fault:
        _show_fault(str(fault))
        return name, sentence(str(fault))
    return name, None


def unused_name(base: str, taken: set[str]) -> str:
    """`base`, or `base-2`, `base-3`, ... when it is taken; at most 64 characters."""
    number = 1
    while True:
        ending = "" if number == 1 else f"-{number}"
        if (name := base[: 64 - len(ending)] + ending) not in taken:
            return name
        number += 1


def _describe_plan(method: Method[TrainingSettings], settings: TrainingSettings, split: DataSplit) -> str:
    """What the run will do. Raises `MucError` when its parts make no steps that the method can use."""
    if method.calibration and not split.calibration:
        raise MucError(NO_CALIBRATION)
    plan = plan_of(
        method,
        settings,
        retain=len(split.retain) if method.uses != "forget" else 0,
        forget=len(split.forget) if method.uses != "retain" else 0,
    )
    used = {
        "retain": f"{len(split.retain):,} retained pictures (the {len(split.forget):,} to forget are left out)",
        "forget": f"{len(split.forget):,} pictures to forget (the {len(split.retain):,} retained are left out)",
        "both": f"{len(split.forget):,} pictures to forget and {len(split.retain):,} retained",
    }
    steps = f"{settings.epochs:,} × {plan.steps:,} = {settings.epochs * plan.steps:,} steps"
    return f"Uses {used[method.uses]}; epochs × steps in each = {steps}."


def _start(job: UnlearnJob) -> None:
    """Submit the job; the same one again, as from a double click, starts nothing."""
    asked: Mapping[str, JsonValue] = job.model_dump(mode="json")
    for active in JobTable(workspace()).active():
        if active.settings.get("name") == job.name and (active.kind, active.settings) != (KIND, asked):
            st.error(
                f"Not started. Another job is making {job.name!r} already; wait for it, cancel it, or choose another "
                "name.",
                icon=":material/error:",
            )
            return
    submit(workspace(), KIND, job, unique=True)
    st.session_state[STARTED] = {*st.session_state.get(STARTED, ()), job.name}


def _show_fault(fault: str) -> None:
    st.markdown(f":red[:material/error: {plain(sentence(fault))}]")


def _with_labels(told: str, method: Method[TrainingSettings]) -> str:
    """The sentence with settings named as on the page: Batch size for batch_size."""
    for name in method.settings.model_fields:
        if "_" in name:
            told = told.replace(name, label(name))
    return told
