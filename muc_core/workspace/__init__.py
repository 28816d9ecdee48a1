"""The folder where encoders, runs and audits live, with an index in SQLite."""

from muc_core.workspace.runs import Checkpoint, HistoryEntry, RunRecord, RunWriter
from muc_core.workspace.workspace import AuditRecord, EncoderRecord, Workspace, new_id, write_encoder

__all__ = [
    "AuditRecord",
    "Checkpoint",
    "EncoderRecord",
    "HistoryEntry",
    "RunRecord",
    "RunWriter",
    "Workspace",
    "new_id",
    "write_encoder",
]
