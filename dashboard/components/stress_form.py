"""What to stress: pair, Retrain, the pictures that were to be forgotten, controls, and how hard to push."""

import streamlit as st

from dashboard.components.choices import Pair
from dashboard.components.forget_set import pick_forget_set
from dashboard.components.links import linked_number, say_unknown
from dashboard.components.words import plain, sentence
from dashboard.services import encoder_records, forget_sets, named_forget_set, pair_data, workspace
from muc_core.encoders.family import FAMILIES
from muc_core.errors import MucError
from muc_core.jobs.stress_plan import ResidualStressSettings, why_untrainable

CONTROLS = ("held-out", "calibration")
_DEFAULTS = {name: info.default for name, info in ResidualStressSettings.model_fields.items()}


def why_not(pair: Pair) -> bool:
    """Whether the weights of the pair cannot be stressed here; then it says why, and what to do instead."""
    reasons = [
        why for name in (pair.before, pair.after) if (why := why_untrainable(workspace().encoder(name).manifest))
    ]
    if not reasons:
        return False
    st.info(
        f"**No stress test for this pair.** {plain(sentence(reasons[0]))} What you can do: ask whoever holds the "
        "weights to make this test with `muc stress`, or add the encoder from its weight file on the page "
        "Encoders. An audit of its answers needs no weights.",
        icon=":material/lock:",
    )
    with st.container(horizontal=True):
        st.page_link("app_pages/encoders.py", label="Encoders", icon=":material/deployed_code:")
        st.page_link("app_pages/check_my_pictures.py", label="Check my pictures", icon=":material/add_photo_alternate:")
    return True


def stress_form(pair: Pair) -> ResidualStressSettings:
    """The settings as chosen. Raises `MucError` when the data cannot be loaded."""
    left, middle, right = st.columns(3)
    with left:
        forget = _choose_forget(pair)
    with middle:
        controls = st.selectbox(
            "Compared with",
            CONTROLS,
            key="stress controls",
            bind="query-params",
            accept_new_options=True,
            help="Controls: pictures that none of the encoders was trained on. Of your own: type the path of a folder.",
        )
    with right:
        retrained = _choose_retrained(pair)
    with st.expander("How hard to push"):
        for_steps, for_splits, for_seed = st.columns(3)
        linked_number("stress steps", "Steps", first=int(_DEFAULTS["steps"]), low=1, high=10_000)
        steps = for_steps.number_input(
            "Steps",
            min_value=1,
            max_value=10_000,
            key="stress steps",
            help="Training steps of each relearning. More push harder; the figure shows every tenth.",
            persist_state="session",
        )
        linked_number("stress splits", "Splits", first=int(_DEFAULTS["splits"]), low=1, high=50)
        splits = for_splits.number_input(
            "Splits",
            min_value=1,
            max_value=50,
            key="stress splits",
            help="How often the pictures are split into halves; each half is relearned. More narrow the intervals.",
            persist_state="session",
        )
        linked_number("stress seed", "Seed", first=0, low=0, high=2**32 - 1)
        seed = for_seed.number_input(
            "Seed",
            min_value=0,
            max_value=2**32 - 1,
            key="stress seed",
            help="The same seed gives the same result on the same machine.",
            persist_state="session",
        )
    return ResidualStressSettings(
        before=pair.before,
        after=pair.after,
        retrained=retrained,
        forget=forget,
        controls=str(controls),
        steps=int(steps),
        splits=int(splits),
        seed=int(seed),
    )


def _choose_forget(pair: Pair) -> str:
    data = pair_data(pair.before, pair.after)
    counts = forget_sets(data)
    first = named_forget_set(counts, data)
    specs = list(counts) if first or not data.split.forget else ["forget", *counts]
    counts["forget"] = len(data.split.forget)
    chosen = pick_forget_set(
        "To be forgotten",
        specs,
        counts,
        key="stress forget",
        first=first,
        help="Pictures that the encoder before was trained on. A list of your own: type ids:FILE, or the path of a "
        "folder or zip.",
    )
    if chosen is None:
        raise MucError("no pictures are chosen that were to be forgotten; choose a set")
    return str(chosen)


def _choose_retrained(pair: Pair) -> str | None:
    """An encoder of the same architecture that never saw the pictures, by default the Retrain of the encoder before."""
    after = workspace().encoder(pair.after).manifest
    kind = (after.family, after.architecture)
    alike = [
        record.manifest
        for record in encoder_records()
        if (record.manifest.family, record.manifest.architecture) == kind
        and record.manifest.name not in (pair.before, pair.after)
        and record.manifest.family in FAMILIES.names()
    ]
    names = [manifest.name for manifest in sorted(alike, key=lambda one: one.method != "retrain")]
    first = next((one.name for one in alike if one.method == "retrain" and one.original == pair.before), None)
    key = f"stress retrained {pair.before} {pair.after}"  # the encoders to choose from depend on the pair
    say_unknown(key, names, "the retrained encoder")
    chosen = st.selectbox(
        "Retrain",
        names,
        index=None if first is None else names.index(first),
        key=key,
        bind="query-params",
        placeholder="None",
        help="An encoder that was trained without these pictures. With it, what never-seen pictures do is known and "
        "not assumed.",
    )
    return None if chosen is None else str(chosen)
