"""The joint UMAP of two encoders, computed in the worker and kept in the workspace.

Both encoders see the same items; one map is fitted to both (see `muc_core.projection`). It is kept under a key made of
the weights, the items and the settings: whoever asks for the same map again gets it at once, by whatever names.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from muc_core.data.dataset import ImageTextDataset
from muc_core.data.demo import demo_split
from muc_core.data.sets import load_dataset, resolve_ids
from muc_core.data.splits import DataSplit
from muc_core.encoders.embed import embed_images
from muc_core.jobs.tasks import TASKS, Task
from muc_core.progress import Progress
from muc_core.projection import drift, joint_projection, neighbour_retention
from muc_core.workspace import EncoderRecord, Workspace

KIND = "embedding_map"

_NUMBERS = ("before", "after", "drift", "retention_before", "retention_after")

_FORMAT = 2


class EmbeddingMapSettings(BaseModel):
    """What to draw and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    before: str = Field(description="name of the encoder before")
    after: str = Field(description="name of the encoder after")
    data: str = Field(default="demo", description="data set: demo, or a folder or zip")
    sets: tuple[str, ...] = Field(
        default=("forget", "retain", "held-out"), min_length=1, description="sets to draw; an item counts to the first"
    )
    most_per_set: int = Field(default=400, ge=2, le=50_000, description="of a larger set so many are drawn at random")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the choice of items and of the map")
    n_neighbors: int = Field(default=15, ge=2, le=200, description="small: local structure; large: the big picture")
    min_dist: float = Field(default=0.1, ge=0, le=1, description="how close points may lie in the plane")
    dimensions: Literal[2, 3] = Field(default=2, description="of the map")


@dataclass(frozen=True, eq=False)
class MapItems:
    """n items to draw, and for each the set it counts to."""

    dataset: ImageTextDataset
    groups: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """A map of n items.

    Attributes:
        before, after: places `[n, 2]` or `[n, 3]`.
        drift, retention_before, retention_after: `[n]`, see `muc_core.projection`.
        ids, groups: of the items, and the sets they count to.
    """

    before: npt.NDArray[np.float32]
    after: npt.NDArray[np.float32]
    drift: npt.NDArray[np.float32]
    retention_before: npt.NDArray[np.float32]
    retention_after: npt.NDArray[np.float32]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    notes: tuple[str, ...]


def choose_items(
    workspace: Workspace, settings: EmbeddingMapSettings, *, dataset: ImageTextDataset | None = None
) -> MapItems:
    """The items of a map; the same settings give the same items. Raises `UnknownName`, `MucError` for bad sets.

    Args:
        dataset: that of the settings, where it is open already.
    """
    if dataset is None:
        dataset = load_dataset(settings.data)
    records = workspace.encoder(settings.after), workspace.encoder(settings.before)
    split = _find_split(records, settings.data)
    draw = random.Random(settings.seed)
    group_of: dict[str, str] = {}
    for spec in settings.sets:
        ids = resolve_ids(spec, dataset, split)
        if len(ids) > settings.most_per_set:
            ids = tuple(draw.sample(ids, settings.most_per_set))
        for item_id in ids:
            group_of.setdefault(item_id, spec)
    return MapItems(dataset.subset(tuple(group_of)), tuple(group_of.values()))


def map_key(workspace: Workspace, settings: EmbeddingMapSettings, items: MapItems) -> str:
    """Digest of everything the map depends on."""
    content = {
        "format": _FORMAT,
        "encoders": [
            [record.manifest.family, record.manifest.architecture, record.manifest.content_digest]
            for record in (workspace.encoder(settings.before), workspace.encoder(settings.after))
        ],
        "items": items.dataset.digest(),
        "groups": items.groups,
        "settings": [settings.seed, settings.n_neighbors, settings.min_dist, settings.dimensions],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def read_map(workspace: Workspace, key: str) -> EmbeddingMap | None:
    """The map of a key; None when it has not been computed."""
    arrays = workspace.read_map(key)
    if arrays is None:
        return None
    numbers = {name: arrays[name].astype(np.float32) for name in _NUMBERS}
    return EmbeddingMap(
        **numbers,
        ids=tuple(arrays["ids"].tolist()),
        groups=tuple(arrays["groups"].tolist()),
        notes=tuple(arrays["notes"].tolist()),
    )


def run(settings: EmbeddingMapSettings, workspace: Workspace, progress: Progress) -> dict[str, JsonValue]:
    """Compute a map unless it is there. Returns `{"map": key, "items": n}`; see `read_map`."""
    items = choose_items(workspace, settings)
    count = len(items.dataset)
    key = map_key(workspace, settings, items)
    result: dict[str, JsonValue] = {"map": key, "items": count}
    if read_map(workspace, key) is not None:
        progress.report(1, 1, "the map was there already")
        return result
    # The fit cannot report; it counts as much as embedding the items twice.
    total = 4 * count
    before = embed_images(
        workspace.load(settings.before), items.dataset, progress=_Part(progress, 0, total, f"{settings.before} looks")
    )
    after = embed_images(
        workspace.load(settings.after), items.dataset, progress=_Part(progress, count, total, f"{settings.after} looks")
    )
    progress.report(2 * count, total, "fitting the map; the first time on a machine takes up to a minute")
    projection = joint_projection(
        before.numpy(),
        after.numpy(),
        method="umap",
        seed=settings.seed,
        n_neighbors=settings.n_neighbors,
        min_dist=settings.min_dist,
        dimensions=settings.dimensions,
    )
    progress.report(4 * count - 1, total, "measuring how far the map can be believed")
    retention = neighbour_retention(before.numpy(), after.numpy(), projection, seed=settings.seed)
    arrays: dict[str, npt.NDArray[Any]] = {
        "before": projection.before.astype(np.float32),
        "after": projection.after.astype(np.float32),
        "drift": drift(before.numpy(), after.numpy()).astype(np.float32),
        "retention_before": retention[0].astype(np.float32),
        "retention_after": retention[1].astype(np.float32),
        "ids": np.array(items.dataset.ids),
        "groups": np.array(items.groups),
        "notes": np.array(projection.notes, dtype=np.str_),
    }
    workspace.write_map(key, arrays)
    progress.report(total, total, "the map is ready")
    return result


@dataclass(frozen=True)
class _Part:
    """Progress of one encoder's share, told as part of the whole."""

    whole: Progress
    offset: int
    total: int
    message: str

    def report(self, step: int, total: int, message: str, values: Mapping[str, float] | None = None) -> None:
        self.whole.report(self.offset + step, self.total, f"{self.message}: {message}", values)


def _find_split(records: tuple[EncoderRecord, ...], data: str) -> DataSplit | None:
    """The split of the first encoder that was trained on this data: what it was to forget is what is shown."""
    for record in records:
        reference = record.manifest.data
        if reference is not None and reference.spec == data:
            return reference.split
    if data == "demo":
        return demo_split()
    return None


TASKS.register(KIND, Task(KIND, EmbeddingMapSettings, run))
