"""Errors that speak to the person who can mend them.

Everything a user can put right is a `MucError`: its text says what was wrong, in which file or field, and what would be
accepted. Command line and dashboard print that text and never a traceback; any other exception is a defect of ours.
"""

LONGEST_MESSAGE = 2000
"""Signs; names out of a stranger's file can be megabytes long."""


class MucError(ValueError):
    """Wrong input or settings; the message is a sentence for the user.

    A message may quote what a stranger's file says of itself: signs that cannot be shown, such as those that move a
    terminal's cursor, are replaced, and what is longer than `LONGEST_MESSAGE` is cut.
    """

    def __init__(self, message: str) -> None:
        shown = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]} ..."
        super().__init__("".join(sign if sign.isprintable() or sign == "\n" else "\ufffd" for sign in shown))


class BadImage(MucError):
    """A file that cannot be used as a picture; the message names it."""


class MissingTextTower(MucError):
    """An encoder without a text tower was asked for texts."""


class UnknownName(MucError):
    """Something was asked for by a name that is not known; the message lists the known ones."""


class Cancelled(Exception):
    """The user cancelled the work; raised from `Progress.report`."""
