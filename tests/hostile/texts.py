"""Caption files and lists of ids: wrong encodings, endless and a million lines, texts that mean something to others."""

import json
from collections.abc import Callable, Iterator
from functools import partial

from tests.hostile.case import Case, Expected, upload, written

HEAD = b"file,caption\n"
PICTURES = ("a.png", "b.png")
"""Pictures that the door `captions` has."""


def cases() -> Iterator[Case]:
    for name, (file, make, expected) in _FILES.items():
        yield Case(name, "captions", written(file, make), expected)
    for name, (file, make, _) in _FILES.items():
        # in an upload a line that names none of its pictures is noted, not refused
        yield upload(f"captions_{name}", file, make, "either")
    for name, (make, expected) in _IDS.items():
        yield Case(name, "ids", written("ids.txt", make), expected)


def _both(caption: str) -> bytes:
    """CSV with this caption for both pictures, quoted as CSV asks for it."""
    quoted = caption.replace('"', '""')
    return "".join(["file,caption\n", *(f'{name},"{quoted}"\n' for name in PICTURES)]).encode()


def _lines(count: int) -> bytes:
    return HEAD + b"a.png,one\nb.png,two\n" + b"".join(b"%d.png,caption\n" % number for number in range(count))


def _json_lines(count: int) -> bytes:
    return b"".join(b'{"file": "%d.png", "caption": "caption"}\n' % number for number in range(count))


def _json(value: object) -> bytes:
    return "".join(json.dumps({"file": name, "caption": value}) + "\n" for name in PICTURES).encode()


_TEXTS = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "formula": '=cmd|"/C calc"!A0',
    "formula_after_space": " \t=1+1",
    "markdown": "![x](http://example.org/beacon.png) [y](javascript:alert(1))",
    "latex": r"\input{/etc/passwd} \write18{touch EXECUTED}",
    "typst": '#read("/etc/passwd")',
    "right_to_left": "\u202egnp.exe",
    "line_separators": "one\u2028two\u2029three\x0bfour\x0cfive",
    "long": "word " * 200_000,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 1000,
    "control": "a\x1b[31mred\x07",
    "latin": "cr\u00e8me",
}

