"""Telling of a look: one line of JSON, JUnit XML for a build server, and a webhook if one was asked for."""

import json
from urllib.parse import urlsplit
from xml.etree import ElementTree  # nosec B405

import httpx

from muc_core.errors import MucError
from muc_core.jobs.watch.spec import Look, WatchSpec

TIMEOUT_S = 10.0


def line(spec: WatchSpec, look: Look) -> str:
    """A look as one line of JSON; it names encoders, and no pictures."""
    content = {"watch": spec.name, "of": spec.looks, "after": spec.after, **look.model_dump(mode="json")}
    return json.dumps(content, ensure_ascii=False)


def junit(spec: WatchSpec, look: Look) -> str:
    """A look as two test cases: that no trace stands out, and that the encoder is the same."""
    counts = {"tests": "2", "failures": str(len(look.alerts)), "errors": "0", "skipped": str(int(not look.fair))}
    suite = ElementTree.Element("testsuite", {"name": "muc watch", **counts})
    for alert, what in (("trace", "no trace of the pictures"), ("model", "the same encoder")):
        case = ElementTree.SubElement(suite, "testcase", classname=f"muc.watch.{spec.name}", name=what)
        if alert in look.alerts:
            ElementTree.SubElement(case, "failure", message=look.sentence, type=alert)
        elif alert == "trace" and not look.fair:
            ElementTree.SubElement(case, "skipped", message=look.sentence)
    ElementTree.SubElement(suite, "system-out").text = f"{look.sentence}\n{look.verdict}: {look.rule}"
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def check_webhook(url: str) -> str:
    """The address itself. Raises `MucError` when nothing can be posted there."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MucError(f"--webhook is {url[:100]!r}; an address that begins with https:// or http:// is accepted")
    return url


def post(url: str, content: str) -> str | None:
    """Post a line of JSON; what went wrong, a sentence without the address' path, which may be a secret."""
    where = urlsplit(url).hostname
    try:
        answer = httpx.post(
            url,
            content=content.encode(),
            headers={"content-type": "application/json"},
            timeout=TIMEOUT_S,
            follow_redirects=False,
        )
    except httpx.HTTPError as error:
        return f"the webhook at {where} could not be told ({type(error).__name__})"
    if not answer.is_success:
        return f"the webhook at {where} answered {answer.status_code}; it was not told"
    return None
