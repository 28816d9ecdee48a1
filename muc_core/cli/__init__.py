"""The command `muc`: everything the dashboard does with encoders, runs and matrices, from a terminal.

One file per group of commands. Modules that load torch are imported inside the commands, so that `muc --help` is quick.
"""

from muc_core.cli.app import app

__all__ = ["app"]
