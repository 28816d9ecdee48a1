"""The pages and files of an audit: whole, escaped, and true to the verdict."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from muc_core.audit.audit import AuditSettings, audit
from muc_core.audit.result import AuditResult, Check, Verdict
from muc_core.audit.vectors import ViewVectors
from muc_core.reports import to_html, to_junit


def result(verdict: Verdict = "cannot tell") -> AuditResult:
    rng = np.random.default_rng(0)
    owner = ["<b>bird</b>.png", *(f"{i}.png" for i in range(7))]
    found = audit(
        ViewVectors(rng.normal(size=(2, 38, 6)).astype(np.float32)),
        owner_ids=owner,
        control_ids=[f"c{i}" for i in range(30)],
        checks=(Check(name="Canary", passed=None, value="not asked", meaning="It was asked once only."),),
        settings=AuditSettings(permutations=99),
    )
    return found.model_copy(update={"verdict": verdict, "rule": "Because of 1 < 2 & 3."})


@pytest.mark.parametrize(
    ("verdict", "failures", "skipped"),
    [("forgotten", "0", "0"), ("under-forgotten", "1", "0"), ("over-forgotten", "1", "0"), ("cannot tell", "0", "1")],
)
def test_junit_fails_skips_or_passes_as_the_verdict_says(verdict: Verdict, failures: str, skipped: str) -> None:
    suite = ElementTree.fromstring(to_junit(result(verdict), title="Did it <forget>?"))
    assert (suite.get("failures"), suite.get("skipped"), suite.get("tests")) == (failures, skipped, "1")
    case = suite.find("testcase")
    assert case is not None
    assert case.get("name") == "Did it <forget>?"
    told = case.find("failure") if failures == "1" else case.find("skipped")
    if verdict != "forgotten":
        assert told is not None
        assert told.get("message") == "Because of 1 < 2 & 3."
    assert "does not prove deletion" in (case.findtext("system-out") or "")


def test_the_page_holds_every_item_and_escapes_what_it_shows() -> None:
    found = result()
    page = to_html(found, title="A <title>")

    class Reader(HTMLParser):
        text = ""
        tags: set[str] = set()  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(page)
    assert "b" not in reader.tags
    assert "script" not in reader.tags
    for item in found.items:
        assert item.id in reader.text
    assert "A <title>" in reader.text
    assert "not made" in reader.text
    assert "http" not in page
