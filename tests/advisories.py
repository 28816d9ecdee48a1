"""`python -m tests.advisories`: whether security advisories are known for any of the pinned packages.

pip-audit takes an index that does not answer, or that serves no advisories, for "No known vulnerabilities found". So a
release with advisories that are years old is asked for first: an index that knows of none says nothing about others.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

KNOWN = "jinja2==2.4.1"
"""Has several advisories, the first of 2014 (CVE-2014-1402)."""

PINS = ("requirements.txt", "requirements-dev.txt", "requirements-dev-alone.txt", "constraints.txt")
FOUND, NOT_CHECKED = 1, 2
"""Exit codes: advisories were found; they could not be looked up."""

Ask = Callable[[Sequence[Path]], tuple[str, str]]
"""Files of pins to what pip-audit prints on stdout and stderr."""


def pip_audit(files: Sequence[Path]) -> tuple[str, str]:
    """Ask the index of Python packages about these pins, as they are."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    listed = [part for file in files for part in ("--requirement", str(file))]
    done = subprocess.run(
        [*command, "--no-deps", "--disable-pip", *listed], capture_output=True, text=True, check=False
    )
    return done.stdout, done.stderr


def check(files: Sequence[Path], ask: Ask = pip_audit) -> tuple[int, str]:
    """An exit code, and what to tell: 0 only when every pin was looked up and none has an advisory."""
    with tempfile.TemporaryDirectory() as folder:
        known = Path(folder, "known.txt")
        known.write_text(f"{KNOWN}\n")
        advisories, skipped, trouble = _answer(*ask([known]))
    if trouble:
        return NOT_CHECKED, f"Nothing was checked: {trouble}"
    if skipped or not advisories:
        return NOT_CHECKED, (
            f"Nothing was checked: the index serves no advisories, not even those of {KNOWN}. Ask one that does, such "
            "as the Python Package Index itself."
        )
    advisories, skipped, trouble = _answer(*ask(files))
    if trouble:
        return NOT_CHECKED, f"Nothing was checked: {trouble}"
    lines = [*advisories, *(f"not checked: {reason}" for reason in skipped)]
    if lines:
        return FOUND if advisories else NOT_CHECKED, "\n".join(lines)
    return 0, "No advisory is known for any of the pinned packages."


def _answer(out: str, errors: str) -> tuple[list[str], list[str], str | None]:
    """Advisories, what was not looked up, and what went wrong with all of it."""
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return [], [], (errors.strip().splitlines() or ["pip-audit said nothing"])[-1]
    advisories = [
        f"{package['name']} {package['version']}: {found['id']}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version'}"
        for package in packages
        for found in package.get("vulns", ())
    ]
    return advisories, [package["skip_reason"] for package in packages if "skip_reason" in package], None


if __name__ == "__main__":
    code, told = check([Path(name) for name in PINS])
    print(told)
    sys.exit(code)
