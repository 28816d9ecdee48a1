"""The whole corpus: several hundred files, each with the door that it comes in by."""

import os
import traceback
from functools import partial
from pathlib import Path

from tests.hostile import archives, data_sets, embeddings, evidence, names, pictures, texts, weights
from tests.hostile.case import Case, Expected, upload
from tests.hostile.uploads import USABLE, hostile_cases, hostile_name, hostile_upload


def all_cases() -> list[Case]:
    """Every case, in an order that does not change."""
    found = [*_uploads()]
    for module in (pictures, names, archives, texts, data_sets, weights, evidence, embeddings):
        found += module.cases()
    return found


def build(case: Case, corpus: Path) -> Path:
    """Write a case below a folder; returns the path that its door is given.

    That is done in a child process: memory that this one had taken before would hide what the case takes.
    """
    folder = corpus / case.id
    folder.mkdir(parents=True)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writer, os.fsencode(case.build(folder)))
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        path = answer.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{case.id} cannot be built")
    return Path(os.fsdecode(path))


def _uploads() -> list[Case]:
    """The cases that the unit tests take one by one."""
    found = []
    for name in hostile_cases():
        expected: Expected = "used" if name in USABLE else "either" if name.startswith("captions") else "refused"
        found.append(upload(f"known_{name}", hostile_name(name), partial(_content, name), expected))
    return found


def _content(name: str) -> bytes:
    return hostile_upload(name)[1]
