"""All experiments, in order: audits use the encoders of the sweep, unlearning those of the training."""

from collections.abc import Callable

from tests.chaos import clocks, database, disk, kills, remote, servers, versions
from tests.chaos.scene import Row, Scene

EXPERIMENTS: dict[str, Callable[[Scene], Row]] = {
    "training": kills.training,
    "unlearning": kills.unlearning,
    "sweep": kills.sweep,
    "audit": kills.audit,
    "registry": kills.registry,
    "submitting": kills.submitting,
    "server": servers.killed,
    "two": servers.two_of_each,
    "full": disk.full,
    "read-only": disk.read_only,
    "clock": clocks.jumps,
    "versions": versions.migrations,
    "database": database.goes_away,
    "remote-hangs": remote.hangs,
    "remote-lies": remote.lies,
    "remote-429": remote.wants_to_be_left_alone,
    "remote-dies": remote.dies,
    "remote-worker": remote.worker_dies,
}
