"""Captions in, what the text tower gives away out: files of captions, the demo, and the command."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from benchmarks.text_audit import BEFORE, COLUMNS, Demo
from muc_core.audit.audit import AuditSettings
from muc_core.cli import app
from muc_core.errors import MissingTextTower, MucError
from muc_core.text_auditing import audit_captions, read_captions
from tests.unit.test_auditing import Pixels, pictures

CAPTIONS = [f"red bird {n}" for n in range(8)]
CONTROLS = [f"red bird {n}" for n in range(8, 40)]
POOL = pictures("public", 30, seed=4)
QUICK = AuditSettings(permutations=99)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds none"),
        (b"# only this\n\n", "holds none"),
        (b"\xff\xfea\x00", "is not UTF-8 text"),
        (b"a\n" * 5001, "holds 5,001 captions"),
        (b"a" * 2001, "a caption of 2,001 signs"),
        (b"a" * (16 * 2**20 + 1), "has more than 16 MB"),
    ],
)
def test_files_that_hold_no_captions_are_refused(home: Path, content: bytes, sentence: str) -> None:
    (home / "c.txt").write_bytes(content)
    with pytest.raises(MucError, match=sentence):
        read_captions(home / "c.txt")
    with pytest.raises(MucError, match="cannot be read"):
        read_captions(home / "none.txt")


def test_captions_are_read_line_by_line(home: Path) -> None:
    (home / "c.txt").write_bytes("\ufeffa bird \r\n\n# not this\nan old cup\n".encode())
    assert read_captions(home / "c.txt") == ("a bird", "an old cup")


def test_what_cannot_be_compared_is_said() -> None:
    after = Pixels()
    with pytest.raises(MissingTextTower, match="reads no text"):
        audit_captions(Pixels(has_text=False), CAPTIONS, CONTROLS, POOL)
    with pytest.raises(MucError, match="'red bird 0' is both yours and a control"):
        audit_captions(after, CAPTIONS, [*CONTROLS, "Red  bird 0"], POOL)
    texts = [*CAPTIONS, *CONTROLS]
    with pytest.raises(MucError, match="0 of the pictures in 'public' have none of the captions"):
        audit_captions(after, CAPTIONS, CONTROLS, pictures("public", 30, seed=4, texts=texts))
    found = audit_captions(after, [*CAPTIONS, "RED BIRD 3"], CONTROLS, POOL, before=Pixels(), settings=QUICK)
    assert (found.n_captions, found.n_controls, found.n_pool) == (8, 32, 30)
    assert found.warnings == ("Of your captions 1 is there already and left out.",)


@pytest.mark.slow
def test_on_the_demo_it_keeps_its_rate_and_sees_what_was_moved_and_not_what_was_left() -> None:
    demo = Demo([BEFORE, f"{BEFORE}-retrain", f"{BEFORE}-finetune"])
    null = [demo.audit(f"{BEFORE}-retrain", *demo.drawn(40, s, never_trained_on=True), s) for s in range(30)]
    for column in COLUMNS:
        hits = sum(found.findings[column].p < 0.05 for found in null)
        assert binomtest(hits, len(null), 0.05, "greater").pvalue > 0.01, column
    moved = [demo.audit(f"{BEFORE}-retrain", *demo.drawn(100, s, never_trained_on=False), s) for s in range(5)]
    assert all(found.seen == ("moved",) for found in moved)
    # Fine-tune left the memory of the pictures, which captions do not show: nothing seen is nothing said
    left = [demo.audit(f"{BEFORE}-finetune", *demo.drawn(100, s, never_trained_on=False), s) for s in range(5)]
    assert not any(found.seen for found in left)


@pytest.mark.slow
def test_the_command_has_no_verdict_and_never_ends_with_that_of_forgotten(home: Path) -> None:
    asked = ("audit-texts", "--before", "demo-clip", "--after", "demo-clip-ac", "--permutations", "199")
    told = CliRunner().invoke(app, (*asked, "--captions", "owner:artist", "--out", str(home / "t.json")))
    assert told.exit_code == 12, told.output
    assert "no verdict" in told.stdout
    assert json.loads((home / "t.json").read_text())["seen"] == ["set apart", "moved"]
    for controls, sentence in (("retain", "were trained on"), (str(home / "none.txt"), "cannot be read")):
        refused = CliRunner().invoke(app, (*asked, "--captions", "owner:artist", "--controls", controls))
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert sentence in " ".join(refused.stderr.split())
