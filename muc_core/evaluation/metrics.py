"""What a white-box figure is called and how it is read; tables, reports and pages need no line per metric."""

from dataclasses import dataclass
from typing import Literal

from muc_core.registry import Registry

Direction = Literal["higher", "lower", "like Retrain"]
Unit = Literal["share", "similarity", "seconds", "ratio"]


@dataclass(frozen=True)
class Metric:
    """A figure of one encoder.

    Attributes:
        name: in files and code.
        title: in tables.
        direction: what is better; "like Retrain": neither high nor low, but the level of the retrained encoder.
        low, high: its range; None: unbounded.
        ideal: the best value; None: Retrain's.
        unit: how it is written; a share as per cent.
        meaning: one sentence for a person without statistics.
        in_gap: counts in the average gap to Retrain.
        of_classifier: a figure of the encoder's own classifier; where there are such, they alone count in the gap.
        is_utility: a loss below Retrain's level is collateral damage.
    """

    name: str
    title: str
    direction: Direction
    low: float | None
    high: float | None
    ideal: float | None
    unit: Unit
    meaning: str
    in_gap: bool = False
    is_utility: bool = False
    of_classifier: bool = False

    def text(self, value: float | None) -> str:
        """The value for people; a dash where there is none."""
        if value is None:
            return "–"
        if self.unit == "share":
            return f"{value:.1%}"
        return f"{value:z.1f} s" if self.unit == "seconds" else f"{value:z.2f}"


METRICS: Registry[Metric] = Registry("white-box metric")


def declare(metric: Metric) -> Metric:
    """Register a metric. Raises `ValueError` when the name is taken."""
    return METRICS.register(metric.name, metric)


def like_retrain(
    name: str,
    title: str,
    meaning: str,
    *,
    in_gap: bool = False,
    is_utility: bool = False,
    of_classifier: bool = False,
) -> Metric:
    """Declare a share in [0, 1] whose best value is the level of Retrain."""
    return declare(
        Metric(name, title, "like Retrain", 0.0, 1.0, None, "share", meaning, in_gap, is_utility, of_classifier)
    )


def membership(name: str, title: str, meaning: str, *, ideal: float = 0.5) -> Metric:
    """Declare how well members can be told from pictures never seen, in [0, 1]; the ideal is that of guessing."""
    return declare(Metric(name, title, "like Retrain", 0.0, 1.0, ideal, "share", meaning))
