"""Embedding map: where two encoders put the same pictures, on one map."""

import streamlit as st

from dashboard.charts.maps import HOW_TO_READ, MapData, comparison_sentence, embedding_map, percent
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.job_view import say
from dashboard.components.page import errors_as_sentences, heading, is_dark
from dashboard.services import PairData, pair_data, quick_map, thumbnails, workspace
from muc_core.jobs import Job, JobTable, cancel, submit
from muc_core.jobs.tasks.embedding_map import KIND, EmbeddingMapSettings, MapItems, map_key, read_map
from muc_core.projection import JointProjection, Method

MOST_PER_SET = 300
METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
METHOD = "map_method"
REFRESH_S = 1.0


def settings_for(pair: Pair, data: PairData) -> EmbeddingMapSettings:
    """What to draw: the sets of the split that are not empty."""
    parts = {"forget": data.split.forget, "retain": data.split.retain, "held-out": data.split.held_out}
    sets = tuple(name for name, ids in parts.items() if ids)
    return EmbeddingMapSettings(
        before=pair.before, after=pair.after, data=data.spec, sets=sets, most_per_set=MOST_PER_SET
    )


def computed(settings: EmbeddingMapSettings, items: MapItems) -> JointProjection | None:
    """The UMAP of these settings, if it has been computed."""
    found = read_map(workspace(), map_key(workspace(), settings, items))
    if found is None:
        return None
    before, after = found.before.astype("float64"), found.after.astype("float64")
    return JointProjection(before, after, "umap", settings.seed, {}, found.notes)


def latest_job(settings: EmbeddingMapSettings) -> Job | None:
    """The newest job for these settings, whoever started it."""
    asked = settings.model_dump(mode="json")
    jobs = JobTable(workspace()).jobs(limit=50)
    return next((job for job in jobs if job.kind == KIND and job.settings == asked), None)


def offer_umap(settings: EmbeddingMapSettings) -> None:
    """The button while there is no UMAP, its progress once it was pressed, and what went wrong."""
    job = latest_job(settings)
    if job is not None and job.active:
        st.fragment(follow_job, run_every=REFRESH_S)(job.id)
        return
    if job is not None and job.state in ("failed", "lost"):
        st.error(f"The UMAP was not computed: {job.error}", icon=":material/error:")
    st.button(
        "Compute UMAP",
        icon=":material/scatter_plot:",
        on_click=start,
        args=(settings,),
        help="Shows neighbourhoods better than PCA. It runs in the background, for up to a minute.",
    )


def start(settings: EmbeddingMapSettings) -> None:
    """Queue the job; pressing twice does not make two. The UMAP is shown as soon as it is there."""
    with errors_as_sentences():
        submit(workspace(), KIND, settings, unique=True)
        st.session_state[METHOD] = "umap"


def follow_job(job_id: str) -> None:
    """Progress of a job, each second; when it ends the whole page is drawn anew."""
    with errors_as_sentences():
        job = JobTable(workspace()).job(job_id)
        if not job.active:
            st.rerun()
        st.progress(min(job.step / job.total, 1.0) if job.total else 0.0, text=f"Computing the UMAP. {say(job)}")
        st.button("Cancel", icon=":material/stop_circle:", on_click=stop, args=(job_id,), disabled=job.cancel_requested)


def stop(job_id: str) -> None:
    cancel(workspace(), job_id)


def show_numbers(data: MapData) -> None:
    """How far each set moved, as numbers."""
    names = {"forget": "Forget set", "retain": "Retain set", "held-out": "Held-out set"}
    for column, (group, share) in zip(st.columns(3), data.moved().items(), strict=False):
        column.metric(f"{names[group]} moved", percent(share), help="mean way, as a share of the map's diagonal")
    if sentence := comparison_sentence(data):
        st.markdown(sentence)


heading(
    "Embedding map",
    "Every picture as a point: alike to the encoder means close together. One map holds both encoders.",
)
with errors_as_sentences():
    pair = pick_pair()
    settings = settings_for(pair, pair_data(pair.before, pair.after))
    quick = quick_map(settings)
    umap = computed(settings, quick.items)
    if METHOD not in st.session_state:
        st.session_state[METHOD] = "pca" if umap is None else "umap"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.radio("Map", list(METHODS), format_func=METHODS.__getitem__, key=METHOD, horizontal=True)
        lines = st.toggle("Show the way of each picture", value=True, key="map_lines")
    if umap is None:
        if method == "umap":
            st.caption("The UMAP of this pair has not been computed yet; below is the PCA until it is there.")
        offer_umap(settings)
    dataset = quick.items.dataset
    shown = MapData(
        umap if method == "umap" and umap is not None else quick.projection,
        quick.items.groups,
        tuple(text or item_id for text, item_id in zip(dataset.texts, dataset.ids, strict=True)),
        tuple(thumbnails(dataset)),
    )
    st.altair_chart(embedding_map(shown, dark=is_dark(), lines=lines), theme=None, width="stretch", key="map")
    notes = " ".join(shown.projection.notes)
    st.caption(f"{HOW_TO_READ} {notes} At most {MOST_PER_SET} pictures of a set are drawn, chosen at random.")
    show_numbers(shown)