_FILES: dict[str, tuple[str, Callable[[], bytes], Expected]] = {
    **{f"text_{name}": ("captions.csv", partial(_both, text), "either") for name, text in _TEXTS.items()},
    "latin_1": ("captions.csv", lambda: HEAD + "a.png,crème\n".encode("latin-1"), "refused"),
    "cp1252": ("captions.csv", lambda: HEAD + "a.png,“quoted”\n".encode("cp1252"), "refused"),
    "shift_jis": ("captions.csv", lambda: HEAD + "a.png,鳥\n".encode("shift_jis"), "refused"),
    "gb18030": ("captions.csv", lambda: HEAD + "a.png,鸟\n".encode("gb18030"), "refused"),
    "utf_16": ("captions.csv", lambda: "file,caption\na.png,x\n".encode("utf-16"), "refused"),
    "utf_16_be": ("captions.csv", lambda: "file,caption\na.png,x\n".encode("utf-16-be"), "refused"),
    "utf_32": ("captions.csv", lambda: "file,caption\na.png,x\n".encode("utf-32"), "refused"),
    "utf_7": ("captions.csv", lambda: "file,caption\na.png,è\nb.png,y\n".encode("utf-7"), "either"),
    "utf_8_mark": ("captions.csv", lambda: "\ufefffile,caption\na.png,x\nb.png,y\n".encode(), "used"),
    "overlong_utf_8": ("captions.csv", lambda: HEAD + b"a.png,\xc0\xaf\n", "refused"),
    "surrogates_in_utf_8": ("captions.csv", lambda: HEAD + b"a.png,\xed\xa0\x80\n", "refused"),
    "million_lines_csv": ("captions.csv", partial(_lines, 1_000_000), "either"),
    "million_lines_jsonl": ("captions.jsonl", partial(_json_lines, 1_000_000), "refused"),
    "ten_million_blank_lines": ("captions.csv", lambda: HEAD + b"a.png,x\nb.png,y\n" + b"\n" * 10_000_000, "either"),
    "ten_million_commas": ("captions.csv", lambda: HEAD + b"," * 10_000_000, "refused"),
    "ten_million_columns": ("captions.csv", lambda: b"file,caption" + b",x" * 10_000_000 + b"\na.png,y\n", "refused"),
    "line_of_100_mb": ("captions.csv", lambda: HEAD + b"a.png," + b"x" * 100_000_000, "refused"),
    "line_of_100_mb_json": (
        "captions.jsonl",
        lambda: b'{"file": "a.png", "caption": "' + b"x" * 10**8 + b'"}',
        "refused",
    ),
    "list_of_50_million": ("captions.jsonl", lambda: b"[" + b"[]," * 50_000_000 + b"0]", "refused"),
    "bad_lines_million": ("captions.jsonl", lambda: b"{\n" * 1_000_000, "refused"),
    "one_quote": ("captions.csv", lambda: HEAD + b'a.png,"open\n' + b"b.png,x\n" * 200_000, "refused"),
    "quotes_inside": ("captions.csv", lambda: HEAD + b'a.png,say "x" now\nb.png,"y" z\n', "either"),
    "only_quotes": ("captions.csv", lambda: b'"' * 1_000_001, "refused"),
    "nul_signs": ("captions.csv", lambda: HEAD + b"a.png,x\x00y\nb.png,\x00\n", "either"),
    "carriage_returns": ("captions.csv", lambda: HEAD.replace(b"\n", b"\r") + b"a.png,x\rb.png,y\r", "either"),
    "no_column": ("captions.csv", lambda: b"a,b\n1,2\n", "refused"),
    "two_columns_alike": ("captions.csv", lambda: b"file,caption,text\na.png,x,y\n", "refused"),
    "file_twice": ("captions.csv", lambda: HEAD + b"a.png,x\na.png,y\nb.png,z\n", "refused"),
    "climbs": ("captions.csv", lambda: HEAD + b"../../a.png,x\n", "refused"),
    "json_deep": ("captions.jsonl", lambda: b'{"file":' + b"[" * 500_000, "refused"),
    "json_deep_objects": ("captions.jsonl", lambda: b'{"a":' * 100_000, "refused"),
    "json_number": ("captions.jsonl", partial(_json, 7), "used"),
    "json_huge_number": (
        "captions.jsonl",
        lambda: b'{"file": "a.png", "caption": 1' + b"0" * 100_000 + b"}",
        "refused",
    ),
    "json_not_a_number": (
        "captions.jsonl",
        lambda: b'{"file": "a.png", "caption": NaN}\n{"file": "b.png", "caption": -Infinity}',
        "either",
    ),
    "json_1e400": ("captions.jsonl", lambda: b'{"file": "a.png", "caption": 1e400}', "refused"),
    "json_true": ("captions.jsonl", partial(_json, True), "refused"),
    "json_object": ("captions.jsonl", partial(_json, {"$ref": "/etc/passwd"}), "refused"),
    "json_surrogate": ("captions.jsonl", lambda: b'{"file": "a.png", "caption": "\\ud800"}', "refused"),
    "json_key_twice": ("captions.jsonl", lambda: b'{"file": "a.png", "file": "b.png", "caption": "x"}', "refused"),
    "json_empty_keys": ("captions.jsonl", lambda: b'{"": "", " ": " "}', "refused"),
    "json_class": ("captions.jsonl", lambda: b'{"__class__": "os.system", "file": "a.png", "caption": "x"}', "refused"),
    "yaml": ("captions.jsonl", lambda: b"!!python/object/apply:os.system ['touch EXECUTED']\n", "refused"),
    "pickle": ("captions.csv", lambda: b"cos\nsystem\n(S'touch EXECUTED'\ntR.", "refused"),
    "gzip": ("captions.csv", lambda: b"\x1f\x8b\x08" + bytes(100), "refused"),
    "empty": ("captions.csv", lambda: b"", "refused"),
    "only_blank": ("captions.tsv", lambda: b" \t\n" * 1000, "refused"),
}

_IDS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "sound": (lambda: b"# mine\na.png\n\nb.png\n", "used"),
    "mark": (lambda: "\ufeffa.png\n".encode(), "used"),
    "empty": (lambda: b"", "refused"),
    "only_remarks": (lambda: b"#\n" * 1_000_000, "refused"),
    "unknown": (lambda: b"../../etc/passwd\n", "refused"),
    "twice": (lambda: b"a.png\na.png\n", "refused"),
    "latin_1": (lambda: "crème.png".encode("latin-1"), "refused"),
    "utf_16": (lambda: "a.png\n".encode("utf-16"), "refused"),
    "nul": (lambda: b"a.png\x00\n", "refused"),
    "long_line": (lambda: b"x" * 100_000_000, "refused"),
    "html": (lambda: b"<script>alert(1)</script>", "refused"),
    "terminal": (lambda: b"\x1b]0;owned\x07\x1b[2J", "refused"),
    "million_lines": (lambda: b"x.png\n" * 1_000_000, "refused"),
}
