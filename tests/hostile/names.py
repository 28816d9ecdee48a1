"""File names that are markup, formulas, commands or paths out of the folder, as uploads and inside archives."""

from collections.abc import Iterator
from functools import partial

from tests.hostile.case import Case, Expected, upload
from tests.hostile.uploads import png, raw_zip, zipped

NAMES: dict[str, tuple[str, Expected]] = {
    "html": ('<img src=x onerror="alert(1)">.png', "used"),
    "script": ("<script>alert(1)<%2fscript>.png", "used"),
    "markdown": ("[click](javascript:alert(1)).png", "used"),
    "formula": ('=HYPERLINK("http:x","y").png', "used"),
    "formula_plus": ("+cmd|' C calc'!A0.png", "used"),
    "formula_minus": ("-2+3+cmd.png", "used"),
    "formula_at": ("@SUM(1+1)*cmd.png", "used"),
    "formula_full_width": ("\uff1d1+1.png", "used"),
    "latex": (r"$\mathrm{x}$ {}^_&%#.png", "either"),
    "latex_file": (r"\input{etc}.png", "either"),
    "typst": ('#read("a").png', "used"),
    "template": ("{{7*7}}${7*7}.png", "used"),
    "format": ("%s%n{0.__class__}.png", "used"),
    "rich_markup": ("[bold red]x[/].png", "used"),
    "terminal": ("\x1b]0;owned\x07.png", "refused"),
    "tab_first": ("\t=1+1.png", "refused"),
    "newline": ("a\nb.png", "refused"),
    "right_to_left": ("photo\u202egnp.exe.png", "either"),
    "zero_width": ("a\u200bb.png", "either"),
    "delete_sign": ("a\x7f.png", "refused"),
    "surrogate": ("a\udcff.png", "refused"),
    "very_long": ("x" * 100_000 + ".png", "either"),
    "very_deep": ("d/" * 20_000 + "x.png", "either"),
    "shell": ("$(touch EXECUTED)`touch EXECUTED`;touch EXECUTED|x.png", "used"),
    "option": ("--output=EXECUTED.png", "used"),
    "device": ("CON.png", "used"),
    "tilde": ("~/x.png", "either"),
    "url": ("file:///etc/passwd.png", "either"),
    "unc": ("//server/share/x.png", "refused"),
    "percent": ("%2e%2e%2fevil.png", "used"),
    "climbs_late": ("a/b/../../../evil.png", "refused"),
    "climbs_backslash": ("a\\..\\..\\evil.png", "refused"),
    "dots": ("....png", "either"),
    "only_dots": ("..", "refused"),
    "space": (" .png", "either"),
    "emoji": ("\U0001f600" * 100 + ".png", "used"),
    "combining": ("a" + "\u0301" * 5000 + ".png", "either"),
    "sql": ("'; DROP TABLE jobs;--.png", "used"),
}


def cases() -> Iterator[Case]:
    for name, (given, expected) in NAMES.items():
        yield upload(f"name_{name}", given, png, expected)
    for name, (given, expected) in NAMES.items():
        if name in ("surrogate", "very_deep", "very_long"):
            continue
        expected = "either" if expected == "used" else expected
        yield upload(f"name_in_zip_{name}", "names.zip", partial(lambda given: zipped((given, png())), given), expected)
    nul = lambda: raw_zip([("evil.png\0.txt", b"\x03\x00", 0, 0)])  # noqa: E731
    yield upload("name_in_zip_nul", "names.zip", nul)
