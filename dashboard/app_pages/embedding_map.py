"""Embedding map: where two encoders put the same pictures, on one map."""

import streamlit as st

from dashboard.charts.map_colours import Colouring, by_class, by_number, by_set, by_verdict
from dashboard.charts.maps import MapData, comparison_sentence, percent, retention_sentence
from dashboard.components.audit_offer import verdicts_on
from dashboard.components.choices import Pair, pick_pair
from dashboard.components.job_follow import follow_job
from dashboard.components.links import linked_select, linked_toggle, say_unknown
from dashboard.components.map_views import moving, one_map, sides
from dashboard.components.page import errors_as_sentences, heading, is_dark
from dashboard.components.uploads import kept_uploads, plain
from dashboard.services import PairData, controls_for, items_of, pair_data, thumbnails, workspace
from dashboard.services.maps import MOST_AT_ONCE, DrawnMap, computed_map, items_of_map, quick_map, stars_on
from muc_core.jobs import Job, JobTable, submit
from muc_core.jobs.tasks.embedding_map import KIND, EmbeddingMapSettings, MapItems
from muc_core.projection import Method

COUNTS = {"300 of each set": 300, "2,000 of each set": 2_000, "10,000 of each set": 10_000, "all, up to 50,000": 50_000}
METHODS: dict[Method, str] = {"pca": "PCA", "umap": "UMAP"}
ONE, SIDES, MOVING, SPACE = "one map", "side by side, with a lasso", "moving", "moving, in space (3-D)"
VIEWS = (ONE, SIDES, MOVING, SPACE)
COLOURS = ("set", "owner", "label", "verdict", "drift", "neighbours kept")
# Pictures that go with a map for the pointer; with more the page would be slow.
MOST_PICTURED = 2_000
METHOD, VIEW, COLOUR, COUNT = "map_method", "map_view", "map_colour", "map_count"


