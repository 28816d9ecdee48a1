"""How far an encoder is from a retrained one: the average gap of the MUC paper (arXiv 2406.03603), and collateral."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from muc_core.errors import MucError
from muc_core.evaluation.metrics import METRICS, Metric, declare

declare(
    Metric(
        "gap",
        "average gap",
        "lower",
        0.0,
        1.0,
        0.0,
        "share",
        "Mean absolute difference to Retrain over the metrics that count for this family.",
    )
)
declare(
    Metric(
        "collateral",
        "collateral",
        "lower",
        0.0,
        1.0,
        0.0,
        "share",
        "Mean loss below Retrain on retained and never-trained pictures, over the metrics of usefulness.",
    )
)


@dataclass(frozen=True)
class Gap:
    """Distance to Retrain.

    Attributes:
        average: mean absolute difference, in [0, 1].
        by_metric: signed difference, encoder less Retrain.
        collateral: mean of what is lost below Retrain on the metrics of usefulness; a gain counts 0.
    """

    average: float
    by_metric: dict[str, float]
    collateral: float


def counting(names: Collection[str]) -> tuple[Metric, ...]:
    """Which of an encoder's metrics make the average gap: those of its own classifier, if any."""
    found = [metric for metric in METRICS if metric.name in names and metric.in_gap]
    own = [metric for metric in found if metric.of_classifier]
    return tuple(own or found)


def average_gap(values: Mapping[str, float], retrained: Mapping[str, float]) -> Gap:
    """Compare an encoder's values by metric with Retrain's.

    Args:
        values, retrained: of the same pictures; a metric that one of them lacks does not count.

    Raises:
        MucError: no metric that counts is in both.
    """
    both = [metric for metric in METRICS if metric.name in values and metric.name in retrained]
    counted = counting([metric.name for metric in both])
    differences = {metric.name: values[metric.name] - retrained[metric.name] for metric in counted}
    if not differences:
        raise MucError("the two encoders have no metric in common, so there is no gap; evaluate both on the same data")
    lost = [max(0.0, retrained[metric.name] - values[metric.name]) for metric in both if metric.is_utility]
    return Gap(
        average=sum(abs(value) for value in differences.values()) / len(differences),
        by_metric=differences,
        collateral=sum(lost) / len(lost) if lost else 0.0,
    )
