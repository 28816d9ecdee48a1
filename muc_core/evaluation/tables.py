"""Tables as Markdown, CSV and LaTeX."""

import re
from dataclasses import dataclass

from muc_core.sheets import csv_text


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the rows, the others are numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def to_markdown(self) -> str:
        lines = [
            _line(self.columns),
            "|" + "|".join(["---", *["--:"] * (len(self.columns) - 1)]) + "|",
            *(_line(row) for row in self.rows),
        ]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        return csv_text([self.columns, *self.rows])

    def to_latex(self) -> str:
        """A `tabular` of the package booktabs."""
        lines = [
            rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
            r"\toprule",
            _latex_row(self.columns),
            r"\midrule",
            *(_latex_row(row) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    escaped = (cell.replace("|", r"\|").replace("\n", " ").replace("<", "&lt;") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escaped = re.sub(r"[\\~^&%$#_{}]", lambda found: special.get(found[0], "\\" + found[0]), text)
    for sign, command in {"±": r"$\pm$", "–": "--", "→": r"$\to$", "α": r"$\alpha$", "β": r"$\beta$"}.items():
        escaped = escaped.replace(sign, command)
    return escaped
