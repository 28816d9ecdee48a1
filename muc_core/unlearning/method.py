"""What an unlearning method is: its name in words, its settings, the samples it uses and the terms it minimises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from torch import Tensor, nn

from muc_core.encoders.family import Batch, Family
from muc_core.errors import MucError
from muc_core.registry import Registry
from muc_core.unlearning.settings import TrainingSettings

S = TypeVar("S", bound=TrainingSettings)


@dataclass(frozen=True)
class Step(Generic[S]):
    """What an objective sees of one step.

    Attributes:
        forget_fraction: |U| / (|U| + |R|) over the whole data, not the batch.
        calibration: samples never trained on, for methods that compare with them; an objective must let no gradient
            and no statistics of batch norm through them.
        original: the model as it was at the start, in evaluation mode, for methods that hold on to it.
    """

    family: Family
    model: nn.Module
    batch: Batch
    settings: S
    forget_fraction: float
    calibration: Batch | None = None
    original: nn.Module | None = None


@dataclass(frozen=True)
class Method(Generic[S]):
    """An unlearning method.

    Attributes:
        name: used in commands and files.
        title: used on screen.
        summary: one sentence for the user.
        settings: the settings model, with this method's defaults.
        uses: the samples of a batch: only retained, only forget samples, or both in proportion.
        objective: loss terms by name; their sum is minimised.
        from_scratch: starts from fresh weights instead of the original encoder's.
        fewest_forget: forget samples that every batch must hold.
        partners: each forget sample of a batch has another one as its partner (so `fewest_forget` is at least 2), and
            two-view families draw a third view of it.
        calibration: samples never trained on that are drawn for each step to compare with, or all where there are
            fewer; 0: the method uses none.
        original: each step looks at the model as it was at the start, too.
        retain_batches: how many retain batches each forget batch meets, by settings; then an epoch is a pass over the
            forget set. None: both sets share the steps of an epoch in proportion.
        stops_at_chance: when whole classes are to be forgotten, training ends after the epoch in which the classifier
            names them no better than by chance.
        families: names of the encoder families that it works on; empty: all.
    """

    name: str
    title: str
    summary: str
    settings: type[S]
    uses: Literal["retain", "forget", "both"]
    objective: Callable[[Step[S]], Mapping[str, Tensor]]
    from_scratch: bool = False
    fewest_forget: int = 0
    partners: bool = False
    calibration: int = 0
    original: bool = False
    retain_batches: Callable[[S], int] | None = None
    stops_at_chance: bool = False
    families: tuple[str, ...] = ()

    def works_on(self, family: str) -> bool:
        """Whether encoders of that family can be unlearned with it."""
        return not self.families or family in self.families

    def check_family(self, family: str) -> None:
        """Raises `MucError` for a family that it does not work on; says which it does."""
        if not self.works_on(family):
            raise MucError(
                f"{self.title} works on encoders of the family {' or '.join(self.families)}, and this one is {family}; "
                "choose another method or encoder"
            )


METHODS: Registry[Method[Any]] = Registry("unlearning method")


def contrastive(step: Step[Any]) -> Mapping[str, Tensor]:
    """Plain training on the batch."""
    return {"contrastive": step.family.loss(step.model, step.batch)}
