"""`muc audit --embeddings` and `--write-embeddings`: an audit of a file of vectors, and the file of an audit."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from muc_core.errors import MucError

if TYPE_CHECKING:
    from muc_core.audit.audit import AuditSettings
    from muc_core.audit.result import AuditResult
    from muc_core.auditing import Audited
    from muc_core.evidence.manifest import Role

_TAKEN = {"embeddings", "permutations", "seed", "out", "junit", "html", "as_json"}


def refuse_other_options(context: typer.Context) -> None:
    """Raises `MucError` for an option that a file of vectors leaves no room for."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in _TAKEN and source is not None and source.name == "COMMANDLINE":
            raise MucError(
                f"--{name.replace('_', '-')} asks for pictures or encoders, and --embeddings brings vectors in their "
                "place; leave one of them out"
            )


def audit_file(path: Path, settings: "AuditSettings") -> "AuditResult":
    """Audit the vectors in a file. Raises `MucError` for a file that no audit can be made of."""
    from muc_core.data.files import read_file
    from muc_core.evidence.embeddings import MAX_BYTES, read_embeddings
    from muc_core.workspace import Workspace

    content = read_file(path, str(path), MAX_BYTES, otherwise="name a file of vectors")
    found = read_embeddings(content, path.name)
    Workspace().note("audit", {"vectors": hashlib.sha256(content).hexdigest()})
    return found.inputs(settings).result()


def vectors_of(audited: "Audited", names: "Mapping[Role, str | None]", *, views: int, seed: int) -> bytes:
    """The file of vectors of an audit.

    Args:
        names: of the encoders, by role; None where there was none.
    """
    import numpy as np

    from muc_core.evidence.embeddings import Embeddings, write_embeddings

    inputs = audited.inputs
    # a file holds each item once and of every encoder, and a retrained one is not asked about what was to be kept
    taken = {*inputs.owner_ids, *inputs.control_ids}
    complete = set(inputs.vectors) <= set(audited.retained)
    kept = [row for row, item_id in enumerate(audited.retained_ids) if complete and item_id not in taken]
    return write_embeddings(
        Embeddings(
            inputs.vectors,
            inputs.owner_ids,
            inputs.control_ids,
            {role: found.take(np.array(kept)) for role, found in audited.retained.items()} if kept else {},
            tuple(audited.retained_ids[row] for row in kept),
            {role: name for role, name in names.items() if name is not None},
            f"{views} random views of each picture, seed {seed}.",
        )
    )
