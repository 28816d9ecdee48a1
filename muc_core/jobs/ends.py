"""How work ends: done, cancelled, failed with a sentence for the user, or without a word."""

import json
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from muc_core.errors import Cancelled, MucError


class Lost(MucError):
    """The processes that did the work ended without a word; what they saved can be gone on with."""


class End(BaseModel):
    """What became of work. `error`: why it failed or was lost; `result`: what it returned."""

    model_config = ConfigDict(frozen=True)

    state: Literal["done", "failed", "cancelled", "lost"]
    error: str | None = None
    result: dict[str, JsonValue] = {}


def lost_sentence(job_id: str, trouble: str, log: Path) -> str:
    """What the user is told of a job that was lost."""
    return (
        f"the worker process ended without a word ({trouble}; its log is {log}): go on with it on the page Jobs or by "
        f"`muc jobs resume {job_id}`; nothing already saved is lost"
    )


def end_of(work: Callable[[], Mapping[str, JsonValue]], log: Path) -> End:
    """Do the work; whatever it raises is told in `error`, and a defect's traceback is printed, that is, in `log`."""
    try:
        result = dict(work())
        json.dumps(result)
        return End(state="done", result=result)
    except Cancelled:
        return End(state="cancelled")
    except Lost as told:
        return End(state="lost", error=str(told))
    except MucError as told:
        return End(state="failed", error=str(told))
    except MemoryError:
        traceback.print_exc()
        return End(state="failed", error="the machine ran out of memory; try fewer pictures or a smaller batch")
    except BaseException as unexpected:
        traceback.print_exc()
        kind = type(unexpected).__name__
        return End(state="failed", error=f"the job ended with an unexpected {kind}; the details are in {log}")
