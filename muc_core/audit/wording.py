"""The wording guard: can the owner's captions and control captions be told apart without any encoder?

As `guard` does of pictures: a classifier that is blind to meaning sees lengths and pieces of words. If it tells them
apart, so may any text tower, and a difference between them says nothing of memory.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from muc_core.audit.guard import ALPHA, COMPONENTS, MATERIAL, separable
from muc_core.audit.result import Check
from muc_core.audit.texts import WORDING
from muc_core.stats.ranks import Float64


def wording_guard(owner: Sequence[str], controls: Sequence[str], *, seed: int, permutations: int = 499) -> Check:
    """Whether captions are worded alike: it fails when they can be told apart significantly and materially.

    Args:
        owner, controls: captions, none of them empty.
        seed: of the permutations.
    """
    texts = [*owner, *controls]
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)).fit_transform(texts)
    left, singular, _ = randomized_svd(pieces, min(COMPONENTS, *pieces.shape), random_state=0)
    features = np.hstack([_statistics(texts), left[:, singular > 1e-9 * singular[0]]])
    found = separable(features, len(owner), seed=seed, permutations=permutations)
    failed = found.p < ALPHA and found.auc > MATERIAL
    right = f"{found.auc:.0%}"
    return Check(
        name=WORDING,
        passed=not failed,
        value=f"told apart {right} of the time without any encoder, AUC {found.auc:.2f}, p = {found.p:.3f}",
        meaning=(
            f"Lengths and pieces of words alone tell your captions from the controls': of one of each, a simple "
            f"program picks yours {right} of the time (guessing: 50%). Choose controls that are worded more like yours."
            if failed
            else f"The control captions are worded like yours: of one of each, a simple program picks yours {right} of "
            "the time (guessing: 50%)."
        ),
    )


def _statistics(texts: Sequence[str]) -> Float64:
    """Length, words, and the shares of capitals, digits and signs of each caption, `[n, 5]`."""
    return np.array(
        [
            (
                np.log1p(len(text)),
                np.log1p(len(text.split())),
                sum(map(str.isupper, text)) / len(text),
                sum(map(str.isdigit, text)) / len(text),
                sum(not (sign.isalnum() or sign.isspace()) for sign in text) / len(text),
            )
            for text in texts
        ]
    )
