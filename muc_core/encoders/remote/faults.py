"""What can go wrong with an encoder behind a URL, in sentences that name the endpoint."""

from collections.abc import Mapping

from muc_core.errors import MucError


class EndpointFault(MucError):
    """The endpoint cannot be reached, refuses the request as a whole, or gives up after several tries."""


class UnknownHost(EndpointFault):
    """The name of the host has no address, at least for now."""


class BadAnswer(MucError):
    """The endpoint answered with something other than the vectors asked for."""


class PrivateAddress(MucError):
    """The address leads into a private network, to this machine or to a cloud's metadata, and that was not allowed."""


class RejectedPictures(MucError):
    """The endpoint refused some pictures when each was sent alone; all others were embedded and are remembered.

    Attributes:
        reasons: what the endpoint said, by position in the pictures that were asked for.
    """

    def __init__(self, endpoint: str, reasons: Mapping[int, str], total: int) -> None:
        self.endpoint = endpoint
        self.reasons = dict(sorted(reasons.items()))
        self.total = total
        shown = "; ".join(f"number {index + 1}: {reason}" for index, reason in list(self.reasons.items())[:3])
        more = f"; and {len(self.reasons) - 3} more" if len(self.reasons) > 3 else ""
        super().__init__(
            f"{endpoint} refused {len(self.reasons)} of {total} pictures ({shown}{more}); leave them out or save them "
            "in another format"
        )

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions of the refused pictures, in rising order."""
        return tuple(self.reasons)
