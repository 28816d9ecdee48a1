"""Embedding a data set into files as a job, of any size and by any number of processes.

    OUT/image_features/vectors.npy   float32 [n, d], to be mapped into memory (`numpy.load(..., mmap_mode="r")`)
    OUT/text_features/vectors.npy    of the captions, where they are asked for
    OUT/ids.json                     ids of the n items, in the same order

Until a `vectors.npy` is whole its folder holds shards, and whoever asks for the same again goes on with those that are
missing (`encoders.shards`).
"""

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from torch import Tensor

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.encoders.base import Encoder
from muc_core.encoders.embed import embed_images, embed_texts
from muc_core.encoders.manifest import EncoderManifest
from muc_core.encoders.parallel import from_first, rank
from muc_core.encoders.shards import embedded_on_disk
from muc_core.errors import MissingTextTower, MucError
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.workspace import Workspace
from muc_core.workspace.files import write_file

KIND = "embed"
IMAGES, TEXTS, IDS = "image_features", "text_features", "ids.json"


class EmbedJob(BaseModel):
    """What to embed, with which encoder, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(description="name of an encoder")
    out: Path = Field(description="folder, made when missing")
    data: str | None = Field(default=None, description="demo or a path; None: what the encoder was trained on")
    items: str | None = Field(default=None, description="a set of the data, such as held-out; None: all")
    captions: bool = Field(default=False, description="the captions, too")
    shard: int = Field(default=4096, ge=1, le=1_048_576, description="items embedded between two writes")


def run(job: EmbedJob, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Embed. Returns the folder, the number of items and the vectors' length. Raises `MucError`, `Cancelled`."""
    dataset = _items(job, workspace.encoder(job.encoder).manifest)
    encoder = workspace.load(job.encoder)
    texts = _captions(dataset, encoder) if job.captions else []
    digest = from_first(dataset.digest() if rank() == 0 else "")

    def stored(name: str, embed: Callable[[range], Tensor]) -> None:
        of = f"{name}: encoder {encoder.digest}, data {digest}"
        embedded_on_disk(job.out / name, len(dataset), embed, of=of, shard=job.shard)

    stored(IMAGES, lambda rows: embed_images(encoder, dataset, rows=rows, progress=progress))
    if job.captions:
        stored(TEXTS, lambda rows: embed_texts(encoder, texts, rows=rows, progress=progress))
    if rank() == 0:
        write_file(job.out / IDS, json.dumps(list(dataset.ids)).encode())
    return {"folder": str(job.out), "items": len(dataset), "dimension": encoder.dimension}


def _items(job: EmbedJob, manifest: EncoderManifest) -> ImageTextDataset:
    reference = manifest.data
    if job.data is None and reference is None:
        raise MucError(f"it is not known what {job.encoder!r} was trained on; name the data to embed (--data)")
    spec = job.data or (reference.spec if reference else "")
    dataset = load_dataset(spec)
    if job.items is None:
        return dataset
    split = reference.split if reference is not None and reference.spec == spec else None
    return dataset.subset(resolve_ids(job.items, dataset, split), name=job.items)


def _captions(dataset: ImageTextDataset, encoder: Encoder) -> list[str]:
    if not encoder.has_text:
        raise MissingTextTower(f"the encoder {encoder.name!r} has no text tower; leave the captions out")
    texts = dataset.texts
    missing = [item_id for item_id, text in zip(dataset.ids, texts, strict=True) if not text]
    if missing:
        raise MucError(
            f"{len(missing)} pictures have no caption (the first is {missing[0]!r}); add them or leave the captions out"
        )
    return [text for text in texts if text]


TASKS.register(KIND, Task(KIND, EmbedJob, run, joint=True))
