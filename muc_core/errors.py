"""Errors that speak to the person who can mend them.

Everything a user can put right is a `MucError`: its text says what was wrong, in which file or field, and what would be
accepted. Command line and dashboard print that text and never a traceback; any other exception is a defect of ours.
"""


class MucError(ValueError):
    """Wrong input or settings; the message is a sentence for the user."""


class BadImage(MucError):
    """A file that cannot be used as a picture; the message names it."""


class MissingTextTower(MucError):
    """An encoder without a text tower was asked for texts."""


class UnknownName(MucError):
    """Something was asked for by a name that is not known; the message lists the known ones."""


class Cancelled(Exception):
    """The user cancelled the work; raised from `Progress.report`."""
