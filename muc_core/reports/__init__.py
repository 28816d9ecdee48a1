"""An audit's result for other programs and for people: JUnit XML, and one self-contained page of HTML."""

from html import escape
from xml.etree import ElementTree  # nosec B405

from muc_core.audit.result import AuditResult, Change, Finding

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 3rem auto; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem .3rem 0;
border-bottom: 1px solid #d8dde6; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
.verdict { font-weight: 600; padding: .8rem 1rem; border-left: .4rem solid #0072B2; background: #f3f5f9; }
"""


def to_junit(result: AuditResult, *, title: str) -> str:
    """The audit as one JUnit test case: it passes only when the verdict is "forgotten".

    "cannot tell" counts as skipped, under- and over-forgotten as failures; the sentences are its output.
    """
    skipped, failed = result.verdict == "cannot tell", result.verdict in ("under-forgotten", "over-forgotten")
    counts: dict[str, str] = {"tests": "1", "failures": str(int(failed)), "skipped": str(int(skipped)), "errors": "0"}
    suite = ElementTree.Element("testsuite", {"name": "muc audit", **counts})
    case = ElementTree.SubElement(suite, "testcase", classname="muc.audit", name=title)
    if failed:
        ElementTree.SubElement(case, "failure", message=result.rule, type=result.verdict)
    if skipped:
        ElementTree.SubElement(case, "skipped", message=result.rule)
    ElementTree.SubElement(case, "system-out").text = "\n".join(result.explain())
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_html(result: AuditResult, *, title: str) -> str:
    """The audit as a page that needs nothing else: verdict, findings with their numbers, items, what limits it."""
    meaning, *sentences = result.explain()
    findings = "".join(_row(finding) for finding in result.findings.values())
    items = "".join(
        f"<tr><td>{escape(item.id)}</td><td>{item.verdict}</td>"
        f"<td class=number>{_number(item.standing_before)}</td><td class=number>{_number(item.standing_after)}</td>"
        f"<td class=number>{item.q:.3f}</td></tr>"
        for item in result.items
    )
    checks = "".join(
        f"<tr><td>{escape(check.name)}</td><td>{_PASSED[check.passed]}</td><td>{escape(check.value)}</td>"
        f"<td>{escape(check.meaning)}</td></tr>"
        for check in result.checks
    )
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f"<h1>{escape(title)}</h1><p class=verdict>{escape(meaning)}</p><ul>{told}</ul>"
        "<h2>The tests</h2><p>Effects are in units of the controls' spread, with a 95&nbsp;% interval.</p><table>"
        f"<tr><th>Question<th>Effect<th>p<th>Test</tr>{findings}</table>"
        f"<h2>Can the answers be trusted?</h2><table><tr><th>Check<th>Result<th>Value<th>Meaning</tr>{checks}</table>"
        f"{_harm(result)}"
        "<h2>Every picture</h2><p>Standing among the controls: 0 is their middle, above 2 rare. q is the share of "
        "false alarms to expect among pictures up to this one.</p><table><tr><th>Picture<th>Verdict<th>Before<th>After"
        f"<th>q</tr>{items}</table><p>{result.n_items:,} pictures, {result.n_controls:,} controls, {result.mode}, "
        f"{result.views} views, seed {result.seed}, {result.permutations:,} permutations.</p></html>\n"
    )


_PASSED = {True: "passed", False: "failed", None: "not made"}


def _row(finding: Finding) -> str:
    effect = finding.effect
    return (
        f"<tr><td>{escape(finding.question)}</td><td class=number>{effect.value:.2f} "
        f"({effect.low:.2f} to {effect.high:.2f})</td><td class=number>{finding.p:.4f}</td>"
        f"<td>{escape(finding.test)}</td></tr>"
    )


def _harm(result: AuditResult) -> str:
    """What became of pictures that nobody asked to forget."""
    found = result.collateral
    if found is None:
        return ""
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in found.explain())
    tables = "".join(
        f"<h3>{title}</h3><table><tr><th>{column}<th>Among<th class=number>Before<th class=number>After"
        "<th class=number>Lost</tr>" + "".join(_lost(change) for change in changes) + "</table>"
        for title, column, changes in (
            ("The most harmed pictures", "Picture", found.items),
            ("The most harmed classes", "Class", found.classes),
            ("The most harmed texts", "Text", found.texts),
        )
        if changes
    )
    return (
        "<h2>What did others lose?</h2><p>Margins in similarity. An interval says how much other views of the same "
        "picture, or other pictures of a class, would change the loss; it allows for having chosen the most harmed."
        f"</p><ul>{told}</ul>{tables}"
    )


def _lost(change: Change) -> str:
    interval = change.interval
    between = "" if interval is None else f" ({interval.low:.2f} to {interval.high:.2f})"
    return (
        f"<tr><td>{escape(change.name)}</td><td>{change.group}</td><td class=number>{change.before:.2f}</td>"
        f"<td class=number>{change.after:.2f}</td><td class=number>{change.lost:.2f}{between}</td></tr>"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
