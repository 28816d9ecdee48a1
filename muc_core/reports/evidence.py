"""The report in an evidence pack: one page in plain words, and every number behind it for experts.

The page answers what an erasure procedure has to document: what was removed, when, by which method, and how it was
checked. What an encoder's record says of itself is told as such; an audit sees answers only.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

from muc_core.audit import result as audit_result
from muc_core.audit.result import VERDICT_MEANING, AuditResult, Change, Interval, Verdict
from muc_core.evidence.manifest import EncoderIdentity, Role, Statement
from muc_core.evidence.pack import TYPESETTING, Reports
from muc_core.reports.document import Document, Headline, Pairs, Section, Side, shown, table
from muc_core.reports.document_html import to_html
from muc_core.reports.document_pdf import to_pdf
from muc_core.reports.story import Paragraph, Points
from muc_core.similarity import COSINE, Similarity

_SIGNS: dict[Verdict, str] = {"under-forgotten": "!", "forgotten": "✓", "over-forgotten": "↓", "cannot tell": "?"}
_ROLES: dict[Role, str] = {"before": "before", "after": "after", "retrained": "retrained without the pictures"}
_PASSED = {True: "passed", False: "failed", None: "not made"}
_ELSEWHERE = "all of them are in result.json"
_MOST_FAULTS = 3


def write_reports(statement: Statement, result: AuditResult, signer: str) -> Reports:
    """HTML and PDF of an audit.

    Args:
        signer: fingerprint of the key that signs.
    """
    document = report_document(statement, result, signer)
    return Reports(to_html(document), to_pdf(document), _form())


@cache
def _form() -> str:
    """Of what writes the reports: the sources here, the words for verdicts, and the programs that set the PDF."""
    here = Path(__file__).parent
    digest = hashlib.sha256(" ".join(map(version, TYPESETTING)).encode())
    for path in sorted([*here.glob("*.py"), *here.glob("*.typ"), Path(audit_result.__file__)]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def report_document(statement: Statement, result: AuditResult, signer: str) -> Document:
    """What both say."""
    return Document(
        title=shown(statement.title, 160),
        subtitle=f"Report of an audit made on {_moment(statement.created)}, part of a signed evidence pack",
        page=(
            Section("What was asked", (Paragraph(_asked(statement, result)),)),
            Section("What was found", (_headline(result), Points(tuple(_found(result))))),
            Section("How sure is it?", (Points(tuple(_sure(result))),)),
            Section("What it does not prove", (Points(_LIMITS),)),
            Section("The record of the erasure", (Pairs(tuple(_erasure(statement, result))),)),
        ),
        appendix_title="Appendix for experts",
        appendix=tuple(_appendix(statement, result, signer)),
        footer=f"Signed with the key {signer[:16]}…; muc verify checks it, this report and every number.",
    )


def _asked(statement: Statement, result: AuditResult) -> str:
    after, before = statement.encoders["after"], statement.encoders.get("before")
    how = "and their captions" if result.mode == "image-text" else "and changed copies of them"
    since = f" The encoder before unlearning, {shown(before.name, 80)}, was asked the same." if before else ""
    return (
        f"Does the encoder {shown(after.name, 80)} still treat {result.n_items:,} pictures as ones it knows? It was "
        f"shown these pictures {how}, and beside them {result.n_controls:,} pictures that were never trained on "
        f"(controls). A picture that was forgotten should be treated like a control.{since}"
    )


def _headline(result: AuditResult) -> Headline:
    return Headline(
        result.verdict.capitalize(), _SIGNS[result.verdict], f"{VERDICT_MEANING[result.verdict]} {shown(result.rule)}"
    )


def _found(result: AuditResult) -> Iterator[str]:
    for name in ("memory before", "change"):
        if name in result.findings:
            yield shown(result.findings[name].meaning)
    traces = sum(item.verdict == "trace found" for item in result.items)
    below = sum(item.verdict == "below never-seen" for item in result.items)
    told = f"Taken one by one, {traces:,} of {result.n_items:,} pictures show a trace"
    yield f"{told} and {below:,} stand below never-seen ones." if below else f"{told}."
    if result.collateral is not None:
        for group in result.collateral.groups[:2]:
            yield shown(group.meaning)


def _sure(result: AuditResult) -> Iterator[str]:
    yield shown(result.detectability.meaning)
    yield (
        f"Each test raises a false alarm in at most {result.alpha * 100:g} of 100 audits of an encoder that never saw "
        "the pictures."
    )
    passed = sum(check.passed is True for check in result.checks)
    yield f"{passed} of {len(result.checks)} checks of the controls and of the encoder's honesty passed."
    failed = [check for check in result.checks if check.passed is False]
    for check in failed[:_MOST_FAULTS]:
        yield shown(f"{check.name}: {check.meaning}")
    if len(failed) > _MOST_FAULTS:
        yield f"{len(failed) - _MOST_FAULTS} more checks failed; see the appendix."
    if result.warnings:
        yield f"{len(result.warnings)} remarks on the pictures and the probes limit this; see the appendix."


_LIMITS = (
    "It is no proof of deletion. It says what could be seen in the encoder's answers, not what is inside it: weights, "
    "copies of the model and backups were not looked at.",
    "It speaks of these pictures and of these encoders as they were, by their digests, and of no others.",
    "That the answers are those of the named encoders, and what their records say, is the word of whoever signed.",
)


def _erasure(statement: Statement, result: AuditResult) -> Iterator[tuple[str, str]]:
    """What was removed, when, by which method, how it was checked."""
    after = statement.encoders["after"]
    origin = after.origin
    listed = ""
    if origin is not None and origin.asked_to_forget is not None:
        listed = f" The encoder's record lists {origin.asked_to_forget:,} pictures to be forgotten."
    yield (
        "What",
        f"The memory of {result.n_items:,} pictures, listed in manifest.json by digests under the Merkle root "
        f"{statement.merkle_root[:16]}…; the pictures themselves are not in the pack.{listed}",
    )
    if origin is None:
        yield "When, by which method", "Not recorded: nothing is known here of how the encoder was made."
    else:
        yield "When", f"The encoder after was made on {_moment(origin.created)}, by its record."
        if origin.method is None:
            source = f": {shown(origin.source, 160)}" if origin.source else "."
            yield "By which method", f"Its record names no unlearning method{source}"
        else:
            start = f", from {shown(origin.original, 80)}" if origin.original else ""
            yield "By which method", f"{shown(origin.method, 80)}{start}; its settings are in the appendix."
    yield (
        "How it was checked",
        f"By this audit on {statement.created[:10]}: {result.views} views a picture, {result.n_controls:,} controls, "
        f"up to {result.permutations:,} permutations, seed {result.seed}. Its result: {result.verdict}.",
    )


def _appendix(statement: Statement, result: AuditResult, signer: str) -> Iterator[Section]:
    yield _tests(result)
    yield _detectability(result)
    yield _membership(result)
    yield _checks(result)
    yield from _collateral(result)
    yield _pictures(result)
    yield _encoders(statement)
    yield _provenance(statement, signer)
    yield _checking(statement)


def _tests(result: AuditResult) -> Section:
    columns: tuple[tuple[str, Side], ...] = (
        ("Question", "left"),
        ("Test", "left"),
        ("Difference", "right"),
        ("Effect", "right"),
        ("95 % interval", "right"),
        ("p", "right"),
    )
    rows = [
        (
            found.question,
            found.test,
            f"{found.difference:.3f}",
            f"{found.effect.value:.2f}",
            _between(found.effect),
            f"{found.p:.4f}",
        )
        for found in result.findings.values()
    ]
    settings = (
        f"Effects are in units of the controls' spread, differences in similarity. alpha {result.alpha:g}, bound of "
        f"equivalence delta {result.delta:.3f}, at most {result.permutations:,} permutations, seed {result.seed}, "
        f"{result.views} views, mode {result.mode}."
    )
    return Section("Tests", (Paragraph(settings), *table(columns, rows, rest=_ELSEWHERE)))


def _detectability(result: AuditResult) -> Section:
    found = result.detectability
    by_count = ", ".join(f"{count:,}: {_share(share)}" for count, share in found.by_count[:20])
    return Section(
        "Detectability",
        (
            Pairs(
                (
                    ("Effect of a known picture", f"{found.effect:.2f}, from {found.source}"),
                    ("Power", f"{found.power:.2f}"),
                    ("Smallest share seen", _share(found.smallest_share)),
                    ("By number of pictures", by_count),
                )
            ),
        ),
    )


def _membership(result: AuditResult) -> Section:
    columns: tuple[tuple[str, Side], ...] = (
        ("Encoder", "left"),
        ("AUC", "right"),
        ("TPR at 1 %", "right"),
        ("TPR at .1 %", "right"),
        ("AUC of views", "right"),
        ("Explained by traits", "right"),
    )
    rows = [
        (
            name,
            _estimate(found.auc),
            _estimate(found.tpr_at_1_percent),
            _estimate(found.tpr_at_01_percent),
            _estimate(found.views_auc),
            f"{result.explained[name]:.2f}" if name in result.explained else "–",
        )
        for name, found in result.membership.items()
    ]
    return Section("Membership by margin", table(columns, rows, rest=_ELSEWHERE))


def _checks(result: AuditResult) -> Section:
    columns: tuple[tuple[str, Side], ...] = (
        ("Check", "left"),
        ("Result", "left"),
        ("Value", "left"),
        ("Meaning", "left"),
    )
    rows = [(check.name, _PASSED[check.passed], check.value, shown(check.meaning, 160)) for check in result.checks]
    return Section("Controls and probes", table(columns, rows, rest=_ELSEWHERE))


def _collateral(result: AuditResult) -> Iterator[Section]:
    found = result.collateral
    if found is None:
        return
    columns: tuple[tuple[str, Side], ...] = (
        ("Kind", "left"),
        ("Most harmed", "left"),
        ("Among", "left"),
        ("Before", "right"),
        ("After", "right"),
        ("Lost", "right"),
        ("Interval", "right"),
    )
    rows = [
        _lost(kind, change)
        for kind, changes in (("picture", found.items), ("class", found.classes), ("text", found.texts))
        for change in changes
    ]
    told = Points(tuple(shown(group.meaning) for group in found.groups[:10]))
    yield Section("What others lost (margins, in similarity)", (told, *table(columns, rows, rest=_ELSEWHERE)))


def _lost(kind: str, change: Change) -> tuple[str, ...]:
    interval = "–" if change.interval is None else _between(change.interval)
    figures = (f"{value:.2f}" for value in (change.before, change.after, change.lost))
    return kind, change.name, change.group, *figures, interval


def _pictures(result: AuditResult) -> Section:
    columns: tuple[tuple[str, Side], ...] = (
        ("Picture", "left"),
        ("Verdict", "left"),
        ("Margin before", "right"),
        ("after", "right"),
        ("Standing before", "right"),
        ("after", "right"),
        ("p", "right"),
        ("q", "right"),
        ("q below", "right"),
    )
    rows = [
        (
            item.id,
            item.verdict,
            _number(item.before),
            _number(item.after),
            _number(item.standing_before),
            _number(item.standing_after),
            f"{item.p:.4f}",
            f"{item.q:.4f}",
            f"{item.q_below:.4f}",
        )
        for item in result.items
    ]
    how = Paragraph(
        "Standing among the controls: 0 is their middle, above 2 rare. q is the share of false alarms to expect among "
        "pictures up to this one.",
        quiet=True,
    )
    return Section("Every picture", (how, *table(columns, rows, rest=_ELSEWHERE)))


def _encoders(statement: Statement) -> Section:
    return Section(
        "Encoders",
        tuple(
            Pairs(tuple(_identity(_ROLES[role], statement.encoders[role], statement.similarities.get(role, COSINE))))
            for role in _ROLES
            if role in statement.encoders
        ),
    )


def _identity(role: str, encoder: EncoderIdentity, how: Similarity) -> Iterator[tuple[str, str]]:
    yield role.capitalize(), shown(encoder.name, 80)
    yield "Digest (SHA-256)", shown(encoder.digest, 64)
    curvature = "" if how.curvature is None else f", curvature -{how.curvature:g}"
    yield "Vectors compared by", f"{how.name}{curvature}"
    if encoder.origin is not None:
        origin = encoder.origin
        yield "Made", shown(origin.created, 40)
        yield "Method", shown(origin.method or "none: an original encoder")
        yield "Settings", shown(_json(origin.settings), 1500)
        yield "Seeds", shown(_json(origin.seeds))


def _provenance(statement: Statement, signer: str) -> Section:
    remarks = tuple(shown(warning) for warning in statement.warnings[:20])
    versions = ", ".join(f"{name} {found}" for name, found in sorted(statement.versions.items()))
    pictures = len(statement.owner) + len(statement.controls)
    facts = Pairs(
        (
            ("Signer's key", f"Ed25519, SHA-256 of the public key {signer}"),
            (
                "Merkle root",
                f"{statement.merkle_root} over {pictures:,} pictures",
            ),
            ("Salt of the digests", statement.salt),
            ("Audit made", statement.created),
            ("Versions", shown(versions, 800)),
        )
    )
    if not remarks:
        return Section("Provenance", (facts,))
    return Section("Provenance and remarks", (facts, Points(remarks)))


def _checking(statement: Statement) -> Section:
    return Section(
        "How to check this report",
        (
            Points(
                (
                    "muc verify FILE.muc.zip --public-key KEY.pub.pem checks the signature and every file, and "
                    "computes all statistics again from the vectors, without a network or an encoder.",
                    "--with-pictures FOLDER shows which pictures were meant; --with-encoder NAME asks an encoder again "
                    "and compares its answers with the vectors.",
                    f"Not computed again, as it takes encoders or pictures: {', '.join(statement.not_recomputed)}.",
                )
            ),
        ),
    )


def _between(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _estimate(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.value:.2f} ({_between(interval)})"


def _share(value: float) -> str:
    return "not even all" if value > 1 else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _moment(text: str) -> str:
    """A moment of ISO 8601 to the minute."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True)
