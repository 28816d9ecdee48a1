"""`python -m muc_core.cli`: the command `muc` where it is not installed."""

from muc_core.cli.app import app

# processes that are started anew import this file, too
if __name__ == "__main__":
    app(prog_name="muc")
