"""What a file was recognised as, how sure that is, and the fields that replace what it says of its preprocessing."""

from collections.abc import Mapping
from typing import TypeAlias, get_args

import streamlit as st

from dashboard.components.uploads import plain
from muc_core.data.interpolation import Interpolation
from muc_core.encoders.manifest import Output
from muc_core.workspace.importing import RecognitionReport

Overrides: TypeAlias = Mapping[str, object]
"""What the user changed, by the names of `ImportEncoderSettings`; None where the source's own value stays."""


def show_report(report: RecognitionReport) -> None:
    """The finding, how sure it is, what did not fit and what was assumed."""
    st.markdown(f"**{plain(report.source)}** is a {plain(report.format)}: {plain(report.architecture)}.")
    first = report.confidence.split(":")[0].split(";")[0]
    badge, colour = (":material/verified:", "blue") if first.startswith("certain") else (":material/help:", "gray")
    if first.startswith("not"):
        badge, colour = ":material/error:", "red"
    st.markdown(f":{colour}-badge[{badge} {plain(first)}] {plain(report.confidence[len(first) :].lstrip(':; '))}")
    for note in report.notes:
        st.caption(f"- {plain(note)}")
    left_over = [
        *(f"missing     {key}" for key in report.missing),
        *(f"not known   {key}" for key in report.unexpected),
    ]
    if left_over:
        keys = "1 tensor that did not fit" if len(left_over) == 1 else f"{len(left_over):,} tensors that did not fit"
        with st.expander(keys):
            st.code("\n".join(left_over), language=None, height=min(40 + 24 * len(left_over), 320))
    else:
        st.caption("Every tensor that decides the vectors found its place.")


def choose_overrides(report: RecognitionReport, *, key: str) -> Overrides:
    """Fields that start with what the source says; what is left alone stays the source's own."""
    own = report.preprocessing
    st.markdown("**Preprocessing**")
    st.caption(f"Where it comes from: {plain(report.preprocessing_source)}. Change it only where you know better.")
    columns = st.columns(3 if report.output == "projections" else 2)
    size = columns[0].number_input(
        "Picture size", min_value=1, max_value=4096, value=own.size, key=f"{key} size", help="Side in pixels."
    )
    ways = list(get_args(Interpolation))
    interpolation = columns[1].selectbox("Resized by", ways, index=ways.index(own.interpolation), key=f"{key} way")
    output = report.output
    if report.output == "projections":
        outputs = list(get_args(Output))
        output = columns[2].selectbox(
            "Output",
            outputs,
            index=outputs.index(report.output),
            key=f"{key} output",
            help="Projections z come after the head, features h before it.",
        )
    mean, std = _triple("Mean", own.mean, f"{key} mean", lowest=-10.0), _triple("Deviation", own.std, f"{key} std")
    changed = {"size": int(size), "interpolation": interpolation, "output": output, "mean": mean, "std": std}
    kept = {**own.model_dump(), "output": report.output}
    return {name: None if value == kept[name] else value for name, value in changed.items()}


def _triple(title: str, own: tuple[float, ...], key: str, *, lowest: float = 0.0001) -> tuple[float, ...]:
    values = []
    for column, colour, value in zip(st.columns(3), ("red", "green", "blue"), own, strict=True):
        chosen = column.number_input(
            f"{title}, {colour}",
            min_value=lowest,
            max_value=10.0,
            value=float(value),
            step=0.01,
            format="%.4f",
            key=f"{key} {colour}",
            help="On a scale of 0 to 1.",
        )
        values.append(float(chosen))
    return tuple(values)
