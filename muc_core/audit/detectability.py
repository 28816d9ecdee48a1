"""Whether an audit could have seen a trace: its power, and the smallest share of known pictures that it would see.

Shares refer to a memory as it was before unlearning: a picture that is still known stands where the owner's pictures
stood in the encoder before. Without that encoder memory is planted: a share of pictures like the controls is moved to
where memory would put it, above every control.
"""

from scipy.stats import norm

from muc_core.audit.result import Detectability
from muc_core.stats.power import power, smallest_share
from muc_core.stats.ranks import Float64

WANTED_POWER = 0.8
COUNTS = (5, 10, 20, 50, 100, 200, 500)


def detectability(n: int, m: int, *, before: Float64 | None, least: float, alpha: float) -> Detectability:
    """What an audit of n items and m controls would have seen.

    Args:
        before: standings `[n]` of the owner's items in the encoder before, in units of the controls' spread.
        least: the memory that must be seen where there is no encoder before, in the same unit.
    """
    if before is None:
        memory, spread, must_see = float(norm.ppf((m + 0.5) / (m + 1))), 1.0, least
    else:
        memory, spread = max(float(before.mean()), 0.0), max(float(before.std(ddof=1)), 1.0)
        must_see = memory

    def share(count: int) -> float:
        return smallest_share(memory, count, m, wanted=WANTED_POWER, spread=spread, alpha=alpha)

    seen = share(n)
    known = "still known as before" if before is not None else "known better than every control"
    audit = f"With {n:,} pictures and {m:,} controls this audit"
    return Detectability(
        effect=memory,
        source="planted" if before is None else "the encoder before",
        power=power(must_see, n, m, spread=spread, alpha=alpha),
        smallest_share=seen,
        by_count=tuple((count, share(count)) for count in COUNTS),
        meaning=(
            f"{audit} would have seen a trace, with a chance of {WANTED_POWER:.0%}, if {seen:.0%} or more of the "
            f"pictures were {known}."
            if seen <= 1
            else f"{audit} could have missed it even if all of the pictures were {known}."
        ),
    )
