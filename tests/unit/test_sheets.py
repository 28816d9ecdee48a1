"""Exports: no cell that a stranger named is a formula, a command or markup for the program that opens the file."""

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.components.tables import csv_of
from muc_core.evaluation.tables import Table
from muc_core.sheets import csv_text, harmless

FORMULAS = [
    '=HYPERLINK("http://x","y")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\u3000=1+1",
    "\uff1d1+1",
    "\uff201+1",
    "-nan",
    "-inf",
]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text_in_every_table(text: str) -> None:
    for written in (
        csv_text([("name", "value"), (text, 1.5)]),
        csv_of(pd.DataFrame({"name": [text], "value": [1.5]})),
        Table(("name", "value"), ((text, "1.5"),)).to_csv(),
    ):
        _, (cell, value) = csv.reader(io.StringIO(written, newline=""))
        assert cell == f"'{text}".replace("\r", "\n")
        assert value == "1.5"


def test_names_of_columns_are_no_formulas_either() -> None:
    assert csv_of(pd.DataFrame({"=1+1": [1]})) == "'=1+1\n1\n"


@pytest.mark.parametrize("cell", ["-0.25", "+3", "-1e-9", "a bird", "", "–", "a=b", None, -0.25, 3, True])
def test_numbers_and_plain_texts_stay(cell: object) -> None:
    assert harmless(cell) is cell


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    found = str(harmless(text)).lstrip()
    assert not found.startswith(("=", "@")) or not text.strip()
    assert not re.match(r"[+-]", found) or float(found) is not None


def test_exported_csv_is_written_here_alone() -> None:
    """Whatever writes CSV otherwise would have to think of this, too."""
    writers = [
        path.relative_to(ROOT).as_posix()
        for package in ("muc_core", "dashboard")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\.to_csv\(index|csv\.(?:Dict)?[wW]riter", path.read_text(encoding="utf-8"))
    ]
    assert sorted(writers) == ["dashboard/components/tables.py", "muc_core/sheets.py"]


def test_latex_and_markdown_are_no_commands() -> None:
    table = Table(("name", "value"), ((r"\input{/etc/passwd} & $x$ % # _ ^ ~ {}", "1"), ("<script>|x", "2")))
    latex = table.to_latex()
    assert r"\textbackslash{}input\{/etc/passwd\} \& \$x\$ \% \# \_" in latex
    assert "\\input" not in latex
    assert r"| &lt;script>\|x | 2 |" in table.to_markdown()


def test_latex_of_a_frame_is_escaped() -> None:
    from dashboard.components.compare import _latex

    found = _latex(pd.DataFrame({"Encoder": [r"\input{/etc/passwd}"], "Gap": [0.5]}))
    assert "\\input" not in found
