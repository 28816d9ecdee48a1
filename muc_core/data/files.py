"""Reading whole files that people name, or that lie in their folders: ordinary ones, within a limit."""

from pathlib import Path

from muc_core.errors import MucError


def read_file(path: Path, shown: str, most: int, *, otherwise: str | None = None) -> bytes:
    """All of an ordinary file.

    Args:
        path: where it is.
        shown: what it is called in messages.
        most: bytes that are read.
        otherwise: what to do when it cannot be read, to end the message.

    Raises:
        MucError: it cannot be read, is larger, or is a pipe or a device, which would never end.
    """
    try:
        if path.exists() and not path.is_file():
            raise MucError(f"{shown} is not an ordinary file; folders, pipes and devices are not read")
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except MucError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        advice = "" if otherwise is None else f"; {otherwise}"
        raise MucError(f"{shown} cannot be read: {reason}{advice}") from error
    if len(content) > most:
        raise MucError(f"{shown} has more than {most / 2**20:,.0f} MB; smaller ones are read")
    return content
