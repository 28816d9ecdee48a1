"""Where hyperbolic encoders put pictures and captions; None for encoders whose vectors are compared by cosine."""

from dataclasses import dataclass

import streamlit as st

from dashboard.services import encoder
from dashboard.services.tune import material_of
from muc_core.encoders.base import Encoder, similarity_of
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.evaluation.hierarchy import Hierarchy, hierarchy
from muc_core.jobs.tuning.measure import Material

PARTS = ("forget", "retain", "held-out")


@dataclass(frozen=True)
class Cones:
    """By set, before and after."""

    before: dict[str, Hierarchy]
    after: dict[str, Hierarchy]


def cones(before: str, after: str) -> Cones | None:
    """Of forget, retained and held-out pictures in two encoders; None unless both are hyperbolic and all pictures
    have captions.

    Raises:
        MucError: as `material_of`.
    """
    both = encoder(before), encoder(after)
    if any(similarity_of(one).curvature is None for one in both):
        return None
    material = material_of(before, after)
    if not material.with_text:
        return None
    first, last = (_hierarchies(one.digest, material.digests, _encoder=one, _material=material) for one in both)
    return Cones(first, last)


@st.cache_resource(show_spinner="Looking at the pictures ...", max_entries=24)
def _hierarchies(
    encoder_digest: str, digests: tuple[str, ...], *, _encoder: Encoder, _material: Material
) -> dict[str, Hierarchy]:
    sets = dict(zip(PARTS, (_material.forget, _material.retain, _material.controls), strict=True))
    return {
        name: hierarchy(
            embed_images(_encoder, part).numpy(),
            embed_texts(_encoder, [text or "" for text in part.texts]).numpy(),
            similarity_of(_encoder),
        )
        for name, part in sets.items()
    }
