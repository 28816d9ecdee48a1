"""The set verdict: the rules of DESIGN section 5, in their order."""

import math
from collections.abc import Mapping, Sequence

from scipy.stats import norm

from muc_core.audit.detectability import WANTED_POWER
from muc_core.audit.honesty import NEAR_DUPLICATES, SINGLED_OUT, STEADY
from muc_core.audit.result import GUARD, STAND_INS, Check, Detectability, Finding, Item, Verdict

SURE_OF_MEMORY = 0.2
"""Share of alpha at which the memory before must be significant: all that follows hangs on it, and where there is none
it must hardly ever be found (`demo-simclr-blind`, docs/calibration.md)."""

NOT_TO_BE_MISSED = (GUARD, NEAR_DUPLICATES, STEADY)
"""Checks that are part of an audit and were not made (`passed` is None): without them nothing is called forgotten."""


def set_verdict(
    findings: Mapping[str, Finding],
    items: Sequence[Item],
    detectability: Detectability,
    checks: Sequence[Check],
    *,
    delta: float,
    alpha: float,
) -> tuple[Verdict, str]:
    """The verdict on all of the owner's items, and the rule that gave it, with its numbers.

    Args:
        findings: by name, as in `AuditResult`.
        checks: a failed guard leaves nothing to tell, `SINGLED_OUT` no "forgotten", any other failed check all but
            "under-forgotten"; one of `NOT_TO_BE_MISSED` that was not made leaves no "forgotten".
        delta: bound of equivalence, in units of the controls' spread.
        alpha: of each test.
    """
    failed = [check for check in checks if check.passed is False]
    if stand_ins := next((check for check in failed if check.name == STAND_INS), None):
        return "cannot tell", stand_ins.meaning
    if unfair := next((check for check in failed if check.name == GUARD), None):
        return "cannot tell", f"The controls are not fair ({unfair.value}), so nothing follows from them."
    before = findings.get("memory before")
    if before is not None and before.p >= alpha * SURE_OF_MEMORY:
        return (
            "cannot tell",
            f"The encoder before shows no sure memory of these pictures ({p_in_words(before.p)}; it must be below "
            f"{alpha * SURE_OF_MEMORY:g}): there was nothing to forget that this audit could see.",
        )
    verdict, rule = _by_tests(findings, items, detectability, delta, alpha)
    hiding = [check for check in failed if check.name != SINGLED_OUT]
    if hiding and verdict in ("forgotten", "over-forgotten"):
        return (
            "cannot tell",
            f"A probe failed, so that the answers of the encoder after cannot be trusted: {hiding[0].meaning}",
        )
    if failed and verdict == "forgotten":
        return "cannot tell", f"{failed[0].meaning} By margins alone nothing was found: {rule}"
    if unasked := [check.name for check in checks if check.passed is None and check.name in NOT_TO_BE_MISSED]:
        return _without(unasked, verdict, rule)
    if before is None and verdict == "forgotten":
        rule += " Whether there ever was anything to forget is not known without the encoder before."
    return verdict, rule


def _without(unasked: Sequence[str], verdict: Verdict, rule: str) -> tuple[Verdict, str]:
    """What may be said where checks were not made."""
    if verdict == "forgotten":
        return (
            "cannot tell",
            f"No trace was found, but that is not called forgotten here, because what would give away unfair controls "
            f"or answers that hide something was not checked ({', '.join(unasked)}). {rule}",
        )
    if verdict != "cannot tell" and GUARD in unasked:
        rule += " That holds if the controls are pictures like the owner's, which could not be checked."
    return verdict, rule


def _by_tests(
    findings: Mapping[str, Finding], items: Sequence[Item], detectability: Detectability, delta: float, alpha: float
) -> tuple[Verdict, str]:
    trace, like, below = (findings[name] for name in ("trace", "like never-seen", "below never-seen"))
    if like.p < alpha:
        if found := sum(item.verdict == "trace found" for item in items):
            return (
                "under-forgotten",
                f"All in all these pictures are like never-seen ones, within ±{delta:.2f} ({p_in_words(like.p)}), but "
                f"{found:,} of them, taken one by one, still stand{'s' if found == 1 else ''} out.",
            )
        if detectability.power < WANTED_POWER:
            return (
                "cannot tell",
                f"Too little could have been seen: a trace would have been found with a chance of "
                f"{detectability.power:.0%}, and {WANTED_POWER:.0%} is asked for.",
            )
        small = next((found for found in (trace, below) if found.p < alpha), None)
        rest = f", with a small difference of {small.effect.value:.2f} that is significant" if small else ""
        return (
            "forgotten",
            f"The difference to never-seen pictures lies within ±{delta:.2f} ({p_in_words(like.p)}){rest}.",
        )
    if trace.p < alpha:
        return (
            "under-forgotten",
            f"These pictures stand above never-seen ones by {trace.effect.value:.2f} ({p_in_words(trace.p)}).",
        )
    if below.p < alpha:
        return (
            "over-forgotten",
            f"These pictures stand below never-seen ones by {-below.effect.value:.2f} ({p_in_words(below.p)}).",
        )
    return (
        "cannot tell",
        f"Neither a difference to never-seen pictures ({p_in_words(min(trace.p, below.p))}) nor likeness within "
        f"±{delta:.2f} ({p_in_words(like.p)}) could be shown. {_enough(delta, alpha)}",
    )


def _enough(delta: float, alpha: float) -> str:
    """How many pictures would settle it, with as many controls, if the difference were none."""
    if delta <= 0:
        return ""
    z = norm.ppf(1 - alpha) + norm.ppf((1 + WANTED_POWER) / 2)
    needed = math.ceil(2 * (z / delta) ** 2)
    return f"About {needed:,} pictures and as many controls or more would settle it."


def p_in_words(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)
