"""A figure over several seeds: mean, spread and interval, never one number."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy.stats import sem, t

from muc_core.evaluation.metrics import Metric


@dataclass(frozen=True)
class Spread:
    """A figure over runs that come in groups, such as the unlearnings of one training.

    Attributes:
        mean: of the groups' means, so that no training counts more for having more runs.
        sd: standard deviation over all runs; None with one run.
        low, high: Student's 95 % interval over the groups' means, the trainings being what varies independently; None
            with one group.
        runs, groups: how many.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    runs: int
    groups: int

    def text(self, metric: Metric) -> str:
        """For people: mean ± spread."""
        if self.sd is None:
            return metric.text(self.mean)
        spread = f"{100 * self.sd:.1f}" if metric.unit == "share" else metric.text(self.sd).removesuffix(" s")
        mean = metric.text(self.mean)
        unit = "%" if metric.unit == "share" else " s" if metric.unit == "seconds" else ""
        return f"{mean.removesuffix(unit)} ± {spread}{unit}"


def spread(groups: Sequence[Sequence[float]]) -> Spread:
    """Summarise values by group; at least one group, none of them empty."""
    means = np.array([np.mean(group) for group in groups])
    values = np.array(list(chain.from_iterable(groups)))
    mean = float(means.mean())
    half = float(t.ppf(0.975, len(means) - 1) * sem(means)) if len(means) > 1 else None
    return Spread(
        mean=mean,
        sd=float(values.std(ddof=1)) if len(values) > 1 else None,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        runs=len(values),
        groups=len(means),
    )
