"""The control guard against slow references, fair draws and unfair ones."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom
from sklearn.datasets import load_sample_images
from sklearn.metrics import roc_auc_score

from muc_core.audit import guard
from muc_core.audit.guard import control_guard, separate
from muc_core.audit.result import GUARD
from muc_core.data.demo import load_demo
from muc_core.stats.appearance import NAMES, Pixels, appearance, thumbnails


@pytest.fixture(scope="module")
def drawings() -> Pixels:
    return load_demo().images(32).numpy()


def photos(n: int, *, seed: int) -> Pixels:
    """Random cuts of two photographs."""
    generator = np.random.default_rng(seed)
    images = load_sample_images().images
    cuts = []
    for _ in range(n):
        photo = images[generator.integers(2)]
        top, left = (generator.integers(length - 96) for length in photo.shape[:2])
        cuts.append(photo[top : top + 96 : 3, left : left + 96 : 3].transpose(2, 0, 1))
    return np.stack(cuts)


def slow_aucs(features: npt.NDArray[np.float64], labels: npt.NDArray[np.float64], penalty: float) -> float:
    """Leave one out by fitting anew each time."""
    centred = labels - labels.mean()
    predictions = []
    for row in range(len(labels)):
        kept = np.arange(len(labels)) != row
        x = features[kept]
        weights = np.linalg.solve(x.T @ x + penalty * len(labels) * np.eye(x.shape[1]), x.T @ centred[kept])
        predictions.append(features[row] @ weights)
    return float(roc_auc_score(labels, predictions))


def test_leave_one_out_is_exact() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(40, 7))
    labels = np.stack([generator.permutation(np.repeat([1.0, 0.0], [12, 28])) for _ in range(3)])
    for penalty in guard.PENALTIES:
        expected = np.array([slow_aucs(features, row, penalty) for row in labels])
        np.testing.assert_allclose(guard._aucs(features, labels, penalty), expected, atol=1e-12)


def test_p_is_that_of_a_plain_loop_over_permutations(drawings: Pixels) -> None:
    first, second = drawings[:20], drawings[20:60]
    found = separate(first, second, seed=3, permutations=19)
    features = guard._scaled(guard._features(first, second))
    labels = np.repeat([1.0, 0.0], [20, 40])
    generator = np.random.default_rng(3)
    observed = max(slow_aucs(features, labels, penalty) for penalty in guard.PENALTIES)
    others = []
    for _ in range(19):
        shuffled = generator.permutation(labels)
        others.append(max(slow_aucs(features, shuffled, penalty) for penalty in guard.PENALTIES))
    assert found.auc == pytest.approx(observed)
    assert found.p == (1 + sum(other >= observed - 1e-9 for other in others)) / 20


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(20, 100), (150, 160)])
def test_fair_draws_fail_at_most_one_time_in_twenty(drawings: Pixels, n: int, m: int) -> None:
    trials = 40
    generator = np.random.default_rng(n)
    failed = 0
    for trial in range(trials):
        drawn = generator.permutation(len(drawings))[: n + m]
        check = control_guard(drawings[drawn[:n]], drawings[drawn[n:]], seed=trial, permutations=99)
        failed += check.passed is False
    assert failed <= binom.ppf(0.999, trials, guard.ALPHA)


@pytest.mark.parametrize("n", [5, 20, 60])
def test_photos_against_drawings_always_fail(drawings: Pixels, n: int) -> None:
    generator = np.random.default_rng(n)
    for seed in range(3):
        drawn = generator.permutation(len(drawings))[:40]
        check = control_guard(photos(n, seed=seed), drawings[drawn], seed=seed)
        assert check.name == GUARD
        assert check.passed is False
        assert "nothing of memory" in check.meaning


@pytest.mark.parametrize("n", [5, 20, 60])
def test_dark_against_light_always_fails(drawings: Pixels, n: int) -> None:
    generator = np.random.default_rng(n)
    for seed in range(3):
        drawn = generator.permutation(len(drawings))[: n + 40]
        dark = (drawings[drawn[:n]] * 0.6).astype(np.uint8)
        assert control_guard(dark, drawings[drawn[n:]], seed=seed).passed is False


def test_blown_up_pictures_are_seen(drawings: Pixels) -> None:
    drawn = np.random.default_rng(0).permutation(len(drawings))[:80]
    blown_up = drawings[drawn[:30]][:, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3)
    assert control_guard(blown_up, drawings[drawn[30:]], seed=0).passed is False


def test_an_immaterial_difference_passes_however_significant(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((4, 3, 8, 8), dtype=np.uint8)
    monkeypatch.setattr(guard, "separate", lambda *_, **__: guard.Separation(guard.MATERIAL, 0.001))
    assert control_guard(pixels, pixels, seed=0).passed is True
    monkeypatch.setattr(guard, "separate", lambda *_, **__: guard.Separation(0.9, 0.2))
    assert control_guard(pixels, pixels, seed=0).passed is True
    monkeypatch.setattr(guard, "separate", lambda *_, **__: guard.Separation(0.61, 0.01))
    assert control_guard(pixels, pixels, seed=0).passed is False


def test_pictures_that_are_all_alike_cannot_be_told_apart() -> None:
    pixels = np.full((30, 3, 8, 8), 7, dtype=np.uint8)
    found = separate(pixels[:10], pixels[10:], seed=0, permutations=99)
    assert found == guard.Separation(0.5, 1.0)


def test_the_same_seed_gives_the_same_answer(drawings: Pixels) -> None:
    assert separate(drawings[:20], drawings[20:60], seed=5) == separate(drawings[:20], drawings[20:60], seed=5)


def test_statistics_of_pictures_whose_answer_is_known() -> None:
    size = 40
    white = np.full((1, 3, size, size), 255, dtype=np.uint8)
    red_square = white.copy()
    red_square[0, 1:, 10:30, 10:30] = 0
    stripes = white.copy()
    stripes[:, :, :, ::2] = 0
    found = [dict(zip(NAMES, row, strict=True)) for row in appearance(np.concatenate([white, red_square, stripes]))]
    assert found[0]["mean red"] == found[0]["median light"] == pytest.approx(1)
    assert [found[0][name] for name in ("colourfulness", "edges across", "fine detail", "ink")] == [0, 0, 0, 0]
    assert found[0]["flat areas"] == 1
    # 38 x 38 inner pixels are looked at, 20 x 20 of them red
    assert found[1]["ink"] == pytest.approx(400 / 38**2)
    assert found[1]["mean green"] == pytest.approx(1 - 400 / 38**2)
    assert found[1]["colourfulness"] == pytest.approx(400 / 38**2)
    assert found[2]["edges across"] == pytest.approx(1, abs=1e-6)
    assert found[2]["edges down"] == 0
    assert found[2]["flat areas"] == 0
    share = np.array([400, 38**2 - 400]) / 38**2
    assert found[1]["number of colours"] == pytest.approx(-(share * np.log2(share)).sum() / 9)


@pytest.mark.parametrize("size", [5, 8, 31, 48])
def test_thumbnails_are_means_over_cells(size: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, size, size), dtype=np.uint8)
    side = 8
    expected = np.empty((3, 3, side, side))
    for row in range(side):
        for column in range(side):
            cells = [slice(k * size // side, max((k + 1) * size // side, k * size // side + 1)) for k in (row, column)]
            expected[:, :, row, column] = pixels[:, :, cells[0], cells[1]].mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(thumbnails(pixels, side), expected.reshape(3, -1))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        appearance(np.zeros((2, 3, 8, 8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 3 x 3"):
        appearance(np.zeros((2, 3, 2, 8), dtype=np.uint8))
