"""Importing torch for a command: no search for garbage meanwhile, and the usual ones afterwards."""

import subprocess
import sys

IMPORT = """
import gc
from muc_core.cli.garbage import no_garbage
with no_garbage():
    inside = gc.isenabled()
    import torch
kept = gc.get_freeze_count()
with no_garbage():
    again = gc.isenabled()
print(inside, again, gc.isenabled(), kept > 100_000, gc.get_freeze_count() == kept)
"""


def test_no_garbage_is_searched_for_while_torch_is_imported_and_only_then() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "True", "True"]
