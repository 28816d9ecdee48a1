"""A workspace that is quick to look at: sixty pictures of noise, two owners, three untrained encoders of one kind."""

from pathlib import Path

from muc_core.data.sets import load_dataset
from muc_core.data.splits import make_split
from muc_core.encoders.families.clip import ClipFamily
from muc_core.encoders.manifest import DataReference, EncoderManifest
from muc_core.workspace import write_encoder
from tests.app.pair import ARCHITECTURE
from tests.tuned import write_pictures

BEFORE, AFTER, RETRAIN = "small-clip", "small-clip-ac", "small-clip-retrain"
ANN = tuple(f"{number}.png" for number in range(12))
"""Ids of the forget set."""


def write_small(assets: Path, pictures: Path) -> None:
    """The encoders, as if the later two came from the first; the pictures go into a new folder."""
    pictures.mkdir()
    spec = str(write_pictures(pictures))
    dataset = load_dataset(spec)
    split = make_split(dataset, seed=0, held_out=24, calibration=6, forget=ANN)
    data = DataReference(spec=spec, digest=dataset.digest(), split=split)
    made = {BEFORE: None, AFTER: "ac", RETRAIN: "retrain"}
    for seed, (name, method) in enumerate(made.items()):
        manifest = EncoderManifest(
            name=name,
            title=name,
            family="clip",
            architecture=ARCHITECTURE,
            method=method,
            original=BEFORE if method else None,
            settings={"beta": 2.0, "alpha": 1.0} if method == "ac" else {},
            data=data,
        )
        write_encoder(assets / "encoders", manifest, ClipFamily().build(ARCHITECTURE, seed).state_dict())