def settings_for(pair: Pair, data: PairData, view: str, count: str) -> EmbeddingMapSettings:
    """What to draw: the sets of the split that are not empty."""
    parts = {"forget": data.split.forget, "retain": data.split.retain, "held-out": data.split.held_out}
    sets = tuple(name for name, ids in parts.items() if ids)
    # Of all sets together no more than the map can show.
    most = min(COUNTS[count], 50_000 // len(sets)) if count == list(COUNTS)[-1] else COUNTS[count]
    return EmbeddingMapSettings(
        before=pair.before,
        after=pair.after,
        data=data.spec,
        sets=sets,
        most_per_set=most,
        dimensions=3 if view == SPACE else 2,
    )


def latest_job(settings: EmbeddingMapSettings) -> Job | None:
    """The newest job for these settings, whoever started it."""
    asked = settings.model_dump(mode="json")
    jobs = JobTable(workspace()).jobs(limit=50)
    return next((job for job in jobs if job.kind == KIND and job.settings == asked), None)


def offer_umap(settings: EmbeddingMapSettings) -> None:
    """The button while there is no UMAP, its progress once it was pressed, and what went wrong."""
    job = latest_job(settings)
    if job is not None and job.active:
        follow_job(job, "Computing the UMAP")
        return
    if job is not None and job.state in ("failed", "lost"):
        st.error(f"The UMAP was not computed: {plain(job.error or 'no reason is known')}", icon=":material/error:")
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


def colouring_of(name: str, drawn: DrawnMap, pair: Pair, data: PairData) -> Colouring:
    """What the points are coloured by; by set where a verdict is missing."""
    items = drawn.items.dataset
    if name == "owner":
        return by_class("owner", items.owners, is_dark())
    if name == "label":
        return by_class("label", items.labels, is_dark())
    if name == "drift":
        return by_number("drift in the original space, 1 - cosine", drawn.drift, drawn.drift)
    if name == "neighbours kept":
        return by_number("share of nearest neighbours kept", *drawn.retention)
    if name == "verdict" and data.split.forget:
        forget = items_of("forget", data)
        result = verdicts_on(forget, controls_for(forget, data), pair, until_then="the map is coloured by set")
        if result is not None:
            return by_verdict(items.ids, {item.id: item.verdict for item in result.items}, is_dark())
    return by_set(drawn.items.groups)


def map_data(drawn: DrawnMap, settings: EmbeddingMapSettings, *, pictured: bool) -> MapData:
    """The map with its pictures where they are shown, and the user's own as stars."""
    dataset = drawn.items.dataset
    uploads = kept_uploads()
    stars = None if uploads is None else stars_on(drawn, settings, *uploads)
    if uploads is not None and stars is None:
        st.caption(f"Your own pictures are placed on maps of up to {MOST_AT_ONCE:,} pictures.")
    elif stars is not None:
        st.caption("Stars are your own pictures, between their nearest neighbours on the map.")
    return MapData(
        drawn.projection,
        drawn.items.groups,
        tuple(text or item_id for text, item_id in zip(dataset.texts, dataset.ids, strict=True)),
        tuple(thumbnails(dataset)) if pictured else ("",) * len(dataset),
        stars,
    )


def show_map(data: MapData, colouring: Colouring, drawn: DrawnMap, view: str, *, lines: bool) -> None:
    if view == SIDES:
        sides(data, colouring, drawn)
    elif view == ONE:
        one_map(data, colouring, lines=lines)
    else:
        moving(data, colouring, lines=lines)


def show_numbers(data: MapData, drawn: DrawnMap) -> None:
    """How far each set moved, and how far the map can be believed, as numbers."""
    names = {"forget": "Forget set", "retain": "Retain set", "held-out": "Held-out set"}
    for column, (group, share) in zip(st.columns(3), data.moved().items(), strict=False):
        column.metric(f"{names[group]} moved", percent(share), help="mean way, as a share of the map's diagonal")
    if sentence := comparison_sentence(data):
        st.markdown(sentence)
    st.markdown(retention_sentence(*drawn.retention))


def say_sample(items: MapItems, data: PairData) -> None:
    """Whether all pictures are drawn."""
    whole = len(data.split.forget) + len(data.split.retain) + len(data.split.held_out)
    drawn = len(items.dataset)
    if drawn < whole:
        st.caption(f"{drawn:,} of {whole:,} pictures are drawn, chosen at random from each set that has more.")
    else:
        st.caption(f"All {drawn:,} pictures are drawn.")


heading(
    "Embedding map",
    "Every picture as a point: alike to the encoder means close together. One map holds both encoders.",
)
with errors_as_sentences():
    pair = pick_pair()
    data = pair_data(pair.before, pair.after)
    left, middle, right = st.columns(3)
    view = linked_select(left, "View", VIEWS, key=VIEW, first=ONE, what="the view")
    colour = linked_select(middle, "Colour by", COLOURS, key=COLOUR, first="set", what="the colour")
    count = linked_select(right, "Pictures", list(COUNTS), key=COUNT, first=next(iter(COUNTS)), what="the number")
    settings = settings_for(pair, data, view, count)
    items = items_of_map(settings)
    umap, quick = computed_map(settings, items), quick_map(settings, items)
    say_unknown(METHOD, METHODS.values(), "the kind of map")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        method = st.radio(
            "Map",
            list(METHODS),
            index=0 if umap is None else 1,
            format_func=METHODS.__getitem__,
            key=METHOD,
            bind="query-params",
            horizontal=True,
        )
        lines = linked_toggle(
            st.container(width="content"),
            "Show the way of those that moved",
            first=True,
            key="map_lines",
            disabled=view == SIDES,
            help="Pictures that moved further than 95 % of the held-out ones, which nobody asked to forget.",
        )
    if umap is None:
        if quick is None:
            st.info(
                f"More than {MOST_AT_ONCE:,} pictures are drawn in the background: press the button.",
                icon=":material/info:",
            )
        elif method == "umap":
            st.caption("The UMAP of this pair has not been computed yet; below is the PCA until it is there.")
        offer_umap(settings)
    drawn = umap if umap is not None and (method == "umap" or quick is None) else quick
    if drawn is not None:
        pictured = view == ONE and len(drawn.items.dataset) <= MOST_PICTURED
        if view == ONE and not pictured:
            st.caption(f"Pictures are shown at the pointer on maps of up to {MOST_PICTURED:,}; this one moves instead.")
        shown = map_data(drawn, settings, pictured=pictured)
        colouring = colouring_of(colour, drawn, pair, data)
        show_map(shown, colouring, drawn, view if pictured or view != ONE else MOVING, lines=lines)
        if notes := " ".join(drawn.projection.notes):
            st.caption(notes)
        say_sample(items, data)
        show_numbers(shown, drawn)
