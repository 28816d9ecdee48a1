"""One look of a watch: audit, compare with the look before, and say what is to be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from muc_core.audit.audit import AuditSettings
from muc_core.audit.geometry import unit
from muc_core.audit.result import GUARD, AuditResult
from muc_core.auditing import audit_encoders
from muc_core.comparison import ModeChoice
from muc_core.data.dataset import ImageTextDataset
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.probes import SAME, Remembering
from muc_core.errors import MucError
from muc_core.jobs.watch.spec import Alert, Look
from muc_core.jobs.watch.store import Watch
from muc_core.progress import SILENT, Progress
from muc_core.stats.ranks import Float64

CANARIES = 8
"""So many of the owner's pictures, and as many controls, are asked at every look as they are."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What a look needs; read anew for each, since encoders and folders may change.

    Attributes:
        encoders: content digest of each encoder asked, by name.
        warnings: what is known of the controls.
    """

    before: Encoder | None
    after: Encoder
    owner: ImageTextDataset
    controls: ImageTextDataset
    encoders: Mapping[str, str]
    warnings: Sequence[str] = ()


def make_look(watch: Watch, subject: Subject, progress: Progress = SILENT) -> tuple[Look, Float64]:
    """The next look, and the vectors of its canaries.

    An encoder that remembers answers is asked again: what it answered at an earlier look is no news.

    Raises:
        MucError: the pictures are not those of the registration, or the audit refuses.
    """
    spec, number = watch.spec, watch.next_number
    assert number is not None
    for what, part, digest in (
        ("pictures", subject.owner, spec.owner_digest),
        ("controls", subject.controls, spec.controls_digest),
    ):
        if part.digest() != digest:
            raise MucError(
                f"the {what} of the watch {spec.name!r} are not those it was registered with; bring those back, or "
                "register another watch"
            )
    after = subject.after.uncached() if isinstance(subject.after, Remembering) else subject.after
    canaries = _canaries(after, subject, spec.mode)
    result = audit_encoders(
        after,
        subject.owner,
        subject.controls,
        before=subject.before,
        mode=spec.mode,
        views=spec.views,
        probes=spec.probes,
        settings=AuditSettings(permutations=spec.permutations(number), seed=spec.seed + number),
        warnings=subject.warnings,
        progress=progress,
    )
    return _look(watch, number, subject, result, canaries), canaries


def moved(earlier: Float64, now: Float64) -> float | None:
    """How far vectors `[parts, n, d]` moved at most, in median distances between two of their part.

    None when there are others of them, or of another length.
    """
    if earlier.shape != now.shape:
        return None
    return max(_moved(unit(first), unit(second)) for first, second in zip(earlier, now, strict=True))


def _moved(earlier: Float64, now: Float64) -> float:
    return float(np.linalg.norm(earlier - now, axis=1).max()) / max(float(np.median(pdist(earlier))), 1e-12)


def smallest_p(watch: Watch, number: int) -> float:
    """The smallest p that look `number` can have, where not all permutations are tried."""
    return 1 / (watch.spec.permutations(number) + 1)


def _canaries(after: Encoder, subject: Subject, mode: ModeChoice) -> Float64:
    """Vectors `[1, n, d]` of some pictures, or `[2, n, d]` with their captions' where an audit asks for them."""
    some = [part.subset(part.ids[:CANARIES]) for part in (subject.owner, subject.controls)]
    found = [np.concatenate([embed_images(after, part).numpy() for part in some])]
    texts = [text for part in some for text in part.texts if text]
    if mode != "two-view" and after.has_text and len(texts) == len(found[0]):
        found.append(embed_texts(after, texts).numpy())
    return np.stack(found).astype(np.float64)


def _look(watch: Watch, number: int, subject: Subject, result: AuditResult, canaries: Float64) -> Look:
    trace, level = result.findings["trace"], watch.spec.level(number)
    fair = all(check.passed is not False for check in result.checks if check.name == GUARD)
    earlier, before = watch.canaries(), watch.looks[-1] if watch.looks else None
    distance = None if earlier is None else moved(earlier, canaries)
    alerts: list[Alert] = []
    if fair and trace.p <= level:
        alerts.append("trace")
    changed = [name for name, digest in subject.encoders.items() if before and before.encoders.get(name) != digest]
    if before is not None and (changed or distance is None or distance > SAME):
        alerts.append("model")
    return Look(
        number=number,
        encoders=dict(subject.encoders),
        verdict=result.verdict,
        rule=result.rule,
        p=trace.p,
        level=level,
        effect=trace.effect.value,
        fair=fair,
        can_alarm=level >= smallest_p(watch, number),
        moved=distance,
        alerts=tuple(alerts),
        sentence=" ".join(_told(watch, number, alerts, changed, distance, fair, trace.p, level)),
    )


def _told(
    watch: Watch,
    number: int,
    alerts: Sequence[Alert],
    changed: Sequence[str],
    distance: float | None,
    fair: bool,
    p: float,
    level: float,
) -> list[str]:
    after = watch.spec.after
    told = [f"Look {number} of {watch.spec.looks}:"]
    if "trace" in alerts:
        told.append(
            f"a trace of the pictures stands out in {after} (p = {p:.2g}, and {level:.2g} is this look's level)."
        )
    elif not fair:
        told.append("the controls are not fair, so that nothing is said of a trace.")
    else:
        told.append(
            f"no trace of the pictures that passes this look's level in {after} (p = {p:.2g}, level {level:.2g})."
        )
    if level < smallest_p(watch, number):
        told.append("This look's level is too low for any alarm of a trace; later ones allow it.")
    if "model" in alerts:
        if changed:
            told.append(f"The files of {', '.join(changed)} are others than at the look before.")
        elif distance is None:
            told.append(f"The vectors of {after} have another form than at the look before: this is another model.")
        else:
            told.append(
                f"{after} answers the same questions otherwise than at the look before: vectors moved by up to "
                f"{distance:.1%} of the typical distance between two of them, and {SAME:.0%} is allowed."
            )
    return told
