"""The records of a bench: one a line of `results.jsonl`, written as they come."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from muc_core.audit.result import Interval
from muc_core.errors import MucError
from muc_core.workspace.files import write_file

RESULTS, PLAN = "results.jsonl", "plan.json"

Record = TypeVar("Record", bound=BaseModel)


class Audited(BaseModel):
    """What the black-box audit says of an encoder.

    Attributes:
        effect: how far the forget set stands above never-trained pictures, in units of their spread.
        p: of "no further above".
        before: the same effect in the original.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: str
    effect: Interval
    p: float
    before: float


class Stressed(BaseModel):
    """What residual stress finds in an encoder, beside Retrain.

    Attributes:
        rest, relearned: how far the forget pictures that were not shown stand above never-trained ones, in units of
            their spread, before and after training on the other half.
        retrained: the latter in Retrain.
        first: share of them whose own caption is the nearest after relearning; None without captions.
        int8: whether a trace comes back when weights are rounded; None: it cannot be told.
        returns_at: share of the way to the original from which on the trace shows; None: it does not.
        linear: AUC of a linear classifier that tells forget from never-trained pictures by their features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: str
    rest: float
    relearned: float
    retrained: float
    first: float | None
    int8: bool | None
    returns_at: float | None
    linear: float


class Result(BaseModel):
    """One encoder, evaluated and audited or stressed with one seed, or why there is none.

    Attributes:
        key: of the evaluation, made of everything that decides it.
        method: "original" for the encoder before unlearning.
        settings: of the unlearning (of the training, for the original).
        values: by metric; those of Retrain compare it with another Retrain, or lack the gap when there is no other.
        error: why there is no encoder, a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    family: str
    method: str
    train_seed: int
    unlearn_seed: int
    eval_seed: int
    settings: dict[str, JsonValue]
    values: dict[str, float] = Field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    audit: Audited | None = None
    stress: Stressed | None = None
    error: str | None = None


def read_results(out: Path) -> list[Result]:
    """The results of a folder, in the order in which they came; none when it has none. Raises as `read_records`."""
    return read_records(out / RESULTS, Result)


def read_records(file: Path, kind: type[Record]) -> list[Record]:
    """The records in a file, one a line; none when it is not there.

    Raises:
        MucError: a line that is no record, other than a last one that was cut off when its writer was killed.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            if not line.endswith("\n"):
                write_file(file, "".join(lines[:-1]).encode())
                break
            raise MucError(
                f"{file}, line {number} is not a {kind.__name__.lower()}; take it out, or choose another folder"
            ) from error
    return found
