"""What an audit of some size would have seen."""

import math

from scipy.optimize import brentq
from scipy.stats import norm


def power(effect: float, n: int, m: int, *, share: float = 1.0, spread: float = 1.0, alpha: float = 0.05) -> float:
    """Chance that a one-sided test at `alpha` sees n items, of which a share is known, above m controls, in [0, 1].

    The known ones stand `effect` above the controls, the others like them; the test is one of means, by permutation.

    Args:
        effect: in standard deviations of the controls.
        share: of the n items that are known, in [0, 1].
        spread: standard deviation of the known items in the same unit.
    """
    variance = share * spread**2 + (1 - share) + share * (1 - share) * effect**2
    threshold = norm.ppf(1 - alpha) * math.sqrt(1 / n + 1 / m)
    return float(norm.cdf((share * effect - threshold) / math.sqrt(variance / n + 1 / m)))


def smallest_share(
    effect: float, n: int, m: int, *, wanted: float = 0.8, spread: float = 1.0, alpha: float = 0.05
) -> float:
    """The smallest share of known items that is seen with a chance of `wanted`; arguments as in `power`.

    Above 1 when not even all of them would be: then it says how many times the effect would have to be as large.
    Infinite without an effect.
    """
    if effect <= 0:
        return math.inf
    if power(effect, n, m, spread=spread, alpha=alpha) < wanted:
        needed = norm.ppf(1 - alpha) * math.sqrt(1 / n + 1 / m) + norm.ppf(wanted) * math.sqrt(spread**2 / n + 1 / m)
        return float(needed / effect)
    return float(
        brentq(lambda share: power(effect, n, m, share=share, spread=spread, alpha=alpha) - wanted, 0, 1, xtol=1e-6)
    )
