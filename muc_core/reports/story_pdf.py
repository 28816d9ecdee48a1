"""A story as PDF, set by Typst.

The words go to Typst as data beside a fixed template, never as its markup: nothing in a caption can be a command, and
there is nothing to escape.
"""

import base64
import binascii
import io
import json
import tempfile
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import matplotlib
import typst
from PIL import Image, UnidentifiedImageError

from muc_core.errors import MucError
from muc_core.reports.story import Bar, Guess, Picture, Story, percent

TEMPLATE = Path(__file__).with_name("story.typ")
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
"""DejaVu Sans, which comes with matplotlib and knows most letters."""


def to_pdf(story: Story) -> bytes:
    """The story as PDF: a title page, a page or more for each slide, and the glossary.

    Raises:
        MucError: one of its pictures is no picture as a data URL.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = _Writer(folder).plain(story)
        (folder / "story.json").write_text(json.dumps(content), encoding="utf-8")
        (folder / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
        compiler = typst.Compiler(folder / TEMPLATE.name, root=folder, font_paths=[FONTS])
        pdf = compiler.compile(format="pdf")
    assert isinstance(pdf, bytes)
    return pdf


class _Writer:
    """Turns a story into JSON's own types, its pictures into files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, str] = {}

    def plain(self, value: object) -> Any:
        if isinstance(value, tuple):
            return [self.plain(entry) for entry in value]
        if not is_dataclass(value) or isinstance(value, type):
            return value
        content = {field.name: self.plain(getattr(value, field.name)) for field in fields(value)}
        content["kind"] = type(value).__name__
        if isinstance(value, Picture | Guess):
            content["file"] = self._file(value.url) if value.url else None
            del content["url"]
        if isinstance(value, Guess):
            content["length"] = percent(value.similarity)
        if isinstance(value, Bar):
            content["before_length"], content["after_length"] = percent(value.before), percent(value.after)
        return content

    def _file(self, url: str) -> str:
        """The name of a PNG file with the picture of a data URL, each written once."""
        if url not in self._files:
            name = f"{len(self._files)}.png"
            try:
                content = base64.b64decode(url.partition(",")[2], validate=True)
                Image.open(io.BytesIO(content)).convert("RGB").save(self._folder / name)
            except (binascii.Error, UnidentifiedImageError, OSError) as error:
                raise MucError("a picture of the story cannot be read; choose other pictures") from error
            self._files[url] = name
        return self._files[url]
