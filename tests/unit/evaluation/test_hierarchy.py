"""Norms and cones against plain formulas."""

import math

import numpy as np
import pytest

from muc_core.errors import MucError
from muc_core.evaluation.hierarchy import hierarchy
from muc_core.similarity import COSINE, Similarity


@pytest.mark.parametrize("c", [0.1, 1.0, 7.0])
def test_distances_from_the_root_are_areas_of_the_norms(c: float) -> None:
    images, texts = np.random.default_rng(0).normal(size=(2, 9, 4))
    found = hierarchy(images, texts, Similarity("lorentz", c))
    for seen, side in ((found.root_images, images), (found.root_texts, texts)):
        assert seen == pytest.approx([math.asinh(math.sqrt(c) * math.hypot(*x)) / math.sqrt(c) for x in side.tolist()])
    assert found.means["root_images"] == pytest.approx(found.root_images.mean())


def test_a_picture_behind_its_caption_is_inside_its_cone_and_one_beside_it_is_not() -> None:
    texts = np.array([[0.8, 0.0], [0.8, 0.0], [0.8, 0.0]])
    images = np.array([[2.0, 0.0], [0.0, 2.0], [0.2, 0.0]])
    inside, beside, before = hierarchy(images, texts, Similarity("lorentz", 1.0)).outside
    aperture = math.degrees(math.asin(0.2 / 0.8))
    assert inside == pytest.approx(-aperture, abs=0.1)
    assert beside > 60
    assert before == pytest.approx(180 - aperture, abs=0.1)


def test_cosines_have_no_cones() -> None:
    with pytest.raises(MucError, match="no root and no cones; choose a hyperbolic encoder"):
        hierarchy(np.ones((2, 3)), np.ones((2, 3)), COSINE)
