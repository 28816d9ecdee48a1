"""What verdicts look like: a word, an icon and a colour, none of which stands alone.

The hues of the sets stay out of it: the accent for what goes well, red and yellow for what needs attention.
"""

from dataclasses import dataclass, replace
from typing import Literal

from muc_core.audit.result import ItemVerdict, Verdict
from muc_core.evaluation.stress import Verdict as StressVerdict


@dataclass(frozen=True)
class Look:
    """How a verdict is shown.

    Attributes:
        word: its name, as a label.
        icon: name of a Material symbol.
        colour: one of the page's colours by name.
        light, dark: the same colour as text, for each theme.
    """

    word: str
    icon: str
    colour: Literal["red", "blue", "yellow", "gray"]
    light: str
    dark: str

    def ink(self, dark: bool) -> str:
        """The colour as text."""
        return self.dark if dark else self.light


LOOKS: dict[Verdict, Look] = {
    "under-forgotten": Look("Under-forgotten", "visibility", "red", "#b3261e", "#ff8a80"),
    "forgotten": Look("Forgotten", "check_circle", "blue", "#39457c", "#b5bdec"),
    "over-forgotten": Look("Over-forgotten", "arrow_cool_down", "yellow", "#7d5a00", "#f0cf6a"),
    "cannot tell": Look("Cannot tell", "help", "gray", "#5b6270", "#a4abb9"),
}

ITEM_LOOKS: dict[ItemVerdict, Look] = {
    "trace found": replace(LOOKS["under-forgotten"], word="Trace found"),
    "below never-seen": replace(LOOKS["over-forgotten"], word="Below never-seen"),
    "no trace found": replace(LOOKS["forgotten"], word="No trace found"),
}
"""Those of most concern first."""

STRESS_LOOKS: dict[StressVerdict, Look] = {
    "still there": replace(LOOKS["under-forgotten"], word="Still there"),
    "hidden, not forgotten": replace(LOOKS["under-forgotten"], word="Hidden, not forgotten", icon="visibility_off"),
    "no trace came back": replace(LOOKS["forgotten"], word="No trace came back"),
    "cannot tell": LOOKS["cannot tell"],
}

CAME_BACK_LOOKS: dict[bool | None, Look] = {
    True: replace(LOOKS["under-forgotten"], word="A trace comes back", icon="undo"),
    False: replace(LOOKS["forgotten"], word="Nothing comes back"),
    None: replace(LOOKS["cannot tell"], word="Decides nothing", icon="remove"),
}
"""Of one test of residual stress."""
