"""Looking up advisories fails, and says so, wherever it did not happen."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.advisories import FOUND, KNOWN, NOT_CHECKED, PINS, Ask, check

OLD = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "CVE-2014-1402", "fix_versions": ["2.7.2"]}]}
FINE = {"name": "torch", "version": "9.9", "vulns": []}
BAD = {"name": "pillow", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": []}]}
SKIPPED = {"name": "jinja2", "skip_reason": "Dependency not found on PyPI and could not be audited: jinja2 (2.4.1)"}


def answers(first: object, second: object) -> Ask:
    def ask(files: Sequence[Path]) -> tuple[str, str]:
        known = files[0].name == "known.txt"
        if known:
            assert files[0].read_text().strip() == KNOWN
        found = first if known else second
        return (found, "WARNING: a\nConnectionError: no route") if isinstance(found, str) else (json.dumps(found), "")

    return ask


def listed(*packages: object) -> dict[str, object]:
    return {"dependencies": list(packages), "fixes": []}


@pytest.mark.parametrize(
    ("first", "second", "code", "said"),
    [
        (listed(OLD), listed(FINE), 0, "No advisory is known"),
        (listed(OLD), listed(FINE, BAD), FOUND, "pillow 1.0: PYSEC-1, mended in no version"),
        (listed(OLD), listed(FINE, SKIPPED), NOT_CHECKED, "not checked: Dependency not found"),
        (listed(OLD), listed(BAD, SKIPPED), FOUND, "not checked"),
        (listed(OLD), "", NOT_CHECKED, "Nothing was checked: ConnectionError: no route"),
        (listed(SKIPPED), listed(FINE), NOT_CHECKED, "serves no advisories"),
        (listed({**OLD, "vulns": []}), listed(FINE), NOT_CHECKED, "serves no advisories"),
        (listed(), listed(FINE), NOT_CHECKED, "serves no advisories"),
        ("", listed(FINE), NOT_CHECKED, "Nothing was checked: ConnectionError: no route"),
        ("[]", listed(FINE), NOT_CHECKED, "Nothing was checked"),
    ],
)
def test_only_what_was_looked_up_passes(first: object, second: object, code: int, said: str) -> None:
    found, told = check([Path("requirements.txt")], answers(first, second))
    assert found == code
    assert said in told


def test_all_files_of_pins_are_asked_for() -> None:
    root = Path(__file__).parents[2]
    assert set(PINS) == {file.name for file in [*root.glob("requirements*.txt"), root / "constraints.txt"]}
