"""Zero-shot classification by prompts, as CLIP does it (arXiv 2103.00020, section 3.1.4: an ensemble of templates)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from muc_core.evaluation.metrics import like_retrain
from muc_core.evaluation.retrieval import PARTS
from muc_core.similarity import COSINE, Similarity
from muc_core.stats.lorentz import centroid, lorentz_similarity
from muc_core.stats.ranks import Float64

TEMPLATES = ("{}", "a picture of {}", "a drawing of a {}")

for _part, _word in PARTS.items():
    like_retrain(
        f"zero_shot_{_part}",
        f"zero-shot, {_word}",
        f"How often the nearest class name, in several sentences, names a {_word} picture rightly.",
        is_utility=_part != "forget",
    )


def prompts(names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> list[str]:
    """A sentence for each class and template, class by class; hyphens and underscores become spaces."""
    return [template.format(name.replace("-", " ").replace("_", " ")) for name in names for template in templates]


def class_vectors(texts: npt.ArrayLike, templates: int, *, similarity: Similarity = COSINE) -> Float64:
    """Vectors of `prompts` `[classes * templates, d]` to one a class `[classes, d]`: the mean of unit vectors, as one.

    Of points in hyperbolic space it is their centroid.
    """
    if similarity.curvature is not None:
        points = np.asarray(texts, dtype=np.float64)
        by_class = points.reshape(-1, templates, points.shape[1])
        return centroid(by_class.swapaxes(0, 1), similarity.curvature)
    unit = _unit(texts)
    return _unit(unit.reshape(-1, templates, unit.shape[1]).mean(axis=1))


def zero_shot_accuracy(
    images: npt.ArrayLike, classes: npt.ArrayLike, vectors: Float64, *, similarity: Similarity = COSINE
) -> float:
    """Share of pictures `[n, d]` whose nearest class vector is that of their class `[n]`, in [0, 1]."""
    if similarity.curvature is not None:
        alike = lorentz_similarity(images, vectors, similarity.curvature)
    else:
        alike = _unit(images) @ vectors.T
    return float((alike.argmax(axis=1) == np.asarray(classes)).mean())


def _unit(vectors: npt.ArrayLike) -> Float64:
    values = np.asarray(vectors, dtype=np.float64)
    unit: Float64 = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return unit
