"""The report in an evidence pack: what the page says, that its length is bounded, and that its bytes are settled."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from muc_core.audit.result import VERDICT_MEANING, AuditResult, Check, Verdict
from muc_core.encoders.manifest import EncoderManifest
from muc_core.evidence.manifest import EncoderIdentity, Origin, Statement
from muc_core.reports.document import Document, Pairs, Section, shown
from muc_core.reports.document_html import to_html
from muc_core.reports.document_pdf import to_pdf
from muc_core.reports.evidence import report_document, write_reports
from muc_core.reports.story import Points
from tests.unit.evidence.pack import OWNER, draft

SIGNER = "ab" * 32
MEGABYTE = 10**6
HOSTILE = '<script>alert(1)</script>#import "x" $*_`\x00\x1b[2J‮'


def document(statement: Statement | None = None, result: AuditResult | None = None) -> Document:
    return report_document(statement or draft().statement, result or draft().result, SIGNER)


def texts(sections: tuple[Section, ...]) -> str:
    return " ".join(str(block) for section in sections for block in section.blocks)


def pages(pdf: bytes) -> int:
    found = re.search(rb"/Type/Pages/Count (\d+)", pdf)
    assert found is not None
    return int(found[1])


def failing(verdict: Verdict) -> AuditResult:
    checks = tuple(Check(name="A check " * 9, passed=False, value="bad " * 60, meaning="Bad. " * 90) for _ in range(30))
    update = {"verdict": verdict, "checks": checks, "rule": "Because. " * 60, "warnings": ("Beware. " * 50,) * 20}
    return draft().result.model_copy(update=update)


def test_the_page_says_what_was_asked_found_and_not_proven() -> None:
    page = document().page
    assert [section.title for section in page] == [
        "What was asked",
        "What was found",
        "How sure is it?",
        "What it does not prove",
        "The record of the erasure",
    ]
    told = texts(page)
    assert f"still treat {OWNER} pictures" in told
    assert VERDICT_MEANING[draft().result.verdict] in told
    assert draft().result.detectability.meaning in told
    assert "no proof of deletion" in told


def test_the_record_says_what_when_and_by_which_method_as_far_as_it_is_known() -> None:
    def record(origin: Origin | None) -> dict[str, str]:
        statement = draft().statement
        encoders = {"after": EncoderIdentity(name="mine", digest="0" * 64, origin=origin)}
        (block,) = document(statement.model_copy(update={"encoders": encoders})).page[-1].blocks
        assert isinstance(block, Pairs)
        return dict(block.entries)

    manifest = EncoderManifest(
        name="mine",
        title="Mine",
        family="clip",
        architecture="tiny",
        method="ac",
        original="theirs",
        created="2026-01-31T23:30:00.000-01:00",
    )
    known = record(EncoderIdentity.of(manifest).origin)
    assert known["When"] == "The encoder after was made on 2026-02-01 00:30 UTC, by its record."
    assert known["By which method"].startswith("ac, from theirs")
    assert "8 pictures" in known["What"]
    assert draft().result.verdict in known["How it was checked"]
    elsewhere = manifest.model_copy(update={"method": None, "source": "a file of somebody"})
    assert (
        "names no unlearning method: a file of somebody"
        in record(EncoderIdentity.of(elsewhere).origin)["By which method"]
    )
    assert "Not recorded" in record(None)["When, by which method"]


def test_the_appendix_has_every_number_of_the_tests() -> None:
    told = texts(document().appendix)
    for found in draft().result.findings.values():
        assert f"'{found.p:.4f}'" in told
    for item in draft().result.items:
        assert item.id in told
    for fact in (SIGNER, draft().statement.merkle_root, draft().statement.salt, "Something is known of the pictures."):
        assert fact in told


def test_the_same_audit_gives_the_same_bytes_and_another_gives_others() -> None:
    first, second = (write_reports(draft().statement, draft().result, SIGNER) for _ in range(2))
    assert first == second
    other = write_reports(draft().statement, draft().result, "cd" * 32)
    assert other.html != first.html
    assert other.pdf != first.pdf


@pytest.mark.parametrize("verdict", list(VERDICT_MEANING))
def test_the_page_for_people_is_one_page_whatever_was_found(verdict: Verdict) -> None:
    statement = draft().statement.model_copy(update={"title": "Did it forget? " * 60})
    alone = replace(document(statement, failing(verdict)), appendix=())
    assert pages(to_pdf(alone)) == 2  # the last one has the appendix' heading alone


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)


def test_a_stranger_s_words_are_text_in_both() -> None:
    items = tuple(item.model_copy(update={"id": HOSTILE + item.id}) for item in draft().result.items)
    result = draft().result.model_copy(update={"items": items, "rule": HOSTILE})
    statement = draft().statement.model_copy(update={"title": HOSTILE})
    reports = write_reports(statement, result, SIGNER)
    tags = _Tags()
    tags.feed(reports.html.decode())
    assert "script" not in tags.seen
    assert b"&lt;script&gt;" in reports.html
    assert not {"\x00", "\x1b", "‮"} & set(reports.html.decode())
    assert reports.pdf.startswith(b"%PDF")


def test_a_huge_audit_stays_below_two_megabytes() -> None:
    item = draft().result.items[0].model_copy(update={"id": '"' * 4000})
    result = failing("cannot tell").model_copy(update={"items": (item,) * 20_000})
    settings = {f"setting {number}": "x" * 1000 for number in range(500)}
    origin = Origin(
        method="m" * 5000,
        original="o" * 5000,
        created="2026-01-01T00:00:00+00:00",
        settings=dict(settings),
        seeds={},
        asked_to_forget=None,
        source="s" * 5000,
    )
    who = EncoderIdentity(name="n" * 5000, digest="d" * 5000, origin=origin)
    statement = draft().statement.model_copy(update={"encoders": {"after": who}, "warnings": ("w" * 9000,) * 5000})
    content = to_html(document(statement, result))
    assert len(content) < 2 * MEGABYTE
    assert b"Shown are 500 of 20,000; all of them are in result.json." in content


def test_long_text_is_cut_and_control_signs_are_replaced() -> None:
    assert shown("a" * 10, 10) == "a" * 10
    assert shown("a" * 11, 10) == "a" * 9 + "…"
    assert shown("a\x1bb") == "a\N{REPLACEMENT CHARACTER}b"
    assert Points((shown("x" * 10**7),)).items[0] == "x" * 299 + "…"
