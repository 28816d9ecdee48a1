"""What an audit of some size would have seen."""

import math

from scipy.stats import norm


def power(effect: float, n: int, m: int, *, spread: float = 1.0, alpha: float = 0.05) -> float:
    """Chance that a one-sided test at `alpha` sees that n items stand `effect` above m controls, in [0, 1].

    Args:
        effect: in standard deviations of the controls.
        spread: standard deviation of the n items in the same unit.
    """
    return float(norm.cdf(effect / _standard_error(n, m, spread) - norm.ppf(1 - alpha)))


def smallest_effect(n: int, m: int, *, wanted: float = 0.8, spread: float = 1.0, alpha: float = 0.05) -> float:
    """The effect that is seen with a chance of `wanted`; arguments as in `power`."""
    return float((norm.ppf(1 - alpha) + norm.ppf(wanted)) * _standard_error(n, m, spread))


def _standard_error(n: int, m: int, spread: float) -> float:
    return math.sqrt(spread**2 / n + 1 / m)
