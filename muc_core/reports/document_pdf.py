"""A document as PDF, set by Typst. The same document gives the same bytes, on any machine with the same programs.

The words go to Typst as data beside a fixed template, never as its markup, and only fonts that come with the programs
are used.
"""

import json
import tempfile
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst

from muc_core.reports.document import Document
from muc_core.reports.story_pdf import FONTS

TEMPLATE = Path(__file__).with_name("document.typ")
_NO_TIME = datetime(1980, 1, 1, tzinfo=UTC)
"""Stands in the file instead of when it was set; when the audit was made is in the text."""


def to_pdf(document: Document) -> bytes:
    """The document on pages of A4: the first page, then the appendix."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "document.json").write_text(json.dumps(_plain(document)), encoding="utf-8")
        (folder / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
        fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[FONTS])
        compiler = typst.Compiler(folder / TEMPLATE.name, root=folder, font_paths=fonts)
        pdf = compiler.compile(format="pdf", timestamp=_NO_TIME)
    assert isinstance(pdf, bytes)
    return pdf


def _plain(value: object) -> Any:
    """Dataclasses as JSON's own types, each with its kind."""
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)} | {"kind": type(value).__name__}
