"""CSV in which a spreadsheet finds texts and numbers, never formulas.

A text that begins like a formula is taken for one, and file names and captions are a stranger's. As OWASP advises ("CSV
Injection"), an apostrophe is put before it, which spreadsheets show as text.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence

_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also the full-width forms, which some spreadsheets take for the others."""


def harmless(cell: object) -> object:
    """A cell as it is, or as a text that is no formula. Numbers written as text, such as "-0.25", stay."""
    if isinstance(cell, str) and "\r" in cell:
        # a line's end for spreadsheets, which Python's writer does not quote: what follows would be a row of its own
        cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    if not isinstance(cell, str) or not cell.lstrip(" \u00a0\u3000").startswith(_BEGINS):
        return cell
    try:
        return cell if math.isfinite(float(cell)) else f"'{cell}"
    except ValueError:
        return f"'{cell}"


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, the first of them the names of the columns."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([harmless(cell) for cell in row] for row in rows)
    return file.getvalue()
