"""White-box metrics against plain loops, scikit-learn and SciPy, on random input and at the edges."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cosine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from muc_core.errors import MucError
from muc_core.evaluation.classes import choose_classes
from muc_core.evaluation.cmia import cmia
from muc_core.evaluation.cost import views_seen
from muc_core.evaluation.emia import best_threshold, emia, view_likeness
from muc_core.evaluation.gap import average_gap
from muc_core.evaluation.metrics import METRICS, like_retrain
from muc_core.evaluation.probe import linear_probe, neighbour_accuracy
from muc_core.evaluation.resemblance import neighbour_overlap
from muc_core.evaluation.retrieval import recall
from muc_core.evaluation.similarity import matched_membership, matched_similarity
from muc_core.evaluation.white_box import WhiteBox  # noqa: F401  (registers every metric)
from muc_core.evaluation.zero_shot import class_vectors, prompts, zero_shot_accuracy
from muc_core.similarity import Similarity

Float64 = npt.NDArray[np.float64]


def normal(*shape: int, seed: int = 0) -> Float64:
    return np.random.default_rng(seed).normal(size=shape)


# EMIA


def slow_likeness(views: Float64) -> list[float]:
    found = []
    for picture in range(views.shape[1]):
        pairs = itertools.combinations(views[:, picture], 2)
        found.append(float(np.mean([1 - cosine(a, b) for a, b in pairs])))
    return found


def test_likeness_is_the_mean_of_the_45_cosines() -> None:
    views = normal(10, 7, 5) + 1
    assert view_likeness(views) == pytest.approx(slow_likeness(views))


def test_views_that_are_zero_are_alike_to_none() -> None:
    assert view_likeness(np.zeros((4, 3, 5))) == pytest.approx([0, 0, 0])
    half = np.concatenate([np.zeros((1, 1, 5)), np.ones((2, 1, 5))])
    assert view_likeness(half) == pytest.approx([1 / 3])


def test_one_view_is_a_defect() -> None:
    with pytest.raises(ValueError, match="two views"):
        view_likeness(normal(1, 3, 4))


def slow_threshold(members: Float64, others: Float64) -> float:
    """Best balanced accuracy over every cut between two values."""
    values = sorted({*members, *others})
    cuts = [-np.inf, *((a + b) / 2 for a, b in itertools.pairwise(values)), np.inf]
    best: float = max(
        (sum(m >= cut for m in members) / len(members) + sum(o < cut for o in others) / len(others)) / 2 for cut in cuts
    )
    return best


@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_the_best_of_all(seed: int) -> None:
    members, others = normal(30, seed=seed).round(1) + 0.5, normal(17, seed=seed + 9).round(1)
    threshold, accuracy = best_threshold(members, others)
    assert accuracy == pytest.approx(slow_threshold(members, others))
    assert accuracy == pytest.approx(((members >= threshold).mean() + (others < threshold).mean()) / 2)


def test_threshold_knows_no_fixed_grid() -> None:
    threshold, accuracy = best_threshold(np.array([-3e-7, -2e-7]), np.array([-9e-7, -8e-7]))
    assert accuracy == 1
    assert -8e-7 < threshold < -3e-7


def test_emia_calls_non_members_what_lies_below() -> None:
    close, far = np.ones((10, 120, 3)), normal(10, 120, 3)
    found = emia(forget=far[:, :40], retain=close, held_out=far[:, 40:])
    assert (found.non_members, found.accuracy) == (1, 1)
    assert found.tpr_at_1_percent is None  # 80 held-out pictures set no such threshold
    found = emia(forget=close[:, :40], retain=close, held_out=far)
    assert (found.non_members, found.auc, found.tpr_at_1_percent) == (0, 1, 1)


# probes


def labelled(n: int = 120, seed: int = 0) -> tuple[Float64, npt.NDArray[np.int64]]:
    classes = np.arange(n) % 3
    return normal(n, 6, seed=seed) + 1.5 * np.eye(6)[classes], classes


def test_linear_probe_is_logistic_regression() -> None:
    features, classes = labelled()
    others, wanted = labelled(60, seed=1)
    scaler = StandardScaler().fit(features)
    slow = LogisticRegression(C=100 / 120, max_iter=2000).fit(scaler.transform(features), classes)
    probe = linear_probe(features, classes)
    assert probe.probabilities(others) == pytest.approx(slow.predict_proba(scaler.transform(others)), abs=1e-3)
    assert probe.accuracy(others, wanted) == accuracy_score(wanted, slow.predict(scaler.transform(others)))
    true = slow.predict_proba(scaler.transform(others))[np.arange(60), wanted]
    assert probe.confidence(others, wanted) == pytest.approx(true, abs=1e-3)


def test_linear_probe_of_two_classes_is_logistic_regression() -> None:
    features, classes = labelled()
    features, classes = features[classes < 2], classes[classes < 2]
    scaler = StandardScaler().fit(features)
    slow = LogisticRegression(C=100 / 80, max_iter=2000).fit(scaler.transform(features), classes)
    chances = linear_probe(features, classes).probabilities(features)
    assert chances == pytest.approx(slow.predict_proba(scaler.transform(features)), abs=1e-3)


def test_sgd_probe_learns_what_the_other_learns_and_repeats_itself() -> None:
    features, classes = labelled()
    others, wanted = labelled(60, seed=1)
    exact, sgd, again = (linear_probe(features, classes, solver=solver) for solver in ("lbfgs", "sgd", "sgd"))
    assert sgd.accuracy(others, wanted) == pytest.approx(exact.accuracy(others, wanted), abs=0.1)
    assert np.array_equal(sgd.weights, again.weights)


def test_a_class_the_probe_does_not_know_is_named_wrongly() -> None:
    features, classes = labelled()
    probe = linear_probe(features, classes)
    assert probe.accuracy(features, np.full(120, 3)) == 0
    assert probe.confidence(features, np.full(120, 3)).max() == 0


def test_constant_features_do_not_divide_by_zero() -> None:
    probe = linear_probe(np.ones((9, 4)), np.arange(9) % 3)
    assert probe.probabilities(np.ones((1, 4))) == pytest.approx(np.full((1, 3), 1 / 3), abs=1e-6)


def test_classes_with_gaps_are_a_defect() -> None:
    with pytest.raises(ValueError, match="without gaps"):
        linear_probe(normal(4, 2), [0, 2, 0, 2])


def test_nearest_neighbours_vote_by_nearness() -> None:
    known, classes = labelled()
    asked, wanted = labelled(40, seed=2)
    right = 0
    for vector, true in zip(asked, wanted, strict=True):
        distances = np.array([cosine(vector, other) for other in known])
        near = np.argsort(distances)[:10]
        votes = np.zeros(3)
        for row in near:
            votes[classes[row]] += 1 / distances[row]
        right += votes.argmax() == true
    assert neighbour_accuracy(known, classes, asked, wanted) == right / 40


def test_cmia_is_a_support_vector_machine_on_the_confidence() -> None:
    draw = np.random.default_rng(0)
    forget, retain, held_out = draw.beta(2, 1, 30), draw.beta(3, 1, 50), draw.beta(1, 2, 50)
    slow = SVC(C=3, kernel="rbf", gamma=1.0).fit(np.concatenate([retain, held_out]).reshape(-1, 1), [1] * 50 + [0] * 50)
    assert cmia(forget, retain, held_out) == pytest.approx(np.mean([slow.predict([[x]])[0] == 0 for x in forget]))
    assert cmia(np.zeros(5), np.ones(80), np.zeros(40)) == 1
    assert cmia(np.ones(5), np.ones(80), np.zeros(40)) == 0


# classes


def test_classes_with_too_few_retained_pictures_are_left_out() -> None:
    retain = ["a"] * 5 + ["b"] * 6 + ["c"] * 1 + ["d"] * 2
    found = choose_classes(["a", "c", None], retain, ["b", "d"], fewest=5)
    assert found.names == ("a", "b")
    assert found.forget.tolist() == [0, -1, -1]
    assert found.held_out.tolist() == [1, -1]
    (note,) = found.notes
    assert "2 classes with fewer than 5 retained pictures, 1 of them with a single one" in note


def test_a_class_that_is_forgotten_as_a_whole_is_said() -> None:
    found = choose_classes(["bird"] * 6, ["a"] * 5 + ["b"] * 6, ["bird", "a"], fewest=5)
    assert found.forget.tolist() == [2] * 6
    assert found.held_out.tolist() == [-1, 0]
    assert "Forgotten as a whole: bird" in found.notes[0]


def test_small_classes_are_gathered_into_their_groups() -> None:
    retain = [f"animal-{k}" for k in range(6)] + [f"food-{k}" for k in range(6)]
    found = choose_classes(["animal-9"], retain, ["food-9"], fewest=5)
    assert found.names == ("animal", "food")
    assert "groups of the labels" in found.notes[0]


@pytest.mark.parametrize(
    ("retain", "said"),
    [([None] * 9, "have no classes"), (["a"] * 9, "at least two"), (list("abcdefghi"), "0 of 9 classes")],
)
def test_data_without_classes_are_refused_with_a_sentence(retain: list[str | None], said: str) -> None:
    with pytest.raises(MucError, match=said):
        choose_classes(["a"], retain, ["a"])


# captions


def test_recall_counts_ranks() -> None:
    queries, gallery = normal(20, 8), normal(50, 8, seed=1)
    gallery[:20] += queries
    ranks = []
    for row, query in enumerate(queries):
        similar = [1 - cosine(query, other) for other in gallery]
        ranks.append(sorted(similar, reverse=True).index(similar[row]) + 1)
    found = recall(queries, gallery, np.arange(20)).at
    assert found == {k: pytest.approx(np.mean([rank <= k for rank in ranks])) for k in (1, 5, 10)}


def test_recall_in_chunks_is_recall_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = normal(30, 4), normal(30, 4, seed=3) + normal(30, 4)
    whole = recall(queries, gallery, np.arange(30))
    monkeypatch.setattr("muc_core.evaluation.retrieval._CHUNK", 7)
    assert recall(queries, gallery, np.arange(30)).at == pytest.approx(whole.at)


def test_a_collapsed_encoder_finds_by_chance() -> None:
    found = recall(np.ones((20, 4)), np.ones((20, 4)), np.arange(20)).at
    assert found == {1: pytest.approx(0.05), 5: pytest.approx(0.25), 10: pytest.approx(0.5)}


def test_matched_similarity_and_its_membership() -> None:
    images, texts = normal(150, 5), normal(150, 5, seed=1)
    texts[:40] += images[:40]
    matched = matched_similarity(images, texts)
    assert matched == pytest.approx([1 - cosine(a, b) for a, b in zip(images, texts, strict=True)])
    found = matched_membership(matched[:40], matched[40:])
    assert found.auc == pytest.approx(roc_auc_score([1] * 40 + [0] * 110, matched))
    threshold = sorted(matched[40:])[-2]  # exceeded by one of 110
    assert found.tpr_at_1_percent == pytest.approx(np.mean(matched[:40] > threshold))
    assert matched_similarity(np.zeros((1, 3)), np.ones((1, 3))) == pytest.approx([0])


def test_zero_shot_takes_the_nearest_class_name() -> None:
    assert prompts(["a-b", "c"], ["{}", "a {}"]) == ["a b", "a a b", "c", "a c"]
    texts, images, wanted = normal(6, 4), normal(30, 4, seed=1), np.arange(30) % 3
    means = []
    for k in range(3):
        first, second = texts[2 * k], texts[2 * k + 1]
        means.append(first / np.linalg.norm(first) + second / np.linalg.norm(second))
    right = [
        max(range(3), key=lambda k: 1 - cosine(image, means[k])) == true
        for image, true in zip(images, wanted, strict=True)
    ]
    assert zero_shot_accuracy(images, wanted, class_vectors(texts, 2)) == pytest.approx(np.mean(right))


def test_in_hyperbolic_space_all_of_it_goes_by_distance() -> None:
    c = 0.5
    how = Similarity("lorentz", c)
    images, texts = normal(25, 3), normal(25, 3, seed=1) + normal(25, 3)

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        times = np.sqrt(1 / c + x @ x) * np.sqrt(1 / c + y @ y)
        return float(np.arccosh(max(1.0, c * (times - x @ y))) / np.sqrt(c))

    far = np.array([[distance(x, y) for y in texts] for x in images])
    ranks = (far < far.diagonal()[:, None]).sum(axis=1) + 1
    found = recall(images, texts, np.arange(25), similarity=how).at
    assert found == {k: pytest.approx(np.mean(ranks <= k)) for k in (1, 5, 10)}
    assert found != recall(images, texts, np.arange(25)).at
    assert matched_similarity(images, texts, similarity=how) == pytest.approx(-far.diagonal())
    middles = class_vectors(texts[:6], 2, similarity=how)
    for middle, first, second in zip(middles, texts[0:6:2], texts[1:6:2], strict=True):
        assert distance(middle, first) == pytest.approx(distance(first, second) / 2)
        assert distance(middle, second) == pytest.approx(distance(first, second) / 2)
    wanted = np.arange(25) % 3
    right = [min(range(3), key=lambda k: distance(x, middles[k])) == y for x, y in zip(images, wanted, strict=True)]
    assert zero_shot_accuracy(images, wanted, middles, similarity=how) == pytest.approx(np.mean(right))


# likeness to Retrain


def test_neighbours_in_common() -> None:
    first, second = normal(25, 5), normal(25, 3, seed=1)

    def near(vectors: Float64, row: int) -> set[int]:
        order = sorted((cosine(vectors[row], vectors[other]), other) for other in range(25) if other != row)
        return {other for _, other in order[:4]}

    wanted = np.mean([len(near(first, row) & near(second, row)) / 4 for row in range(25)])
    assert neighbour_overlap(first, second, count=4) == pytest.approx(wanted)
    assert neighbour_overlap(first, 3 * first) == 1
    with pytest.raises(MucError, match="25 and 24 pictures"):
        neighbour_overlap(first, second[:24])


def test_average_gap_is_the_mean_absolute_difference_over_what_both_have() -> None:
    retrained = {"emia": 0.4, "ra": 0.9, "ta": 0.6, "ua": 0.6, "rte": 100.0}
    found = average_gap({"emia": 0.5, "ra": 0.8, "ta": 0.7, "cmia": 0.1, "rte": 3.0}, retrained)
    assert found.average == pytest.approx((0.1 + 0.1 + 0.1) / 3)
    assert found.by_metric == pytest.approx({"emia": 0.1, "ra": -0.1, "ta": 0.1})
    assert found.collateral == pytest.approx((0.1 + 0) / 2)  # a gain in TA does not make up for a loss in RA
    assert average_gap(retrained, retrained).average == 0
    with pytest.raises(MucError, match="no metric in common"):
        average_gap({"rte": 1.0}, retrained)


def test_cost_in_views_of_the_paper() -> None:
    retrain = views_seen(epochs=800, retain=40_500, forget=0, views=2)
    assert views_seen(epochs=10, retain=40_500, forget=0, views=2) / retrain == pytest.approx(0.0125)
    assert views_seen(epochs=5, retain=0, forget=4_500, views=2) / retrain == pytest.approx(0.0007, abs=1e-4)
    ours = views_seen(epochs=10, retain=40_500, forget=4_500, views=2, third_view=True)
    assert ours == 10 * (45_000 * 2 + 4_500)


# the registry


def test_every_metric_says_how_it_is_read() -> None:
    assert {"emia", "ra", "ta", "ua", "cmia", "i2t_r1_forget", "gap", "rte", "views", "cka"} <= set(METRICS.names())
    for metric in METRICS:
        assert metric.meaning.endswith(".")
        assert metric.low is None or metric.high is None or metric.low < metric.high
        assert metric.ideal is None or metric.low is None or metric.low <= metric.ideal
        assert (metric.unit == "share") <= (metric.low == 0)
    titles = [metric.title for metric in METRICS]
    assert len(set(titles)) == len(titles)


def test_a_metric_has_one_definition() -> None:
    with pytest.raises(ValueError, match="already registered"):
        like_retrain("ua", "UA", "Again.")
    assert METRICS.get("ua").text(0.1234) == "12.3%"
    assert METRICS.get("cka").text(None) == "–"
    assert METRICS.get("rte").text(12.34) == "12.3 s"
